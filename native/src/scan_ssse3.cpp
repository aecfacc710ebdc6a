#include <tmmintrin.h>

#include "scan_staged.hpp"

namespace parasync::ssse3 {

namespace {

struct Isa {
    using Vector = __m128i;
    static constexpr int kBytes = 16;

    static Vector load(const std::uint8_t* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }
    static void store(std::uint8_t* data, Vector x) { _mm_store_si128(reinterpret_cast<__m128i*>(data), x); }
    static Vector exclusive_or(Vector x, Vector y) { return _mm_xor_si128(x, y); }

    struct Matrix {
        Vector low;
        Vector high;
    };
    template <int kDoubling>
    static Matrix matrix() {
        static constexpr NibbleTables kTables = nibble_tables(kDoubling);
        return {load(kTables.low), load(kTables.high)};
    }
    static Vector map(const Matrix& matrix, Vector x) {
        const Vector nibble = _mm_set1_epi8(15);
        return _mm_xor_si128(_mm_shuffle_epi8(matrix.low, _mm_and_si128(x, nibble)),
                             _mm_shuffle_epi8(matrix.high, _mm_and_si128(_mm_srli_epi16(x, 4), nibble)));
    }

    static std::uint64_t target_mask(Vector x) {
        const Vector equal = _mm_cmpeq_epi8(x, _mm_set1_epi8(static_cast<char>(kFilterTarget)));
        return static_cast<std::uint32_t>(_mm_movemask_epi8(equal));
    }
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<StagedFilter<Isa>>(out).run(data, size);
}

}  // namespace parasync::ssse3
