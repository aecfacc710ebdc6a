#include "parasync/target_writer.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "parasync/file_io.hpp"
#include "parasync/zeroed_memory.hpp"

namespace parasync {

namespace {

// Large enough that system calls do not matter, small enough that a block read or received is still in the
// second-level cache when it is fingerprinted and written.
constexpr std::size_t kBlock = 128 << 10;

// What file systems that clone take as a block; one with larger ones refuses, and is not asked again.
constexpr std::uint64_t kCloneUnit = 4096;
// Shorter ranges are copied sooner than cloned.
constexpr std::uint64_t kLeastClone = 64 << 10;
// Shorter runs of zeros are written: a hole has to be a block at least, and costs an extent.
constexpr std::size_t kLeastHole = 4096;

// The part of a copy that is whole blocks of both files; of no length if these lie differently.
Copy whole_blocks(const Copy& copy) {
    const std::uint64_t head = (kCloneUnit - copy.target_offset % kCloneUnit) % kCloneUnit;
    const bool alike = copy.target_offset % kCloneUnit == copy.basis_offset % kCloneUnit;
    const std::uint64_t length = alike && copy.length > head ? (copy.length - head) / kCloneUnit * kCloneUnit : 0;
    return {copy.target_offset + head, copy.basis_offset + head, length};
}

bool all_zero(std::span<const std::uint8_t> data) {
    return data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

// One block per thread, kept: fresh pages for every call would cost more than the copy. It begins with a page: what
// malloc gives begins 16 bytes behind one, to where Zen 3 copies from the beginning of another a third as fast.
std::span<std::uint8_t> scratch() {
    thread_local const ZeroedMemory block(kBlock);
    return {block.data(), block.size()};
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

    std::uint64_t basis_offset() const { return copies_[next_].basis_offset + taken_; }

    // The next part, `room` bytes at most; joins copies that are adjacent in both files.
    Extent take(std::uint64_t room) {
        const std::uint64_t basis = basis_offset();
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
        } while (length < room && !done() && basis_offset() == basis + length &&
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

std::uint64_t TargetWriter::copy(int basis_fd, std::span<const Copy> copies, HeldBytes held) {
    check_copies(copies, size_);
    const std::span<std::uint8_t> block = scratch();
    Written written;
    std::vector<Copy> rest;
    if (clones_) {
        rest = clone(basis_fd, copies, written);
        copies = rest;
    }
    CopyCursor cursor(copies);
    const auto is_held = [&] { return cursor.basis_offset() >= held.offset && cursor.basis_offset() < held.end(); };
    while (!cursor.done()) {
        const std::uint64_t offset = cursor.target_offset();
        if (is_held()) {
            const Extent part = cursor.take(std::min<std::uint64_t>(kBlock, held.end() - cursor.basis_offset()));
            write(held.bytes.subspan(part.offset - held.offset, part.length), offset, written);
            continue;
        }
        // Gather from anywhere in the basis what is contiguous in the target.
        std::uint64_t filled = 0;
        do {
            std::uint64_t room = block.size() - filled;
            if (cursor.basis_offset() < held.offset) room = std::min(room, held.offset - cursor.basis_offset());
            const Extent part = cursor.take(room);
            read_at(basis_fd, block.subspan(filled, part.length), part.offset);
            filled += part.length;
        } while (filled < block.size() && !cursor.done() && !is_held() && cursor.target_offset() == offset + filled);
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

// Clones what can be, and returns what is left to copy.
std::vector<Copy> TargetWriter::clone(int basis_fd, std::span<const Copy> copies, Written& written) {
    std::vector<Copy> rest;
    for (const Copy& copy : copies) {
        const Copy blocks = whole_blocks(copy);
        if (blocks.length < kLeastClone || !clone_blocks(basis_fd, blocks)) {
            rest.push_back(copy);
            continue;
        }
        read_back(blocks, written);
        const std::uint64_t head = blocks.target_offset - copy.target_offset;
        const std::uint64_t tail = head + blocks.length;
        if (head != 0) rest.push_back({copy.target_offset, copy.basis_offset, head});
        if (tail != copy.length) {
            rest.push_back({copy.target_offset + tail, copy.basis_offset + tail, copy.length - tail});
        }
    }
    return rest;
}

bool TargetWriter::clone_blocks(int basis_fd, const Copy& blocks) {
    if (!clones_) return false;
    const std::scoped_lock lock(writing_);
    const bool done = clone_at(fd_, blocks.target_offset, basis_fd, blocks.basis_offset, blocks.length);
    if (!done) clones_ = false;
    return done;
}

void TargetWriter::read_back(const Copy& cloned, Written& written) const {
    const std::span<std::uint8_t> block = scratch();
    for (std::uint64_t done = 0; done < cloned.length;) {
        const std::span part = block.first(std::min<std::uint64_t>(block.size(), cloned.length - done));
        read_at(fd_, part, cloned.target_offset + done);
        count(part, cloned.target_offset + done, written);
        done += part.size();
    }
}

void TargetWriter::write(std::span<const std::uint8_t> data, std::uint64_t offset, Written& written) const {
    Written one;
    count(data, offset, one);
    if (data.size() < kLeastHole || !all_zero(data)) {
        const std::scoped_lock lock(writing_);
        write_at(fd_, data, offset);
    }
    written.sum ^= one.sum;
    written.bytes += one.bytes;
}

void TargetWriter::count(std::span<const std::uint8_t> data, std::uint64_t offset, Written& written) const {
    written.sum ^= key_.shift(key_.fingerprint(data.data(), data.size()), size_ - offset - data.size());
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
