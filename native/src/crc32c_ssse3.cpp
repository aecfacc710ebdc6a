// CRC32C by the instruction of SSE 4.2. It takes three cycles and may start in each, so three lanes run side by side.
#include <cstring>

#include <immintrin.h>

#include "crc32c_tables.hpp"
#include "kernel.hpp"

namespace parasync::ssse3 {

namespace {

// left right x^33 modulo the polynomial: the product of two reflected words is reflected in 63 bits, one too few, and
// the instruction multiplies by x^32.
std::uint32_t multiply(std::uint32_t left, std::uint32_t right) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(left)),
                                                 _mm_cvtsi32_si128(static_cast<int>(right)), 0);
    return static_cast<std::uint32_t>(_mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product))));
}

std::uint64_t step(std::uint64_t state, const std::uint8_t* data) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    return _mm_crc32_u64(state, word);
}

std::uint32_t shift(const Crc32cTables& tables, std::uint32_t checksum, std::uint64_t bytes) {
    for (int row = 0; bytes != 0; ++row, bytes >>= 8) {
        if ((bytes & 0xFF) != 0) checksum = multiply(checksum, tables.power_less_33[row][bytes & 0xFF]);
    }
    return checksum;
}

// Takes as many times three lanes of `kLane` bytes, a multiple of 256 that takes one product, as there are.
template <std::size_t kLane>
std::uint64_t lanes(const Crc32cTables& tables, std::uint64_t state, const std::uint8_t*& data, std::size_t& size) {
    static_assert(kLane % 256 == 0 && kLane <= 32768);
    const std::uint32_t one = tables.power_less_33[1][kLane / 256];
    const std::uint32_t two = tables.power_less_33[1][kLane / 128];
    for (; size >= 3 * kLane; size -= 3 * kLane, data += 3 * kLane) {
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t i = 0; i < kLane; i += 8) {
            state = step(state, data + i);
            second = step(second, data + kLane + i);
            third = step(third, data + 2 * kLane + i);
        }
        state = multiply(static_cast<std::uint32_t>(state), two) ^ multiply(static_cast<std::uint32_t>(second), one) ^
                third;
    }
    return state;
}

}  // namespace

std::uint32_t crc32c(std::uint32_t before, const std::uint8_t* data, std::size_t size) {
    std::uint64_t state = ~before;
    if (size >= 3 * 256) {
        const Crc32cTables& tables = crc32c_tables();
        state = lanes<2048>(tables, state, data, size);
        state = lanes<256>(tables, state, data, size);
    }
    for (; size >= 8; size -= 8, data += 8) state = step(state, data);
    for (; size != 0; --size, ++data) state = _mm_crc32_u8(static_cast<std::uint32_t>(state), *data);
    return ~static_cast<std::uint32_t>(state);
}

std::uint32_t crc32c_shift(std::uint32_t checksum, std::uint64_t bytes) {
    return shift(crc32c_tables(), checksum, bytes);
}

}  // namespace parasync::ssse3
