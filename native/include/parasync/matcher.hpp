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

// Matches the target's chunks, batch by batch, with an index that other threads extend meanwhile. Whatever was
// given to match() is in exactly one of: the copies returned, the wants taken, the misses kept. One owner.
class ChunkMatcher {
public:
    // Without an index everything is a miss. Copies end at chunks, and are longer than `copy_limit` only where a
    // single chunk is. Tables and index must outlive the matcher.
    ChunkMatcher(const ChunkTable& target, const BasisIndex* index, std::uint64_t copy_limit);

    // Copies for the hits among these chunks; keeps the misses. Throws std::out_of_range if the target does not have
    // them all.
    std::vector<Copy> match(std::uint64_t first, std::uint64_t count);
    // Copies for the kept misses that the index has by now.
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

    void look_up(std::span<const std::uint32_t> numbers, std::vector<Copy>& copies);
    bool follow(std::uint32_t number, std::uint64_t basis_count, std::vector<Copy>& copies);
    void hit(std::uint32_t number, std::uint32_t basis_number, std::vector<Copy>& copies);

    const ChunkTable& target_;
    const BasisIndex* const index_;
    const std::uint64_t copy_limit_;
    std::size_t ahead_ = kLeastAhead;  // chunks to look up together
    std::vector<std::uint32_t> missing_;
    std::optional<Hit> last_;
    std::uint64_t matched_bytes_ = 0;
};

}  // namespace parasync
