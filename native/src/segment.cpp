#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cut_finder.hpp"
#include "kernel.hpp"
#include "parasync/chunking.hpp"
#include "parasync/crc32c.hpp"
#include "parasync/extent.hpp"
#include "parasync/file_io.hpp"

namespace parasync {

namespace {

// Bytes per read: what was just read is still in the second-level cache when it is scanned.
constexpr std::size_t kReadBytes = 256 * 1024;

}  // namespace

void Records::clear() {
    positions.clear();
    levels.clear();
    fingerprints.clear();
    weak.clear();
}

void Proposal::clear() {
    start = {};
    cuts.clear();
    fingerprints.clear();
    lengths.clear();
    weak.clear();
    any_forced = false;
    next_record = 0;
}

const std::uint8_t* SegmentBytes::get(std::uint32_t position, std::size_t size,
                                      std::vector<std::uint8_t>& scratch) const {
    if (data_ != nullptr) return data_ + position;
    scratch.resize(size);
    read_at(fd_, scratch, offset_ + position);
    return scratch.data();
}

Segment::Segment(std::size_t capacity)
    : capacity_(capacity != 0 && capacity <= kMaxCapacity
                    ? capacity
                    : throw std::invalid_argument("a segment's capacity of " + std::to_string(capacity) +
                                                  " bytes is not from 1 to " + std::to_string(kMaxCapacity))),
      memory_(kContext + capacity) {}

void Segment::scan_file(const FingerprintKey& key, std::uint32_t average, int fd, std::uint64_t offset,
                        std::size_t length, ScanOptions options) {
    begin(average, offset, length, options);
    const std::size_t context = std::min<std::uint64_t>(offset, kContext);
    std::uint8_t* bytes = memory_.data() + kContext;
    std::memset(memory_.data(), 0, kContext - context);
    for (std::size_t done = 0; done < length; done += kReadBytes) {
        const std::size_t size = std::min(kReadBytes, length - done);
        const std::size_t before = done == 0 ? context : 0;
        if (done != 0) {
            if (options.keep) {
                bytes += kReadBytes;
            } else {
                std::memcpy(bytes - kContext, bytes + kReadBytes - kContext, kContext);
            }
        }
        read_at(fd, {bytes - before, before + size}, offset + done - before);
        scan_piece(key, bytes, done, size);
    }
    bytes_ = options.keep ? SegmentBytes(memory_.data() + kContext) : SegmentBytes(fd, offset);
    finish(key);
}

void Segment::scan_buffer(const FingerprintKey& key, std::uint32_t average, std::span<const std::uint8_t> data,
                          std::uint64_t offset, std::size_t length, ScanOptions options) {
    begin(average, offset, length, options);
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
    bytes_ = SegmentBytes(data.data() + offset);
    finish(key);
}

std::size_t Segment::record_bytes() const {
    return records_.positions.size() *
               (sizeof records_.positions[0] + sizeof records_.levels[0] + sizeof records_.fingerprints[0]) +
           records_.weak.size() * sizeof records_.weak[0];
}

void Segment::begin(std::uint32_t average, std::uint64_t offset, std::size_t length, ScanOptions options) {
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
    options_ = options;
    offset_ = offset;
    length_ = length;
    candidates_ = 0;
    bytes_ = {};
    records_.clear();
    proposal_.clear();
}

void Segment::finish(const FingerprintKey& key) {
    propose(key);
    key_ = key;
}

// From the best candidate among the first, which is likely to be a cut; from the file's begin, which is one.
void Segment::propose(const FingerprintKey& key) {
    const std::uint32_t minimum = average_ / 2;
    const std::uint32_t maximum = minimum * 3;
    CutFinder finder(key, records_, bytes_);
    if (offset_ != 0) {
        const auto first = std::ranges::find_if(records_.levels, [](std::uint8_t level) { return level != 0; });
        if (first == records_.levels.end()) return;
        const std::uint32_t position = records_.positions[static_cast<std::size_t>(first - records_.levels.begin())];
        proposal_.start = finder.cut(finder.best(position, std::uint64_t{position} + maximum), 0);
    }
    std::uint64_t start = proposal_.start.position;
    while (start + maximum <= length_) {
        const std::uint64_t high = start + maximum;
        proposal_.cuts.push_back(finder.cut(finder.best(start + minimum, high), static_cast<std::uint32_t>(high)));
        start = proposal_.cuts.back().position;
        proposal_.any_forced |= proposal_.cuts.back().forced;
    }
    proposal_.next_record = finder.next_record();
    chunks_between(key, proposal_.start, proposal_.cuts, proposal_.fingerprints, proposal_.lengths);
    if (options_.weak) weak_between(proposal_.start, proposal_.cuts, proposal_.weak);
}

void Segment::scan_piece(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size) {
    if (done == 0 && size != 0) {
        scanner_.begin(data, threshold_level(average_));
        contest_.begin(average_);
    }
    for (std::size_t block = 0; block < size; block += CandidateScanner::kMaxBlock) {
        scan_block(key, data + block, done + block, std::min(CandidateScanner::kMaxBlock, size - block));
    }
}

// Finds the candidates of one block, and fingerprints it while it is in the cache.
void Segment::scan_block(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size) {
    const std::size_t found = scanner_.scan(data, size);
    candidates_ += found;
    record_block(done, size, found);
    std::vector<Fingerprint>& fingerprints = records_.fingerprints;
    const Fingerprint start = fingerprints.empty() ? Fingerprint{} : fingerprints.back();
    const std::size_t before = fingerprints.size();
    fingerprints.resize(records_.positions.size());
    current_kernel().accumulate(key.tables(), start, data, block_ends_.data(), block_ends_.size(),
                                fingerprints.data() + before);
    if (options_.weak) check_weak(data);
}

// The block's records, without their fingerprints: of the candidates found, those that may become cuts, and marks.
void Segment::record_block(std::size_t done, std::size_t size, std::size_t found) {
    const std::uint32_t spacing = average_ / 2;
    const std::uint8_t least = static_cast<std::uint8_t>(std::bit_width(average_) - 1);
    const bool first = options_.rule == CutRule::kFirst;
    const std::uint32_t* const positions = scanner_.positions();
    const std::uint8_t* const levels = scanner_.levels();
    const std::uint32_t base = static_cast<std::uint32_t>(done);
    const std::uint8_t* const open = first ? nullptr : contest_.judge(base, positions, levels, found);

    const std::size_t before = records_.positions.size();
    const std::size_t most = found + size / spacing + 1;
    block_ends_.resize(most);
    records_.levels.resize(before + most);
    std::uint32_t* const ends = block_ends_.data();
    std::uint8_t* const ranks = records_.levels.data() + before;
    std::size_t count = 0;
    std::uint32_t last = 0;
    const auto mark_up_to = [&](std::uint32_t position) {
        for (; position - last > spacing; last = ends[count++] = last + spacing) ranks[count] = 0;
    };
    for (std::size_t i = 0; i < found; ++i) {
        mark_up_to(positions[i]);
        last = ends[count] = positions[i];
        ranks[count] = first ? levels[i] >= least : levels[i];
        count += first || open[i];  // no branch: it would be unpredictable
    }
    mark_up_to(static_cast<std::uint32_t>(size));
    if (count == 0 || ends[count - 1] != size) {
        ends[count] = static_cast<std::uint32_t>(size);
        ranks[count++] = 0;
    }
    block_ends_.resize(count);
    records_.levels.resize(before + count);
    for (std::size_t i = 0; i < count; ++i) records_.positions.push_back(base + ends[i]);
}

// The weak checksums of one block's records.
void Segment::check_weak(const std::uint8_t* data) {
    std::uint32_t weak = records_.weak.empty() ? 0 : records_.weak.back();
    std::uint32_t done = 0;
    for (const std::uint32_t end : block_ends_) {
        weak = crc32c(weak, data + done, end - done);
        done = end;
        records_.weak.push_back(weak);
    }
}

}  // namespace parasync
