// BLAKE3's compression, `kLanes` nodes at a time. Included by each kernel, which defines PARASYNC_LANES before.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
//
// Every node of the tree is a chain of blocks: a leaf of up to 16, a parent of one. So leaves and parents are the same
// work, and lanes with fewer blocks than their neighbours keep the value they had.
#pragma once

#include <cstring>
#include <utility>

#include "kernel.hpp"

namespace {

using parasync::Blake3Node;

constexpr std::size_t kLanes = PARASYNC_LANES;
constexpr std::size_t kBlock = 64;
constexpr std::size_t kWords = 16;

constexpr std::uint32_t kInitial[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                       0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

struct Schedule {
    std::uint8_t word[7][kWords];
};

// Which word of the message each round takes where: the same permutation over and over.
constexpr Schedule make_schedule() {
    constexpr std::uint8_t permutation[kWords] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    Schedule schedule{};
    for (std::uint8_t i = 0; i < kWords; ++i) schedule.word[0][i] = i;
    for (int round = 1; round < 7; ++round) {
        for (std::size_t i = 0; i < kWords; ++i) schedule.word[round][i] = schedule.word[round - 1][permutation[i]];
    }
    return schedule;
}

constexpr Schedule kSchedule = make_schedule();

typedef std::uint32_t Vector __attribute__((vector_size(4 * kLanes)));

inline Vector all(std::uint32_t word) { return Vector{} + word; }

template <unsigned kBits>
inline Vector rotate(Vector value) {
    return (value >> kBits) | (value << (32 - kBits));
}

[[gnu::always_inline]] inline void mix(Vector& a, Vector& b, Vector& c, Vector& d, Vector x, Vector y) {
    a += b + x;
    d = rotate<16>(d ^ a);
    c += d;
    b = rotate<12>(b ^ c);
    a += b + y;
    d = rotate<8>(d ^ a);
    c += d;
    b = rotate<7>(b ^ c);
}

template <int kRound>
[[gnu::always_inline]] inline void round(Vector (&v)[16], const Vector (&m)[kWords]) {
    constexpr const std::uint8_t(&word)[kWords] = kSchedule.word[kRound];
    mix(v[0], v[4], v[8], v[12], m[word[0]], m[word[1]]);
    mix(v[1], v[5], v[9], v[13], m[word[2]], m[word[3]]);
    mix(v[2], v[6], v[10], v[14], m[word[4]], m[word[5]]);
    mix(v[3], v[7], v[11], v[15], m[word[6]], m[word[7]]);
    mix(v[0], v[5], v[10], v[15], m[word[8]], m[word[9]]);
    mix(v[1], v[6], v[11], v[12], m[word[10]], m[word[11]]);
    mix(v[2], v[7], v[8], v[13], m[word[12]], m[word[13]]);
    mix(v[3], v[4], v[9], v[14], m[word[14]], m[word[15]]);
}

// Exchanges the blocks of `kStep` columns beside the diagonal between two rows.
template <int kStep, int... kColumn>
[[gnu::always_inline]] inline void exchange(Vector& upper, Vector& lower,
                                                           std::integer_sequence<int, kColumn...>) {
    constexpr int count = static_cast<int>(kLanes);
    const Vector first = __builtin_shufflevector(
        upper, lower, ((kColumn & kStep) != 0 ? count + kColumn - kStep : kColumn)...);
    lower = __builtin_shufflevector(upper, lower, ((kColumn & kStep) != 0 ? count + kColumn : kColumn + kStep)...);
    upper = first;
}

template <int kStep>
[[gnu::always_inline]] inline void transpose(Vector* rows) {
    if constexpr (kStep != 0) {
        constexpr int count = static_cast<int>(kLanes);
        for (int row = 0; row < count; ++row) {
            if ((row & kStep) == 0) {
                exchange<kStep>(rows[row], rows[row + kStep], std::make_integer_sequence<int, count>());
            }
        }
        transpose<kStep / 2>(rows);
    }
}

// The block of each lane as words: m[i] has word i of every lane.
[[gnu::always_inline]] inline void load(Vector (&m)[kWords], const std::uint8_t* const* blocks) {
    constexpr int half = static_cast<int>(kLanes / 2);
    for (std::size_t word = 0; word < kWords; word += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            std::memcpy(&m[word + lane], blocks[lane] + 4 * word, sizeof(Vector));
        }
        transpose<half>(&m[word]);
    }
}

// `count` nodes, kLanes at most.
void hash(const Blake3Node* nodes, std::size_t count, std::uint32_t* out) {
    const std::uint8_t* blocks[kLanes];
    Vector counter_low, counter_high, last_block, last_length, kind, root;
    std::uint32_t most = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const Blake3Node& node = nodes[lane < count ? lane : 0];
        const std::uint32_t block_count = node.size <= kBlock ? 1 : (node.size + kBlock - 1) / kBlock;
        blocks[lane] = node.data;
        counter_low[lane] = static_cast<std::uint32_t>(node.counter);
        counter_high[lane] = static_cast<std::uint32_t>(node.counter >> 32);
        last_block[lane] = block_count - 1;
        last_length[lane] = node.size - (block_count - 1) * static_cast<std::uint32_t>(kBlock);
        kind[lane] = node.parent ? 4 : 0;
        root[lane] = node.root ? 8 : 0;
        if (block_count > most) most = block_count;
    }
    Vector value[8];
    for (int i = 0; i < 8; ++i) value[i] = all(kInitial[i]);
    for (std::uint32_t block = 0; block < most; ++block) {
        Vector m[kWords];
        load(m, blocks);
        const Vector last = reinterpret_cast<Vector>(last_block == all(block));
        const Vector live = reinterpret_cast<Vector>(last_block >= all(block));
        const Vector leaf = reinterpret_cast<Vector>(kind == all(0));
        const Vector flags = kind | (leaf & all(block == 0 ? 1 : 0)) | (last & ((leaf & all(2)) | root));
        const Vector length = (last & last_length) | (~last & all(kBlock));
        Vector v[16] = {value[0], value[1], value[2], value[3], value[4], value[5], value[6], value[7],
                        all(kInitial[0]), all(kInitial[1]), all(kInitial[2]), all(kInitial[3]),
                        counter_low, counter_high, length, flags};
        round<0>(v, m);
        round<1>(v, m);
        round<2>(v, m);
        round<3>(v, m);
        round<4>(v, m);
        round<5>(v, m);
        round<6>(v, m);
        for (int i = 0; i < 8; ++i) value[i] = (live & (v[i] ^ v[i + 8])) | (~live & value[i]);
        for (std::size_t lane = 0; lane < kLanes; ++lane) blocks[lane] += last_block[lane] > block ? kBlock : 0;
    }
    for (std::size_t lane = 0; lane < count; ++lane) {
        for (int i = 0; i < 8; ++i) out[8 * lane + static_cast<std::size_t>(i)] = value[i][lane];
    }
}

void hash_all(const Blake3Node* nodes, std::size_t count, std::uint32_t* out) {
    for (std::size_t done = 0; done < count; done += kLanes) {
        hash(nodes + done, count - done < kLanes ? count - done : kLanes, out + 8 * done);
    }
}
}  // namespace
