#include "parasync/crc32c.hpp"

#include "kernel.hpp"

namespace parasync {

std::uint32_t crc32c(std::uint32_t before, const std::uint8_t* data, std::size_t size) {
    return current_kernel().crc32c(before, data, size);
}

std::uint32_t crc32c_shift(std::uint32_t checksum, std::uint64_t bytes) {
    return current_kernel().crc32c_shift(checksum, bytes);
}

}  // namespace parasync
