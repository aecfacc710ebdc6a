#include <immintrin.h>

#include "scan_staged.hpp"

namespace parasync::avx2 {

namespace {

struct Isa {
    using Vector = __m256i;
    static constexpr int kBytes = 32;

    static Vector load(const std::uint8_t* data) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)); }
    static void store(std::uint8_t* data, Vector x) { _mm256_store_si256(reinterpret_cast<__m256i*>(data), x); }
    static Vector exclusive_or(Vector x, Vector y) { return _mm256_xor_si256(x, y); }

    struct Matrix {
        Vector low;
        Vector high;
    };
    template <int kDoubling>
    static Matrix matrix() {
        static constexpr NibbleTables kTables = nibble_tables(kDoubling);
        return {twice(kTables.low), twice(kTables.high)};
    }
    static Vector map(const Matrix& matrix, Vector x) {
        const Vector nibble = _mm256_set1_epi8(15);
        return _mm256_xor_si256(_mm256_shuffle_epi8(matrix.low, _mm256_and_si256(x, nibble)),
                                _mm256_shuffle_epi8(matrix.high, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble)));
    }

    static std::uint64_t target_mask(Vector x) {
        const Vector equal = _mm256_cmpeq_epi8(x, _mm256_set1_epi8(static_cast<char>(kFilterTarget)));
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(equal));
    }

private:
    static Vector twice(const std::uint8_t* table) {
        return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
    }
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<StagedFilter<Isa>>(out).run(data, size);
}

}  // namespace parasync::avx2
