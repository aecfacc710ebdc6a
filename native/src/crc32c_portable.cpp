// CRC32C by tables, eight bytes at a time; and the tables.
#include <cstring>

#include "crc32c_tables.hpp"
#include "kernel.hpp"

namespace parasync {

namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;
constexpr std::uint32_t kOne = std::uint32_t{1} << 31;
constexpr std::uint32_t kInverseOfX = ((kPolynomial ^ kOne) << 1) | 1;

constexpr std::uint32_t times_x(std::uint32_t residue) { return (residue >> 1) ^ (kPolynomial & (0 - (residue & 1))); }

constexpr std::uint32_t multiply(std::uint32_t left, std::uint32_t right) {
    std::uint32_t result = 0;
    for (int bit = 31; bit >= 0; --bit) {  // from the coefficient of x^0 upwards
        result ^= left & (0 - ((right >> bit) & 1));
        left = times_x(left);
    }
    return result;
}

std::uint32_t power_of_inverse(int exponent) {
    std::uint32_t result = kOne;
    for (int i = 0; i < exponent; ++i) result = multiply(result, kInverseOfX);
    return result;
}

Crc32cTables make_tables() {
    Crc32cTables tables;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t residue = byte;
        for (auto& row : tables.bytes) {
            for (int bit = 0; bit < 8; ++bit) residue = times_x(residue);
            row[byte] = residue;
        }
    }
    const std::uint32_t less_33 = power_of_inverse(33);
    std::uint32_t step = kOne >> 8;
    for (int row = 0; row < 8; ++row) {
        std::uint32_t power = kOne;
        for (int i = 0; i < 256; ++i) {
            tables.power[row][i] = power;
            tables.power_less_33[row][i] = multiply(power, less_33);
            power = multiply(power, step);
        }
        step = power;
    }
    return tables;
}

}  // namespace

const Crc32cTables& crc32c_tables() {
    static const Crc32cTables tables = make_tables();
    return tables;
}

namespace portable {

std::uint32_t crc32c(std::uint32_t before, const std::uint8_t* data, std::size_t size) {
    const auto& bytes = crc32c_tables().bytes;
    std::uint32_t state = ~before;
    for (; size >= 8; size -= 8, data += 8) {
        std::uint64_t word;
        std::memcpy(&word, data, 8);
        word ^= state;
        state = 0;
        for (int i = 0; i < 8; ++i) state ^= bytes[7 - i][(word >> (8 * i)) & 0xFF];
    }
    for (; size != 0; --size, ++data) state = (state >> 8) ^ bytes[0][(state ^ *data) & 0xFF];
    return ~state;
}

std::uint32_t crc32c_shift(std::uint32_t checksum, std::uint64_t bytes) {
    const auto& power = crc32c_tables().power;
    for (int row = 0; bytes != 0; ++row, bytes >>= 8) {
        if ((bytes & 0xFF) != 0) checksum = multiply(checksum, power[row][bytes & 0xFF]);
    }
    return checksum;
}

}  // namespace portable

}  // namespace parasync
