// Phase II (ParaSync 3.2): which parts of the target the basis has.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "parasync/chunk_table.hpp"
#include "parasync/extent.hpp"
#include "parasync/index.hpp"

namespace parasync {

// A set of small numbers.
class NumberSet {
public:
    bool contains(std::uint64_t number) const {
        return number / 64 < words_.size() && (words_[number / 64] >> number % 64 & 1) != 0;
    }
    std::uint64_t size() const { return size_; }
    void add(std::uint32_t number);
    void remove(std::uint32_t number);
    // In ascending order.
    std::vector<std::uint32_t> numbers() const;
    void clear();

private:
    std::vector<std::uint64_t> words_;
    std::size_t first_ = 0;  // all words before are 0
    std::uint64_t size_ = 0;
};

// Matches the target's chunks, batch by batch, with an index that other threads extend meanwhile. Whatever was
// given to match() is in exactly one of: the copies returned, the wants taken, the misses kept. One owner.
//
// While the basis grows, its new chunks are sought among the misses (`grow`), not the misses in the basis: that costs
// one look-up per chunk, however much of the target is waiting.
class ChunkMatcher {
public:
    // Without an index everything is a miss. Copies end at chunks, and are longer than `copy_limit` only where a
    // single chunk is. Only if the basis is `growing`, grow() finds anything. Tables and index must outlive the
    // matcher.
    ChunkMatcher(const ChunkTable& target, const ChunkIndex* index, std::uint64_t copy_limit, bool growing = false);

    // Copies for the hits among these chunks of the target; keeps the misses. Throws std::out_of_range if the target
    // does not have them all.
    std::vector<Copy> match(std::uint64_t first, std::uint64_t count);
    // Copies for the kept misses that are among these chunks of the basis; of equal misses, sometimes only for one.
    // Throws std::out_of_range if the basis does not have them all.
    std::vector<Copy> grow(std::uint64_t first, std::uint64_t count);
    // Copies for all kept misses that the index has by now. For when the basis is complete: grow() finds nothing after
    // that.
    std::vector<Copy> rematch();
    // The kept misses, neighbours joined; forgets them.
    std::vector<Extent> take_wants();

    std::uint64_t missing() const { return missing_.size(); }
    std::uint64_t matched_bytes() const { return matched_bytes_; }

private:
    static constexpr std::size_t kGroup = 512;
    static constexpr std::size_t kLeastAhead = 16;

    struct Hit {
        std::uint32_t target;
        std::uint32_t basis;
    };

    template <typename Find, typename Follow, typename Take>
    void seek(std::span<const std::uint32_t> numbers, Find find, Follow follow, Take take);
    void look_up(std::span<const std::uint32_t> numbers, std::vector<Copy>& copies);
    void keep(std::span<const std::uint32_t> numbers);
    bool follow(std::uint32_t number, std::uint64_t basis_count, std::vector<Copy>& copies);
    bool follow_basis(std::uint32_t basis_number, std::vector<Copy>& copies);
    void hit(std::uint32_t number, std::uint32_t basis_number, std::vector<Copy>& copies);

    const ChunkTable& target_;
    const ChunkIndex* const index_;
    const std::uint64_t copy_limit_;
    std::size_t ahead_ = kLeastAhead;  // chunks to look up together
    NumberSet missing_;
    std::optional<ChunkIndex> misses_;  // of those of missing_, and of some that were found since
    bool growing_;
    std::optional<Hit> last_;
    std::uint64_t matched_bytes_ = 0;
};

}  // namespace parasync
