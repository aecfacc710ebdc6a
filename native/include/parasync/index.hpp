// From (length, fingerprint) to the number of a basis chunk that has both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include "parasync/chunk_table.hpp"

namespace parasync {

// Open addressing over chunk numbers; the chunks themselves stay in their table. Buckets are cache lines, so that a
// look-up costs one miss, and one more where it finds something. With each number goes a 32-bit hash, which gives the
// bucket (growing never touches the table) and spares the table nearly all wrong candidates.
// Any number of threads may call any function: a batch holds the lock.
class BasisIndex {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    // The table must outlive the index.
    explicit BasisIndex(const ChunkTable& table);

    const ChunkTable& table() const { return table_; }

    // Makes these chunks of the table known; of equal ones the first inserted stays. Throws std::out_of_range if the
    // table does not have them all, std::bad_alloc.
    void insert(std::uint64_t first, std::uint64_t count);

    // For each of the target's chunks `numbers`, the number of an equal basis chunk or kNone, to `found`.
    void find(const ChunkTable& target, std::span<const std::uint32_t> numbers, std::span<std::uint32_t> found) const;

    // Different chunks inserted.
    std::uint64_t size() const;
    std::size_t nbytes() const;

private:
    static constexpr std::size_t kBucket = 8;
    static constexpr std::size_t kGroup = 32;

    // Filled from the front; a hash of 0 is an empty place. Chunks that find their bucket full go to the next one.
    struct alignas(64) Bucket {
        std::array<std::uint32_t, kBucket> hashes;
        std::array<std::uint32_t, kBucket> numbers;

        bool full() const { return hashes.back() != 0; }
        // A bit for each place with this hash.
        unsigned candidates(std::uint32_t hash) const;
    };

    std::size_t home(std::uint32_t hash) const;
    std::size_t after(std::size_t bucket) const { return bucket + 1 == buckets_.size() ? 0 : bucket + 1; }
    void place(std::uint32_t hash, std::uint32_t number);
    // The number of the equal chunk, or kNone.
    std::uint32_t seek(std::uint32_t hash, std::uint32_t length, Fingerprint fingerprint) const;
    void insert_group(std::uint64_t first, std::size_t count);
    void find_group(const ChunkTable& target, std::span<const std::uint32_t> numbers, std::uint32_t* found) const;
    void reserve(std::uint64_t entries);

    const ChunkTable& table_;
    mutable std::mutex mutex_;
    std::vector<Bucket> buckets_;
    std::uint64_t used_ = 0;
};

}  // namespace parasync
