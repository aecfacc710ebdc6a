// The 128-bit carry-less multiplication, shared by the kernels that have nothing wider.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <smmintrin.h>
#include <tmmintrin.h>
#include <wmmintrin.h>

#include "fingerprint_sum.hpp"

namespace parasync {
namespace {

struct PclmulIsa {
    using Vector = __m128i;
    static constexpr int kBytes = 16;

    static Vector load(const std::uint8_t* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

    static Vector load_front(const std::uint8_t* data, std::size_t size, std::size_t missing) {
        alignas(16) std::uint8_t few[16];
        if (__builtin_expect(size < sizeof few, 0)) data = copy_few(few, data, size);
        return moved_up(data, missing);
    }

    // Sixteen bytes behind so many zeros, as far as there is room: up to 16.
    static Vector moved_up(const std::uint8_t* data, std::size_t zeros) {
        alignas(32) static constexpr std::uint8_t kPlaces[32] = {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
                                                                 128, 128, 128, 128, 128, 0,   1,   2,   3,   4,   5,
                                                                 6,   7,   8,   9,   10,  11,  12,  13,  14,  15};
        return _mm_shuffle_epi8(load(data), load(kPlaces + 16 - zeros));
    }

    static Vector broadcast(const FoldConstants& constants) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&constants));
    }
    static Vector single(const Lane& lane) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&lane)); }
    static Vector product(Vector x) { return _mm_clmulepi64_si128(x, x, 0x10); }
    static Vector exclusive_or(Vector x, Vector y) { return _mm_xor_si128(x, y); }
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
