#include <immintrin.h>

#include "fingerprint_pclmul.hpp"

namespace parasync::avx2_vpclmul {

namespace {

// Lanes in pairs: the 256-bit multiplication takes as long as the 128-bit one.
struct Isa {
    using Vector = __m256i;
    static constexpr int kBytes = 32;

    static Vector load(const std::uint8_t* data) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)); }

    static Vector load_front(const std::uint8_t* data, std::size_t size, std::size_t missing) {
        alignas(32) std::uint8_t few[32];
        if (__builtin_expect(size < sizeof few, 0)) data = copy_few(few, data, size);
        // No branch: it would be unpredictable.
        const std::size_t in_low = missing < 16 ? missing : 16;
        const std::size_t in_high = missing - in_low;
        return _mm256_set_m128i(PclmulIsa::moved_up(data + (16 - in_low), in_high), PclmulIsa::moved_up(data, in_low));
    }

    static Vector broadcast(const FoldConstants& constants) {
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&constants)));
    }
    static Vector single(const Lane& lane) {
        return _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&lane)));
    }
    static Vector product(Vector x) { return _mm256_clmulepi64_epi128(x, x, 0x10); }
    static Vector fold(Vector x, Vector constants, Vector add) {
        const Vector first = _mm256_clmulepi64_epi128(x, constants, 0x00);
        const Vector last = _mm256_clmulepi64_epi128(x, constants, 0x11);
        return _mm256_xor_si256(_mm256_xor_si256(first, last), add);
    }

    // The lower 128 bits belong to the first polynomial.
    using Pair = __m256i;
    static Pair sum(Vector a, Vector b) {
        return _mm256_xor_si256(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    }
    static Pair twice(const Fingerprint& fingerprint) {
        const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&fingerprint));
        return _mm256_permute4x64_epi64(_mm256_castsi128_si256(both), 0x50);
    }
    template <int kSelector>
    static Pair multiply(Pair x, Pair y) {
        return _mm256_clmulepi64_epi128(x, y, kSelector);
    }
    static Pair exclusive_or(Pair x, Pair y) { return _mm256_xor_si256(x, y); }
    static Pair add_doubled(Pair x, Pair y) { return _mm256_xor_si256(x, _mm256_slli_epi64(y, 1)); }
    static Pair add_carried(Pair x, Pair y) {
        return _mm256_xor_si256(x, _mm256_bslli_epi128(_mm256_srli_epi64(y, 63), 8));
    }
    static Fingerprint residue(Pair x) {
        Fingerprint result;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(&result),
                         _mm_unpackhi_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
        return result;
    }
};

}  // namespace

// 256-bit vectors know no better filter.
std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return avx2::survivors(data, size, out);
}

Fingerprint fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size) {
    return hash_fingerprint<Summing<Isa>>(tables, data, size);
}

void accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                const std::uint32_t* ends, std::size_t count, Fingerprint* out) {
    hash_accumulate<Summing<Isa>>(tables, start, data, ends, count, out);
}

void combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                  const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count) {
    hash_combine_each<Summing<Isa>>(tables, left, right, right_bytes, out, count);
}

}  // namespace parasync::avx2_vpclmul
