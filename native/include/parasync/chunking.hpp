// Phase I (ParaSync 3.1): segments are scanned in parallel, then merged in file order into chunks.
//
// Contract, bit-identical on every CPU, with every kernel and for every way to cut a file into segments: with the
// candidates of scan.hpp and the table's minimum and maximum, the chunk that begins at `start`
//   - is the rest of the file, if that is no longer than the maximum;
//   - else ends at the candidate of the highest level in [start + minimum, start + maximum], the first of equals;
//   - else, without such a candidate, has the maximum length (a forced cut).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "parasync/chunk_table.hpp"
#include "parasync/fingerprint.hpp"
#include "parasync/scan.hpp"

namespace parasync {

// A range of anonymous memory that costs nothing until it is touched.
class LazyMemory {
public:
    explicit LazyMemory(std::size_t size);  // throws std::bad_alloc
    ~LazyMemory();
    LazyMemory(const LazyMemory&) = delete;
    LazyMemory& operator=(const LazyMemory&) = delete;

    [[nodiscard]] std::uint8_t* data() const { return data_; }

private:
    std::uint8_t* data_;
    std::size_t size_;
};

// One worker's scratch: a buffer for one segment with its context, and what the scan of it found. One owner at a
// time; reused for any number of segments.
//
// A scan leaves records, in the order of their positions: a candidate each, or a mark (level 0) that is no candidate.
// Marks end the segment and every block, and stand wherever no candidate has been for half an average chunk,
// so that a forced cut finds a fingerprint nearby. With the distances of scan.hpp that bounds the records, whatever
// the content.
class Segment {
public:
    static constexpr std::size_t kMaxCapacity = std::size_t{1} << 30;  // positions are 32 bits

    // Throws std::invalid_argument if `capacity` is 0 or above kMaxCapacity.
    explicit Segment(std::size_t capacity);

    // Reads [offset - kContext, offset + length) of the file and scans it. Throws std::invalid_argument if `length`
    // exceeds the capacity or `average` is bad, std::system_error from the read, EndOfFile if the file ends early.
    void scan_file(const FingerprintKey& key, std::uint32_t average, int fd, std::uint64_t offset, std::size_t length);

    // The same over a whole file in memory, which must stay there until the segment has been merged.
    // Throws std::invalid_argument if the extent reaches beyond `data`, too.
    void scan_buffer(const FingerprintKey& key, std::uint32_t average, std::span<const std::uint8_t> data,
                     std::uint64_t offset, std::size_t length);

    // False until a scan, and after one that failed.
    [[nodiscard]] bool scanned() const { return key_.has_value(); }
    [[nodiscard]] std::uint64_t offset() const { return offset_; }
    [[nodiscard]] std::size_t length() const { return length_; }
    [[nodiscard]] std::uint64_t end() const { return offset_ + length_; }
    [[nodiscard]] std::size_t candidates() const { return candidates_; }
    [[nodiscard]] std::size_t record_bytes() const;

private:
    friend class Merger;

    void begin(std::uint32_t average, std::uint64_t offset, std::size_t length);
    // Scans bytes [done, done + size) of the segment, which are at `data` with their context before them.
    void scan_piece(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size);
    void scan_block(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size);

    const std::size_t capacity_;
    LazyMemory memory_;
    CandidateScanner scanner_;

    std::optional<FingerprintKey> key_;
    std::uint32_t average_ = 0;
    std::uint64_t offset_ = 0;
    std::size_t length_ = 0;
    std::size_t candidates_ = 0;
    const std::uint8_t* bytes_ = nullptr;

    // The records, a column each: the merge's choice of cuts only walks the first two.
    std::vector<std::uint32_t> positions_;    // from the segment's begin, ascending; the last is its length
    std::vector<std::uint8_t> levels_;        // 0: a mark
    std::vector<Fingerprint> fingerprints_;   // of the segment's bytes up to the position
    std::vector<std::uint32_t> block_ends_;   // scratch of scan_block
};

// Takes segments in file order and appends the chunks that have become final to a table. One owner.
//
// It never looks back into an earlier segment: what is undecided at a segment's end is carried as the fingerprint of
// the open chunk and its few possible cuts. A forced cut always lies in the segment just given, because with the
// bytes up to it the chunk would have been decided before.
class Merger {
public:
    // The table outlives the merger and has no other writer. Throws std::invalid_argument unless it is empty.
    Merger(const FingerprintKey& key, ChunkTable& table);

    // Appends the chunks that are final now; returns how many. Throws std::invalid_argument, with nothing changed, if
    // the segment was not scanned with the same key and average, or is not the next one.
    std::uint64_t merge(const Segment& segment);

    [[nodiscard]] std::uint64_t forced() const { return forced_; }
    // Bytes hashed again for forced cuts.
    [[nodiscard]] std::uint64_t rehashed() const { return rehashed_; }

private:
    // A possible end of the open chunk, in a segment that is gone.
    struct OpenCut {
        std::uint64_t position;
        unsigned level;
        Fingerprint fingerprint;  // of the open chunk up to here
    };
    // A cut in the given segment.
    struct Cut {
        std::uint32_t position;
        Fingerprint fingerprint;  // of the segment up to here
    };
    // The best of some records, and the first record behind them. Level 0: there was no candidate.
    struct Best {
        unsigned level;
        std::size_t record;
        std::size_t behind;
    };

    void check(const Segment& segment) const;
    void choose_cuts(const Segment& segment);
    Best best_record(const Segment& segment, std::uint64_t low, std::uint64_t high);
    bool take_open_cut(std::uint64_t low, unsigned level);
    Cut forced_cut(const Segment& segment, std::size_t behind, std::uint32_t position);
    void append_chunks(const Segment& segment);
    void keep_open(const Segment& segment);

    const FingerprintKey key_;
    ChunkTable& table_;
    std::uint64_t merged_ = 0;  // end of the last segment
    std::uint64_t start_ = 0;   // of the open chunk
    Fingerprint open_;          // of [start_, merged_)
    std::vector<OpenCut> open_cuts_;
    std::uint64_t forced_ = 0;
    std::uint64_t rehashed_ = 0;

    // Of the segment being merged.
    std::size_t next_record_ = 0;
    std::vector<Cut> cuts_;
    std::vector<Fingerprint> lefts_;
    std::vector<Fingerprint> rights_;
    std::vector<std::uint64_t> distances_;
};

}  // namespace parasync
