// Positional reads and writes that finish what they begin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>

namespace parasync {

// Largest file size and offset that the system calls take.
inline constexpr std::uint64_t kMaxOffset = std::numeric_limits<std::int64_t>::max();

// A file is shorter than it was said to be; EOFError in Python.
class EndOfFile : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Fills `buffer` from `offset`. Throws EndOfFile if the file ends before, std::system_error (OSError in Python) if a
// read fails. Interrupted and partial reads go on.
void read_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset);

// Writes all of `data` at `offset`. Throws std::system_error. Interrupted and partial writes go on.
void write_at(int fd, std::span<const std::uint8_t> data, std::uint64_t offset);

// Makes `length` bytes at `target_offset` share the storage of those at `basis_offset`, where the file system can and
// all three are multiples of its block size; false if it does not. Throws std::system_error if there is no space.
bool clone_at(int target_fd, std::uint64_t target_offset, int basis_fd, std::uint64_t basis_offset,
              std::uint64_t length);

}  // namespace parasync
