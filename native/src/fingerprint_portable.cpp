#include "fingerprint_portable.hpp"

#include <cstring>

#include "kernel.hpp"

namespace parasync::portable {

namespace {

using Wide = unsigned __int128;

// residue times what the table is of.
inline std::uint64_t times(const std::uint64_t (&table)[8][256], std::uint64_t residue) {
    std::uint64_t result = 0;
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) result ^= table[k][(residue >> (8 * k)) & 255];
    return result;
}

inline Fingerprint load_both(const std::uint8_t* data) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    return {word, word};
}

inline Fingerprint times(const std::uint64_t (&tables)[2][8][256], Fingerprint residues) {
    return {times(tables[0], residues.a), times(tables[1], residues.b)};
}

// The fingerprint of what `state` is the fingerprint of, followed by the data.
Fingerprint extend(const FingerprintTables& tables, Fingerprint state, const std::uint8_t* data, std::size_t size) {
    std::size_t done = 0;
    if (size >= 16) {
        // Two sums over every other word, because one alone would wait for its own table look-ups.
        Fingerprint other;
        for (; done + 16 <= size; done += 16) {
            other = times(tables.two_words, other) ^ load_both(data + done);
            state = times(tables.two_words, state) ^ load_both(data + done + 8);
        }
        state ^= times(tables.one_word, other);
    }
    if (done + 8 <= size) {
        state = times(tables.one_word, state) ^ load_both(data + done);
        done += 8;
    }
    for (; done < size; ++done) {
        const std::uint64_t byte = std::uint64_t{data[done]} << 56;
        state = {(state.a >> 8) ^ tables.one_word[0][7][state.a & 255] ^ byte,
                 (state.b >> 8) ^ tables.one_word[1][7][state.b & 255] ^ byte};
    }
    return state;
}

// fingerprint * x^(8 bytes).
Fingerprint shift(const FingerprintTables& tables, Fingerprint fingerprint, std::uint64_t bytes) {
    for (int k = 0; bytes != 0; ++k, bytes >>= 8) {
        if ((bytes & 255) == 0) continue;
        const Fingerprint power = tables.power[k][bytes & 255];
        fingerprint = {multiply(tables, 0, fingerprint.a, power.a), multiply(tables, 1, fingerprint.b, power.b)};
    }
    return fingerprint;
}

}  // namespace

// Four bits of `a` at a time.
Wide carryless_multiply(std::uint64_t a, std::uint64_t b) {
    Wide multiples[16];
    multiples[0] = 0;
    multiples[1] = b;
    for (int i = 2; i < 16; i += 2) {
        multiples[i] = multiples[i / 2] << 1;
        multiples[i + 1] = multiples[i] ^ b;
    }
    Wide product = 0;
    for (int bit = 60; bit >= 0; bit -= 4) product = (product << 4) ^ multiples[(a >> bit) & 15];
    return product;
}

std::uint64_t multiply(const FingerprintTables& tables, int which, std::uint64_t residue, std::uint64_t constant) {
    const Wide product = carryless_multiply(residue, constant);
    const auto low = static_cast<std::uint64_t>(product);
    return times(tables.one_word[which], low) ^ static_cast<std::uint64_t>(product >> 64);
}

Fingerprint fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size) {
    return extend(tables, {}, data, size);
}

void accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                const std::uint32_t* ends, std::size_t count, Fingerprint* out) {
    std::uint32_t begin = 0;
    for (std::size_t i = 0; i < count; ++i) {
        start = extend(tables, start, data + begin, ends[i] - begin);
        begin = ends[i];
        out[i] = start;
    }
}

void combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                  const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) out[i] = shift(tables, left[i], right_bytes[i]) ^ right[i];
}

}  // namespace parasync::portable
