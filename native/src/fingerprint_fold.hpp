// Fingerprints by carry-less multiplication, written once for every instruction set.
//
// A block of bytes is held as lanes of 128 bits, once for each of the key's two polynomials. To append a block, each
// lane is multiplied by x^(8 block) modulo the polynomial and the new bytes are added; at the end all lanes are moved
// onto the last one and reduced. What does not fill a block goes first, with zeros before it, which change nothing.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel.hpp"

namespace parasync {
namespace {

// An instruction set offers:
//   Pair                                  a 128-bit value for each of the two polynomials
//   twice(fingerprint)                    each residue in both halves
//   multiply<selector>(x, y)              as _mm_clmulepi64_si128
//   exclusive_or(x, y), add_doubled(x, y), add_carried(x, y)
//                                         x + (each half of y << 1); x + (low half of y >> 63, in the high half)
//   residue(x)                            the high halves
template <class Isa>
class Residues {
    using Pair = typename Isa::Pair;

public:
    explicit Residues(const FingerprintTables& tables)
        : tables_(tables),
          polynomial_(Isa::twice({tables.polynomial[0], tables.polynomial[1]})),
          quotient_(Isa::twice({tables.quotient[0], tables.quotient[1]})) {}

    // Pair times x^(8 bytes), residues in the high halves.
    Pair shift(Pair pair, std::uint64_t bytes) const {
        pair = times(pair, tables_.power[0][bytes & 255]);
        pair = times(pair, tables_.power[1][(bytes >> 8) & 255]);
        bytes >>= 16;
        for (int k = 2; bytes != 0; ++k, bytes >>= 8) pair = times(pair, tables_.power[k][bytes & 255]);
        return pair;
    }

protected:
    // Products of 128 bits to residues in the high halves (Barrett's reduction).
    Pair reduce(Pair product) const {
        const Pair estimate = Isa::template multiply<0x00>(product, quotient_);
        const Pair quotient = Isa::add_doubled(product, estimate);
        const Pair multiple = Isa::template multiply<0x00>(quotient, polynomial_);
        return Isa::add_carried(Isa::add_doubled(product, multiple), multiple);
    }

    const FingerprintTables& tables_;

private:
    Pair times(Pair pair, const Fingerprint& power) const {
        return reduce(Isa::template multiply<0x01>(pair, Isa::twice(power)));
    }

    const Pair polynomial_;
    const Pair quotient_;
};

// An instruction set offers what Residues wants, and
//   Vector, kBytes, kVectors              lanes of 128 bits; how many vectors make a block
//   load(data)
//   load_last(data, size, vector)         vector number `vector` of the block that ends with the `size` bytes at `data`
//   broadcast(constants), lanes(constants)   one FoldConstants for all lanes, or one for each
//   fold(x, constants, add)               every lane's two halves times their constants, plus `add`
//   sum(vectors of polynomial 0, vectors of polynomial 1)   all lanes added up, as a Pair
//   prefetch(data)                        if it is to ask memory for what lies behind, while products are computed
template <class Instructions>
class Folding : public Residues<Instructions> {
public:
    using Isa = Instructions;

    explicit Folding(const FingerprintTables& tables)
        : Residues<Isa>(tables),
          forward_{Isa::broadcast(tables.fold[0][kLanes - 1]), Isa::broadcast(tables.fold[1][kLanes - 1])} {}

    // The fingerprint, as the high halves of a pair. `size` is not 0.
    typename Isa::Pair hash(const std::uint8_t* data, std::size_t size) const {
        Vector first[kVectors];
        Vector second[kVectors];
        const std::size_t front = (size - 1) % kBlock + 1;
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) first[i] = second[i] = Isa::load_last(data, front, i);
        for (const std::uint8_t* block = data + front; block != data + size; block += kBlock) {
#pragma GCC unroll 4
            for (int i = 0; i < kVectors; ++i) {
                const Vector add = Isa::load(block + i * Isa::kBytes);
                if constexpr (requires { Isa::prefetch(block); }) Isa::prefetch(block + i * Isa::kBytes);
                first[i] = Isa::fold(first[i], forward_[0], add);
                second[i] = Isa::fold(second[i], forward_[1], add);
            }
        }
        return this->reduce(Isa::sum(collect(first, 0), collect(second, 1)));
    }

private:
    using Vector = typename Isa::Vector;
    static constexpr int kVectors = Isa::kVectors;
    static constexpr int kLanesPerVector = Isa::kBytes / 16;
    static constexpr int kLanes = kVectors * kLanesPerVector;
    static constexpr std::size_t kBlock = 16 * kLanes;
    static_assert(kLanes <= kMaxLanes);

    Vector collect(const Vector* vectors, int which) const {
        Vector sum = Vector();
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) {
            const FoldConstants* constants = &this->tables_.collect[which][kMaxLanes - kLanes + i * kLanesPerVector];
            sum = Isa::fold(vectors[i], Isa::lanes(constants), sum);
        }
        return sum;
    }

    const Vector forward_[2];
};

// Isa::load_last() where a vector is a single lane.
template <class Isa>
typename Isa::Vector load_last_lane(const std::uint8_t* data, std::size_t size, int vector) {
    constexpr std::size_t kBlock = 16 * Isa::kVectors;
    const std::size_t begin = 16 * static_cast<std::size_t>(vector) + size;  // less the block: where it begins in `data`
    if (begin >= kBlock) return Isa::load(data + (begin - kBlock));
    if (begin <= kBlock - 16) return typename Isa::Vector();
    alignas(16) std::uint8_t bytes[16] = {};
    std::memcpy(bytes + (kBlock - begin), data, begin - (kBlock - 16));
    return Isa::load(bytes);
}

// The functions of a kernel, with Folding or another class that hashes.
template <class Hashing>
Fingerprint hash_fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size) {
    if (size == 0) return {};
    return Hashing::Isa::residue(Hashing(tables).hash(data, size));
}

template <class Hashing>
void hash_accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                     const std::uint32_t* ends, std::size_t count, Fingerprint* out) {
    using Isa = typename Hashing::Isa;
    const Hashing hashing(tables);
    typename Isa::Pair sum = Isa::twice(start);
    std::uint32_t begin = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (const std::uint32_t size = ends[i] - begin; size != 0) {
            sum = Isa::exclusive_or(hashing.shift(sum, size), hashing.hash(data + begin, size));
        }
        begin = ends[i];
        out[i] = Isa::residue(sum);
    }
}

template <class Hashing>
void hash_combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                       const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count) {
    using Isa = typename Hashing::Isa;
    const Hashing hashing(tables);
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = Isa::residue(hashing.shift(Isa::twice(left[i]), right_bytes[i])) ^ right[i];
    }
}

}  // namespace
}  // namespace parasync
