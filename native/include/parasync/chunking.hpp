// Phase I (ParaSync 3.1): segments are scanned in parallel, then merged in file order into chunks.
//
// Contract, bit-identical on every CPU, with every kernel and for every way to cut a file into segments: with the
// candidates of scan.hpp and the table's minimum and maximum, the chunk that begins at `start`
//   - is the rest of the file, if that is no longer than the maximum;
//   - else ends at the candidate that the rule prefers in [start + minimum, start + maximum]: of the highest level,
//     the first of equals; or the first of level log2(average) or more;
//   - else, without such a candidate, has the maximum length (a forced cut).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "parasync/chunk_table.hpp"
#include "parasync/contest.hpp"
#include "parasync/fingerprint.hpp"
#include "parasync/scan.hpp"
#include "parasync/zeroed_memory.hpp"

namespace parasync {

enum class CutRule : std::uint8_t {
    kHighest,  // the candidate of the highest level, the first of equals
    kFirst,    // the first candidate of level log2(average) or more (ParaSync 3.1)
};

// What a segment is scanned for.
struct ScanOptions {
    CutRule rule = CutRule::kHighest;
    bool weak = false;  // CRC32C of chunks, too
    bool keep = false;  // the segment's bytes stay in memory until the next scan
};

// What the scan of a segment found, in the order of positions, a column each: the choice of cuts only walks the first
// two. A record is a candidate, or a mark (level 0) that is none. Marks end the segment and every block, and stand
// wherever no candidate has been for half an average chunk, so that a forced cut finds a fingerprint nearby. With the
// distances of scan.hpp that bounds the records, whatever the content. By the rule of the highest level, candidates that
// cannot win leave no record (contest.hpp).
//
// Cut rules differ here and nowhere else: for kFirst, candidates of a lower level are marks and all others are of level
// 1, so that the first of the highest level is the first.
struct Records {
    std::vector<std::uint32_t> positions;    // from the segment's begin, ascending; the last is its length
    std::vector<std::uint8_t> levels;        // 0: a mark
    std::vector<Fingerprint> fingerprints;   // of the segment's bytes up to the position
    std::vector<std::uint32_t> weak;         // their CRC32C; empty unless asked for

    [[nodiscard]] std::uint32_t weak_at(std::size_t record) const { return weak.empty() ? 0 : weak[record]; }

    void clear();
};

// A cut in a segment.
struct Cut {
    std::uint32_t position;    // from the segment's begin
    bool forced;
    std::uint32_t rehashed;    // bytes hashed again for it
    Fingerprint fingerprint;   // of the segment up to here
    std::uint32_t weak;        // the same bytes' CRC32C, if asked for
};

// The cuts that follow each other in a segment if a chunk begins at `start`. What follows a cut depends on nothing
// before it, so as soon as the true cuts meet one of these, the others are true as well; they mostly meet after one or
// two chunks. That leaves next to nothing to the merge, which is serial.
struct Proposal {
    Cut start{};
    std::vector<Cut> cuts;
    std::vector<Fingerprint> fingerprints;  // of the chunks that end at the cuts
    std::vector<std::uint32_t> lengths;
    std::vector<std::uint32_t> weak;        // their CRC32C; empty unless asked for
    bool any_forced = false;                // whether any of the cuts is
    std::size_t next_record = 0;            // the first that may be a cut of the chunk behind the last cut

    void clear();
};

// Where bytes of a segment can be had again, from its begin.
class SegmentBytes {
public:
    SegmentBytes() = default;
    explicit SegmentBytes(const std::uint8_t* data) : data_(data) {}
    SegmentBytes(int fd, std::uint64_t offset) : fd_(fd), offset_(offset) {}

    // The segment's begin in memory, if it is there.
    [[nodiscard]] const std::uint8_t* data() const { return data_; }
    // Bytes [position, position + size), if need be in `scratch`. Throws as read_at().
    const std::uint8_t* get(std::uint32_t position, std::size_t size, std::vector<std::uint8_t>& scratch) const;

private:
    const std::uint8_t* data_ = nullptr;
    int fd_ = -1;
    std::uint64_t offset_ = 0;
};

// One worker's scratch: a buffer for one segment with its context, and what the scan of it found. One owner at a
// time; reused for any number of segments. Memory that was never needed is never touched.
class Segment {
public:
    static constexpr std::size_t kMaxCapacity = std::size_t{1} << 30;  // positions are 32 bits

    // Throws std::invalid_argument if `capacity` is 0 or above kMaxCapacity.
    explicit Segment(std::size_t capacity);

