// The weak checksum: CRC32C, which can be combined.
//
// Contract, bit-identical on every CPU and with every kernel: the CRC of iSCSI (RFC 3720) and of SSE 4.2, polynomial
// 0x1EDC6F41, reflected, with all bits inverted at the start and at the end. So crc("") = 0, and as for all CRCs
// crc(A || B) = crc(A) x^(8 |B|) + crc(B): subtracting gives the checksum of B from those of A || B and A.
#pragma once

#include <cstddef>
#include <cstdint>

namespace parasync {

// The checksum of A || B, given that of A.
std::uint32_t crc32c(std::uint32_t before, const std::uint8_t* data, std::size_t size);

// `checksum` times x^(8 bytes). Constant time: at most eight products.
std::uint32_t crc32c_shift(std::uint32_t checksum, std::uint64_t bytes);

// The checksum of A || B from those of A and B; or, as adding is subtracting, that of B from those of A and A || B.
// B has `right_bytes` bytes.
inline std::uint32_t crc32c_combine(std::uint32_t left, std::uint32_t right, std::uint64_t right_bytes) {
    return crc32c_shift(left, right_bytes) ^ right;
}

}  // namespace parasync
