// From weak checksums to the chunks that have them (ParaSync 3.2).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "parasync/chunk_table.hpp"
#include "parasync/extent.hpp"

namespace parasync {

inline constexpr std::uint32_t kNoChunk = std::numeric_limits<std::uint32_t>::max();

// Hashes words that strangers choose: by the product with an odd number that is chosen at random for each process, whose
// high bits nobody outside can make collide. `bits` is from 1 to 63.
std::size_t secret_hash(std::uint64_t word, int bits);

// Numbers different weak checksums, in the order in which they come. One owner.
class WeakSet {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    // The number of `weak`, or kNone.
    [[nodiscard]] std::uint32_t find(std::uint32_t weak) const;
    // The number of `weak`, which gets the next one if it has none.
    std::uint32_t add(std::uint32_t weak);

    [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(values_.size()); }
    // Throws std::out_of_range.
    [[nodiscard]] std::uint32_t value(std::uint32_t number) const { return values_.at(number); }

private:
    [[nodiscard]] std::size_t place(std::uint32_t weak) const;
    void grow();

    std::vector<std::uint32_t> values_;
    std::vector<std::uint32_t> places_;  // 0: empty; else one more than a number. A power of two, half full at most
};

// The chunks of a file by weak checksum. However many share one, a chunk is added and a checksum found in constant
// time. One owner.
class WeakTable {
public:
    // A match of the wanted checksum `wanted` (its place in the batch) and a chunk.
    struct Match {
        std::uint32_t wanted;
        std::uint32_t chunk;
    };

    // The table must outlive this one. Throws std::invalid_argument if it has no weak checksums.
    explicit WeakTable(const ChunkTable& chunks);

    [[nodiscard]] const ChunkTable& chunks() const { return chunks_; }
    // Adds chunks [first, first + count). Throws std::invalid_argument unless they are the next ones, std::out_of_range
    // if the table does not have them all.
    void insert(std::uint64_t first, std::uint64_t count);
    // All chunks that have one of these checksums, in the order of the checksums, then of the chunks.
    [[nodiscard]] std::vector<Match> find(std::span<const std::uint32_t> weak) const;
    // Appends the chunks that have the checksum.
    void find(std::uint32_t weak, std::vector<std::uint32_t>& chunks) const;

    [[nodiscard]] const WeakSet& values() const { return values_; }
    [[nodiscard]] std::uint64_t size() const { return next_.size(); }

private:
    struct List {
        std::uint32_t first;
        std::uint32_t last;
    };

    const ChunkTable& chunks_;
    WeakSet values_;
    std::vector<List> lists_;           // of each value
    std::vector<std::uint32_t> next_;   // behind each chunk, kNoChunk at the end
};

// The extents of these chunks. Throws std::out_of_range if the table does not have them all.
std::vector<Extent> extents_of(const ChunkTable& chunks, std::span<const std::uint32_t> numbers);

}  // namespace parasync
