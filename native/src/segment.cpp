#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include <sys/mman.h>

#include "kernel.hpp"
#include "parasync/chunking.hpp"
#include "parasync/extent.hpp"
#include "parasync/file_io.hpp"

namespace parasync {

namespace {

// Bytes per read: what was just read is still in the second-level cache when it is scanned.
constexpr std::size_t kReadBytes = 256 * 1024;

}  // namespace

LazyMemory::LazyMemory(std::size_t size) : size_(size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::uint8_t*>(memory);
#if defined(MADV_HUGEPAGE)
    ::madvise(memory, size, MADV_HUGEPAGE);  // advice: it may be refused
#endif
}

LazyMemory::~LazyMemory() { ::munmap(data_, size_); }

Segment::Segment(std::size_t capacity)
    : capacity_(capacity != 0 && capacity <= kMaxCapacity
                    ? capacity
                    : throw std::invalid_argument("a segment's capacity of " + std::to_string(capacity) +
                                                  " bytes is not from 1 to " + std::to_string(kMaxCapacity))),
      memory_(kContext + capacity) {}

void Segment::scan_file(const FingerprintKey& key, std::uint32_t average, int fd, std::uint64_t offset,
                        std::size_t length) {
    begin(average, offset, length);
    const std::size_t context = std::min<std::uint64_t>(offset, kContext);
    std::uint8_t* const bytes = memory_.data() + kContext;
    std::memset(memory_.data(), 0, kContext - context);
    for (std::size_t done = 0; done < length; done += kReadBytes) {
        const std::size_t size = std::min(kReadBytes, length - done);
        const std::size_t before = done == 0 ? context : 0;
        read_at(fd, {bytes + done - before, before + size}, offset + done - before);
        scan_piece(key, bytes + done, done, size);
    }
    bytes_ = bytes;
    key_ = key;
}

void Segment::scan_buffer(const FingerprintKey& key, std::uint32_t average, std::span<const std::uint8_t> data,
                          std::uint64_t offset, std::size_t length) {
    begin(average, offset, length);
    if (length != 0) check_extent(offset, length, data.size());
    std::size_t done = 0;
    if (offset < kContext) {
        // The first block goes through the buffer, where its context continues in zeros before the file.
        done = std::min(length, CandidateScanner::kMaxBlock);
        std::memset(memory_.data(), 0, kContext - offset);
        std::memcpy(memory_.data() + kContext - offset, data.data(), offset + done);
        scan_piece(key, memory_.data() + kContext, 0, done);
    }
    scan_piece(key, data.data() + offset + done, done, length - done);
    bytes_ = data.data() + offset;
    key_ = key;
}

std::size_t Segment::record_bytes() const {
    return positions_.size() * (sizeof positions_[0] + sizeof levels_[0] + sizeof fingerprints_[0]);
}

void Segment::begin(std::uint32_t average, std::uint64_t offset, std::size_t length) {
    key_.reset();
    threshold_level(average);  // throws for a bad one
    if (length > capacity_) {
        throw std::invalid_argument("a segment of " + std::to_string(length) + " bytes exceeds the capacity of " +
                                    std::to_string(capacity_));
    }
    if (offset > kMaxOffset - length) {
        throw std::invalid_argument("offset " + std::to_string(offset) + " is beyond the largest file");
    }
    average_ = average;
    offset_ = offset;
    length_ = length;
    candidates_ = 0;
    positions_.clear();
    levels_.clear();
    fingerprints_.clear();
}

void Segment::scan_piece(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size) {
    if (done == 0 && size != 0) scanner_.begin(data, threshold_level(average_));
    for (std::size_t block = 0; block < size; block += CandidateScanner::kMaxBlock) {
        scan_block(key, data + block, done + block, std::min(CandidateScanner::kMaxBlock, size - block));
    }
}

// Finds the candidates of one block, and fingerprints it while it is in the cache.
void Segment::scan_block(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size) {
    const std::size_t found = scanner_.scan(data, size);
    const std::uint32_t spacing = average_ / 2;
    std::uint32_t last = 0;
    block_ends_.clear();
    const auto record = [&](std::uint32_t position, std::uint8_t level) {
        block_ends_.push_back(position);
        positions_.push_back(static_cast<std::uint32_t>(done) + position);
        levels_.push_back(level);
        last = position;
    };
    for (std::size_t i = 0; i < found; ++i) {
        const std::uint32_t position = scanner_.positions()[i];
        while (position - last > spacing) record(last + spacing, 0);
        record(position, scanner_.levels()[i]);
    }
    while (size - last > spacing) record(last + spacing, 0);
    if (last != size) record(static_cast<std::uint32_t>(size), 0);

    const Fingerprint start = fingerprints_.empty() ? Fingerprint{} : fingerprints_.back();
    const std::size_t before = fingerprints_.size();
    fingerprints_.resize(positions_.size());
    current_kernel().accumulate(key.tables(), start, data, block_ends_.data(), block_ends_.size(),
                                fingerprints_.data() + before);
    candidates_ += found;
}

}  // namespace parasync
