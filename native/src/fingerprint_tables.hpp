// Everything that is computed once from a key's two polynomials.
//
// All residues are reflected: bit k is the coefficient of x^(63 - k). The carry-less product of two
// reflected residues comes out one power of x too low, so every constant that is multiplied with is
// stored divided by x ("adjusted"), and products need no shift.
#pragma once

#include <cstdint>

#include "parasync/fingerprint.hpp"

namespace parasync {

// Constants that move a 128-bit lane forward by some distance: for its first eight bytes, and for its last.
struct FoldConstants {
    std::uint64_t first;
    std::uint64_t last;
};

// Widest block that a folding kernel keeps in its accumulators, in 16-byte lanes.
inline constexpr int kMaxLanes = 8;

// Lanes of a span, whose products are added up before anything is folded (fingerprint_sum.hpp).
inline constexpr int kSumLanes = 32;

// 128 bits, the low ones first.
struct Lane {
    std::uint64_t low;
    std::uint64_t high;
};

struct SumTables {
    // constants[p][j] moves lane j of a span onto its last one: what the last eight bytes are multiplied with, then
    // what the first eight are.
    alignas(64) Lane constants[2][kSumLanes];
    // products[p][n]: of the halves of the last n constants, added up.
    Lane products[2][kSumLanes + 1];
    FoldConstants forward[2];  // by a whole span
};

struct alignas(64) FingerprintTables {
    // The two polynomials without x^64, and floor(x^128 / polynomial) without x^64.
    std::uint64_t polynomial[2];
    std::uint64_t quotient[2];

    // power[k][v]: adjusted x^(8 v 256^k), for shifts by any number of bytes, one byte of the number at a time.
    Fingerprint power[8][256];

    // For kernels without carry-less multiplication: (v << 8k) times x^64, or x^128, modulo polynomial p.
    std::uint64_t one_word[2][8][256];
    std::uint64_t two_words[2][8][256];

    // fold[p][n]: forward by n + 1 lanes. collect[p][j] moves lane j of kMaxLanes onto the last one.
    FoldConstants fold[2][kMaxLanes];
    FoldConstants collect[2][kMaxLanes];

    SumTables sums;
};

}  // namespace parasync
