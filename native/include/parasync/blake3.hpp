// The strong checksum: BLAKE3, of many extents of a file at once.
//
// Contract, bit-identical on every CPU and with every kernel: BLAKE3's default hash (no key, no context), its first 32
// bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "parasync/extent.hpp"

namespace parasync {

using Strong = std::array<std::uint8_t, 32>;

// The hash of each extent of the file, in their order. Reads every byte once, in pieces of bounded size; leaves of all
// extents are hashed side by side, so that short extents use the vectors as well as long ones. Throws
// std::invalid_argument if an extent is empty or reaches beyond the largest file, std::system_error from a read,
// EndOfFile if the file ends early.
std::vector<Strong> blake3_extents(int fd, std::span<const Extent> extents);

// The hash of bytes in memory.
Strong blake3(std::span<const std::uint8_t> data);

}  // namespace parasync
