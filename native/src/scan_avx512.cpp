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

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<VectorFilter<Isa>>(out).run(data, size);
}

}  // namespace parasync::avx512
