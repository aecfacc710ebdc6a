#include "parasync/file_io.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace parasync {

void read_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset) {
    while (!buffer.empty()) {
        const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
        if (got < 0) {
            if (errno == EINTR) continue;
            throw std::system_error(errno, std::generic_category());
        }
        if (got == 0) {
            throw EndOfFile("the file ends at or before byte " + std::to_string(offset) + ", " +
                            std::to_string(buffer.size()) + " bytes too early: it was cut while being read");
        }
        buffer = buffer.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
}

void write_at(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (put < 0) {
            if (errno == EINTR) continue;
            throw std::system_error(errno, std::generic_category());
        }
        // A regular file never takes nothing of something; a driver that does must not hang the caller.
        if (put == 0) throw std::system_error(EIO, std::generic_category());
        data = data.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
}

bool clone_at(int target_fd, std::uint64_t target_offset, int basis_fd, std::uint64_t basis_offset,
              std::uint64_t length) {
    file_clone_range range{};
    range.src_fd = basis_fd;
    range.src_offset = basis_offset;
    range.src_length = length;
    range.dest_offset = target_offset;
    for (;;) {
        if (::ioctl(target_fd, FICLONERANGE, &range) == 0) return true;
        if (errno == EINTR) continue;
        if (errno == ENOSPC || errno == EDQUOT || errno == EIO) {
            throw std::system_error(errno, std::generic_category());
        }
        return false;  // another file system, one that cannot, a basis that ends here: copying will do, or will tell
    }
}

}  // namespace parasync