    // Reads [offset - kContext, offset + length) of the file and scans it; unless its bytes are to be kept, piece by
    // piece into the same memory, which then stays in the second-level cache, and `fd` is read from again until the
    // segment has been merged. Throws std::invalid_argument if `length` exceeds the capacity or `average` is bad,
    // std::system_error from the read, EndOfFile if the file ends early.
    void scan_file(const FingerprintKey& key, std::uint32_t average, int fd, std::uint64_t offset, std::size_t length,
                   ScanOptions options = {});

    // The same over a whole file in memory, which must stay there until the segment has been merged.
    // Throws std::invalid_argument if the extent reaches beyond `data`, too.
    void scan_buffer(const FingerprintKey& key, std::uint32_t average, std::span<const std::uint8_t> data,
                     std::uint64_t offset, std::size_t length, ScanOptions options = {});

    // False until a scan, and after one that failed.
    [[nodiscard]] bool scanned() const { return key_.has_value(); }
    [[nodiscard]] std::uint64_t offset() const { return offset_; }
    [[nodiscard]] std::size_t length() const { return length_; }
    [[nodiscard]] std::uint64_t end() const { return offset_ + length_; }
    // What was scanned, until the next scan; nothing if it was not kept.
    [[nodiscard]] std::span<const std::uint8_t> bytes() const {
        return {bytes_.data(), bytes_.data() == nullptr ? 0 : length_};
    }
    [[nodiscard]] std::size_t candidates() const { return candidates_; }
    [[nodiscard]] std::size_t record_bytes() const;

private:
    friend class Merger;

    void begin(std::uint32_t average, std::uint64_t offset, std::size_t length, ScanOptions options);
    void finish(const FingerprintKey& key);
    void propose(const FingerprintKey& key);
    // Scans bytes [done, done + size) of the segment, which are at `data` with their context before them.
    void scan_piece(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size);
    void scan_block(const FingerprintKey& key, const std::uint8_t* data, std::size_t done, std::size_t size);
    void record_block(std::size_t done, std::size_t size, std::size_t found);
    void check_weak(const std::uint8_t* data);

    const std::size_t capacity_;
    ZeroedMemory memory_;
    CandidateScanner scanner_;
    Contest contest_;

    std::optional<FingerprintKey> key_;
    std::uint32_t average_ = 0;
    ScanOptions options_;
    std::uint64_t offset_ = 0;
    std::size_t length_ = 0;
    std::size_t candidates_ = 0;
    SegmentBytes bytes_;

    Records records_;
    Proposal proposal_;
    std::vector<std::uint32_t> block_ends_;   // scratch of scan_block
};

// Takes segments in file order and appends the chunks that have become final to a table. One owner.
//
// It never looks back into an earlier segment: what is undecided at a segment's end is carried as the fingerprint of
// the open chunk and its few possible cuts. A forced cut always lies in the segment just given, because with the
// bytes up to it the chunk would have been decided before.
class Merger {
public:
    // The table outlives the merger and has no other writer; if it has weak checksums, so must have the segments.
    // Throws std::invalid_argument unless it is empty.
    Merger(const FingerprintKey& key, ChunkTable& table, CutRule rule = CutRule::kHighest);

    // Appends the chunks that are final now; returns how many. Throws std::invalid_argument, with nothing changed, if
    // the segment was not scanned with the same key, average, rule and checksums, or is not the next one. Throws as
    // read_at() if bytes are needed again that were not kept; nothing can be merged after that.
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
        std::uint32_t weak;
    };

    void check(const Segment& segment) const;
    void choose_cuts(const Segment& segment);
    bool take_open_cut(std::uint64_t low, unsigned level);
    bool follow_proposal(const Segment& segment, std::uint64_t start);
    void append_chunks(const Segment& segment);
    void append_proposed(const Segment& segment);
    void append_last(const Segment& segment);
    void count(const Cut& cut);
    void keep_open(const Segment& segment);

    const FingerprintKey key_;
    ChunkTable& table_;
    const ScanOptions options_;
    std::uint64_t merged_ = 0;  // end of the last segment
    std::uint64_t start_ = 0;   // of the open chunk
    Fingerprint open_;          // of [start_, merged_)
    std::uint32_t open_weak_ = 0;
    std::vector<OpenCut> open_cuts_;
    std::uint64_t forced_ = 0;
    std::uint64_t rehashed_ = 0;

    // Of the segment being merged.
    std::vector<Cut> cuts_;            // until they meet the proposal
    std::size_t followed_ = 0;         // the proposal's cuts from here
    std::size_t followed_end_ = 0;     // to here are true
    std::size_t next_record_ = 0;
    Cut last_{};                       // the last cut; before the first, the open chunk in front of the segment
    std::vector<Fingerprint> fingerprints_;
    std::vector<std::uint32_t> lengths_;
    std::vector<std::uint32_t> weak_;
};

}  // namespace parasync
