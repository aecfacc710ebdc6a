// The records that batches are made of: extents of one file, and copies between two.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace parasync {

// Batches are the memory of these records, and the wire is little-endian.
static_assert(std::endian::native == std::endian::little);

// Bytes [offset, offset + length) of a file.
struct Extent {
    std::uint64_t offset;
    std::uint64_t length;
};
static_assert(sizeof(Extent) == 16);

// length bytes from basis_offset in the basis to target_offset in the target.
struct Copy {
    std::uint64_t target_offset;
    std::uint64_t basis_offset;
    std::uint64_t length;
};
static_assert(sizeof(Copy) == 24);

// The records in `data`, which may be unaligned. Throws std::invalid_argument if the byte count does not divide.
template <class Record>
std::vector<Record> records(std::span<const std::uint8_t> data) {
    if (data.size() % sizeof(Record) != 0) {
        throw std::invalid_argument(std::to_string(data.size()) + " bytes are not whole records of " +
                                    std::to_string(sizeof(Record)));
    }
    std::vector<Record> result(data.size() / sizeof(Record));
    if (!result.empty()) std::memcpy(result.data(), data.data(), data.size());
    return result;
}

// Throws std::invalid_argument unless the extent has bytes and lies within a file of `size` bytes.
inline void check_extent(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
    if (length == 0 || offset > size || length > size - offset) {
        throw std::invalid_argument("extent (" + std::to_string(offset) + ", " + std::to_string(length) +
                                    ") is empty or reaches beyond the file's " + std::to_string(size) + " bytes");
    }
}

// The bytes of these copies, which may be a stranger's. Throws std::invalid_argument if one is empty or leaves a target
// of `target_size` bytes or a basis of `basis_size`, or if they are more than the target together.
inline std::uint64_t check_copies(std::span<const Copy> copies, std::uint64_t target_size, std::uint64_t basis_size) {
    std::uint64_t left = target_size;
    for (const Copy& copy : copies) {
        check_extent(copy.target_offset, copy.length, target_size);
        check_extent(copy.basis_offset, copy.length, basis_size);
        if (copy.length > left) throw std::invalid_argument("copies of more than the file");
        left -= copy.length;
    }
    return target_size - left;
}

}  // namespace parasync
