#include "parasync/target_writer.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "parasync/file_io.hpp"

namespace parasync {

namespace {

// Large enough that system calls do not matter, small enough that a block read or received is still in the
// second-level cache when it is fingerprinted and written.
constexpr std::size_t kBlock = 128 << 10;

// One block per thread, kept: fresh pages for every call would cost more than the copy.
std::span<std::uint8_t> scratch() {
    thread_local const std::unique_ptr<std::uint8_t[]> block = std::make_unique_for_overwrite<std::uint8_t[]>(kBlock);
    return {block.get(), kBlock};
}

void check_copies(std::span<const Copy> copies, std::uint64_t size) {
    for (const Copy& copy : copies) {
        check_extent(copy.target_offset, copy.length, size);
        check_extent(copy.basis_offset, copy.length, kMaxOffset);
    }
}

void check_literals(std::span<const Extent> extents, std::uint64_t size, std::uint64_t bytes) {
    std::uint64_t left = bytes;
    for (const Extent& extent : extents) {
        check_extent(extent.offset, extent.length, size);
        if (extent.length > left) throw std::invalid_argument("the extents cover more than the literal's bytes");
        left -= extent.length;
    }
    if (left != 0) throw std::invalid_argument("the extents cover less than the literal's bytes");
}

// Hands out a list of copies in parts of any wanted size.
class CopyCursor {
public:
    explicit CopyCursor(std::span<const Copy> copies) : copies_(copies) {}

    bool done() const { return next_ == copies_.size(); }
    std::uint64_t target_offset() const { return copies_[next_].target_offset + taken_; }

    // The next part, `room` bytes at most; joins copies that are adjacent in both files.
    Extent take(std::uint64_t room) {
        const std::uint64_t basis = copies_[next_].basis_offset + taken_;
        const std::uint64_t target = target_offset();
        std::uint64_t length = 0;
        do {
            const std::uint64_t part = std::min(copies_[next_].length - taken_, room - length);
            length += part;
            taken_ += part;
            if (taken_ == copies_[next_].length) {
                ++next_;
                taken_ = 0;
            }
        } while (length < room && !done() && copies_[next_].basis_offset + taken_ == basis + length &&
                 target_offset() == target + length);
        return {basis, length};
    }

private:
    const std::span<const Copy> copies_;
    std::size_t next_ = 0;
    std::uint64_t taken_ = 0;
};

}  // namespace

TargetWriter::TargetWriter(int fd, std::uint64_t size, FingerprintKey key)
    : fd_(fd), size_(size), key_(std::move(key)) {
    if (size > kMaxOffset) throw std::invalid_argument("no file has " + std::to_string(size) + " bytes");
}

std::uint64_t TargetWriter::copy(int basis_fd, std::span<const Copy> copies) {
    check_copies(copies, size_);
    const std::span<std::uint8_t> block = scratch();
    Written written;
    CopyCursor cursor(copies);
    while (!cursor.done()) {
        // Gather from anywhere in the basis what is contiguous in the target.
        const std::uint64_t offset = cursor.target_offset();
        std::uint64_t filled = 0;
        do {
            const Extent part = cursor.take(block.size() - filled);
            read_at(basis_fd, block.subspan(filled, part.length), part.offset);
            filled += part.length;
        } while (filled < block.size() && !cursor.done() && cursor.target_offset() == offset + filled);
        write(block.first(filled), offset, written);
    }
    add(written);
    return written.bytes;
}

std::uint64_t TargetWriter::literal(std::span<const Extent> extents, std::span<const std::uint8_t> data) {
    check_literals(extents, size_, data.size());
    Written written;
    for (std::size_t i = 0; i < extents.size();) {
        Extent run = extents[i++];
        while (i < extents.size() && extents[i].offset == run.offset + run.length) run.length += extents[i++].length;
        while (run.length > 0) {
            const std::uint64_t part = std::min<std::uint64_t>(run.length, kBlock);
            write(data.first(part), run.offset, written);
            data = data.subspan(part);
            run.offset += part;
            run.length -= part;
        }
    }
    add(written);
    return written.bytes;
}

void TargetWriter::write(std::span<const std::uint8_t> data, std::uint64_t offset, Written& written) const {
    const Fingerprint placed = key_.shift(key_.fingerprint(data.data(), data.size()), size_ - offset - data.size());
    {
        const std::scoped_lock lock(writing_);
        write_at(fd_, data, offset);
    }
    written.sum ^= placed;
    written.bytes += data.size();
}

void TargetWriter::add(const Written& written) {
    const std::scoped_lock lock(mutex_);
    total_.bytes += written.bytes;
    total_.sum ^= written.sum;
}

std::uint64_t TargetWriter::written() const {
    const std::scoped_lock lock(mutex_);
    return total_.bytes;
}

Fingerprint TargetWriter::fingerprint() const {
    const std::scoped_lock lock(mutex_);
    return total_.sum;
}

}  // namespace parasync
