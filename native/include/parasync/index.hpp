// From (length, short fingerprint) to the number of a chunk that has both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <span>

#include "parasync/chunk_table.hpp"
#include "parasync/zeroed_memory.hpp"

namespace parasync {

// Open addressing over chunk numbers; the chunks themselves stay in their table. Buckets are cache lines, so that a
// look-up costs one miss, and one more where it finds something. With each number goes a 32-bit hash, which gives the
// bucket (growing never touches the table) and spares the table nearly all wrong candidates.
// Any number of threads may call any function: a batch holds the lock.
class ChunkIndex {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    // Room is made for all chunks of the table's file, or for so many. The table must outlive the index.
    explicit ChunkIndex(const ChunkTable& table);
    ChunkIndex(const ChunkTable& table, std::uint64_t expected);

    const ChunkTable& table() const { return table_; }

    // Makes these chunks of the table known; of equal ones the first inserted stays. Throws std::out_of_range if the
    // table does not have them all, std::bad_alloc.
    void insert(std::uint64_t first, std::uint64_t count);
    // The same for chunks that the table is known to have.
    void insert(std::span<const std::uint32_t> numbers);

    // For each of the chunks `numbers` of another table, the number of an equal chunk here or kNone, to `found`.
    void find(const ChunkTable& sought, std::span<const std::uint32_t> numbers, std::span<std::uint32_t> found) const;

    // Different chunks inserted.
    std::uint64_t size() const;
    std::size_t nbytes() const;

private:
    static constexpr std::size_t kBucket = 8;
    static constexpr std::size_t kGroup = 128;
    // Look-ups between a prefetch and its use: about as many cache misses as a core keeps in flight. (Measured: from 12
    // to 24 no difference, below and in batches without overlap a fifth slower.)
    static constexpr std::size_t kAhead = 16;

    // Filled from the front; a hash of 0 is an empty place. Chunks that find their bucket full go to the next one.
    struct alignas(64) Bucket {
        std::uint32_t hashes[kBucket];
        std::uint32_t numbers[kBucket];

        bool full() const { return hashes[kBucket - 1] != 0; }
        // A bit for each place with this hash.
        unsigned candidates(std::uint32_t hash) const;
        // Into the first free place; there must be one.
        void add(std::uint32_t hash, std::uint32_t number);
    };

    Bucket* buckets() const { return reinterpret_cast<Bucket*>(memory_.data()); }
    std::size_t home(std::uint32_t hash) const;
    std::size_t after(std::size_t bucket) const { return bucket + 1 == bucket_count_ ? 0 : bucket + 1; }
    void place(std::uint32_t hash, std::uint32_t number);
    // The number of the equal chunk, or kNone, and the bucket in which the search ended.
    struct Found {
        std::uint32_t number;
        std::size_t bucket;
    };
    Found seek(std::uint32_t hash, std::uint32_t length, std::uint64_t fingerprint) const;
    std::uint32_t first_candidate(std::uint32_t hash) const;
    void insert_group(std::span<const std::uint32_t> numbers);
    void find_group(const ChunkTable& sought, std::span<const std::uint32_t> numbers, std::uint32_t* found) const;
    void reserve(std::uint64_t entries);

    const ChunkTable& table_;
    mutable std::mutex mutex_;
    std::size_t bucket_count_;
    ZeroedMemory memory_;  // bucket_count_ buckets
    std::uint64_t used_ = 0;
};

}  // namespace parasync
