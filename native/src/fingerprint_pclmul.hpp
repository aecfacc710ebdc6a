// Folding with the 128-bit carry-less multiplication, shared by the kernels that have nothing wider.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <smmintrin.h>
#include <wmmintrin.h>

#include "fingerprint_fold.hpp"

namespace parasync {
namespace {

struct PclmulIsa {
    using Vector = __m128i;
    static constexpr int kBytes = 16;
    static constexpr int kVectors = 4;

    static Vector load(const std::uint8_t* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

    static Vector load_last(const std::uint8_t* data, std::size_t size, int vector) {
        return load_last_lane<PclmulIsa, kVectors>(data, size, vector);
    }

    static Vector broadcast(const FoldConstants& constants) { return lanes(&constants); }
    static Vector lanes(const FoldConstants* constants) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(constants));
    }
    static Vector fold(Vector x, Vector constants, Vector add) {
        const Vector first = _mm_clmulepi64_si128(x, constants, 0x00);
        const Vector last = _mm_clmulepi64_si128(x, constants, 0x11);
        return _mm_xor_si128(_mm_xor_si128(first, last), add);
    }

    struct Pair {
        __m128i a;
        __m128i b;
    };
    static Pair sum(Vector a, Vector b) { return {a, b}; }
    static Pair twice(const Fingerprint& fingerprint) {
        const Vector both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&fingerprint));
        return {_mm_unpacklo_epi64(both, both), _mm_unpackhi_epi64(both, both)};
    }
    template <int kSelector>
    static Pair multiply(Pair x, Pair y) {
        return {_mm_clmulepi64_si128(x.a, y.a, kSelector), _mm_clmulepi64_si128(x.b, y.b, kSelector)};
    }
    static Pair exclusive_or(Pair x, Pair y) { return {_mm_xor_si128(x.a, y.a), _mm_xor_si128(x.b, y.b)}; }
    static Pair add_doubled(Pair x, Pair y) {
        return exclusive_or(x, {_mm_slli_epi64(y.a, 1), _mm_slli_epi64(y.b, 1)});
    }
    static Pair add_carried(Pair x, Pair y) { return exclusive_or(x, {carry(y.a), carry(y.b)}); }
    static __m128i carry(__m128i x) { return _mm_slli_si128(_mm_srli_epi64(x, 63), 8); }
    static Fingerprint residue(Pair x) {
        Fingerprint result;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(&result), _mm_unpackhi_epi64(x.a, x.b));
        return result;
    }
};

}  // namespace
}  // namespace parasync
