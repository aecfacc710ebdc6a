#include <immintrin.h>

#include "scan_filter.hpp"

namespace parasync::avx512 {

namespace {

struct Isa {
    using Vector = __m512i;
    static constexpr int kBytes = 64;

    static Vector load(const std::uint8_t* data) { return _mm512_loadu_si512(data); }
    static Vector exclusive_or(Vector x, Vector y) { return _mm512_xor_si512(x, y); }

    using Matrix = __m512i;
    template <int kDoubling>
    static Matrix matrix() {
        return _mm512_set1_epi64(static_cast<long long>(matrix_rows(kDoubling)));
    }
    static Vector map(Matrix matrix, Vector x) { return _mm512_gf2p8affine_epi64_epi8(x, matrix, 0); }

    template <int kBytesMoved>
    static Vector delayed(Vector x, Vector before) {
        if constexpr (kBytesMoved % 4 == 0) {
            return _mm512_alignr_epi32(x, before, 16 - kBytesMoved / 4);
        } else {
            static_assert(kBytesMoved == 2);
            // From 32 on, a word of `before`.
            const __m512i words = _mm512_set_epi16(30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,  //
                                                   14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 32 + 31);
            return _mm512_permutex2var_epi16(x, words, before);
        }
    }

    static std::uint64_t target_mask(Vector x) {
        return _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(static_cast<char>(kFilterTarget)));
    }
};

// ListedThinning for eight masks at once.
class VectorThinning {
public:
    static constexpr std::size_t kGroups = 256;

    void begin(std::uint64_t before) { masks_[0] = before; }

    void note(std::size_t group, std::uint64_t mask, std::size_t&) { masks_[1 + group] = mask; }

    std::uint32_t* take(std::uint32_t first, std::size_t groups, std::size_t, std::uint32_t* next) {
        const std::uint64_t last = masks_[groups];
        for (std::size_t group = groups; group % kTogether != 0; ++group) masks_[1 + group] = 0;
        const __m256i steps = _mm256_set_epi32(448, 384, 320, 256, 192, 128, 64, 0);
        for (std::size_t group = 0; group < groups; group += kTogether) {
            const __m512i kept = eight_thinned(&masks_[1 + group]);
            const __m512i lowest = _mm512_and_si512(kept, _mm512_sub_epi64(_mm512_setzero_si512(), kept));
            const std::uint32_t here = first + static_cast<std::uint32_t>(64 * group);
            if (__builtin_expect(_mm512_cmpneq_epi64_mask(kept, lowest) != 0, 0)) {
                next = take_all(kept, here, next);
                continue;
            }
            const __m256i bits = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(kept)));
            const __m256i positions = _mm256_add_epi32(_mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(here)), steps), bits);
            const __mmask8 filled = _mm512_test_epi64_mask(kept, kept);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(next), _mm256_maskz_compress_epi32(filled, positions));
            next += __builtin_popcount(filled);
        }
        masks_[0] = last;
        return next;
    }

private:
    static constexpr std::size_t kTogether = 8;

    // thinned() of eight masks, each before the next.
    static __m512i eight_thinned(const std::uint64_t* masks) {
        const __m512i survivors = _mm512_loadu_si512(masks);
        __m512i blocked = _mm512_slli_epi64(survivors, 1);
        blocked = _mm512_or_si512(blocked, _mm512_slli_epi64(blocked, 1));
        blocked = _mm512_or_si512(blocked, _mm512_slli_epi64(blocked, 2));
        blocked = _mm512_or_si512(blocked, _mm512_slli_epi64(blocked, 4));
        blocked = _mm512_or_si512(blocked, _mm512_slli_epi64(blocked, 7));
        const __m512i free = _mm512_lzcnt_epi64(_mm512_loadu_si512(masks - 1));  // behind the last survivor before
        blocked = _mm512_or_si512(blocked, _mm512_srlv_epi64(_mm512_set1_epi64(0x7fff), free));
        return _mm512_andnot_si512(blocked, survivors);
    }

    static std::uint32_t* take_all(__m512i kept, std::uint32_t here, std::uint32_t* next) {
        std::uint64_t masks[kTogether];
        _mm512_storeu_si512(masks, kept);
        for (std::size_t group = 0; group < kTogether; ++group, here += 64) {
            for (std::uint64_t mask = masks[group]; mask != 0; mask &= mask - 1) *next++ = here + lowest_bit(mask);
        }
        return next;
    }

    std::uint64_t masks_[1 + kGroups + kTogether];
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<VectorFilter<Isa>, VectorThinning>(out).run(data, size);
}

}  // namespace parasync::avx512
