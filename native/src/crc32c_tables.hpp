// What CRC32C kernels look up.
#pragma once

#include <cstdint>

namespace parasync {

// Residues are reflected: bit k is the coefficient of x^(31 - k).
struct Crc32cTables {
    // [k][byte]: the byte followed by k zero bytes.
    std::uint32_t bytes[8][256];
    // [k][n]: x^(8 n 256^k).
    std::uint32_t power[8][256];
    // The same times x^-33: what is left after one carry-less product and one CRC instruction.
    std::uint32_t power_less_33[8][256];
};

const Crc32cTables& crc32c_tables();

}  // namespace parasync
