// Which candidates can still become cuts by the rule of the highest level.
//
// The rule chooses in windows of an average chunk. A candidate is beaten if every such window that it is in holds a
// better one, too: of a higher level, or before it of the same. No cut ever falls on it, wherever chunks begin, so it
// needs no fingerprint. Two of three are beaten.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "parasync/scan.hpp"

namespace parasync {

// Judges the candidates of successive blocks of a segment. One owner.
class Contest {
public:
    // Begins with the first block of a segment. Throws std::invalid_argument for a bad average.
    void begin(std::uint32_t average) {
        average_ = average;
        threshold_ = threshold_level(average);
        before_.begin(threshold_, -kFar);
    }

    // One byte for each candidate of the block that begins at `base` in the segment: 0 if it is beaten by others that
    // were seen, these included. Valid until the next call.
    const std::uint8_t* judge(std::uint32_t base, const std::uint32_t* positions, const std::uint8_t* levels,
                              std::size_t count) {
        distances_.resize(count);
        open_.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            const std::int32_t position = static_cast<std::int32_t>(base + positions[i]);
            distances_[i] = std::min(position - before_.at(levels[i]), kFar);
            before_.note(levels[i], position);
        }
        // Backwards, where the latest is the next.
        LatestByLevel behind;
        behind.begin(threshold_, -kLast);
        for (std::size_t i = count; i-- != 0;) {
            const std::int32_t position = static_cast<std::int32_t>(base + positions[i]);
            const std::int32_t distance = std::min(-position - behind.at(levels[i] + 1u), kFar);
            // A window holds both its ends: the longest between the better ones is shorter by 2 than their distance.
            open_[i] = distances_[i] + distance - 2 >= static_cast<std::int32_t>(average_);
            behind.note(levels[i], -position);
        }
        return open_.data();
    }

private:
    // Further than any window reaches, and beyond the end of any segment.
    static constexpr std::int32_t kFar = 1 << 21;
    static constexpr std::int32_t kLast = (1 << 30) + kFar;

    std::uint32_t average_ = 0;
    unsigned threshold_ = 0;
    LatestByLevel before_;
    std::vector<std::int32_t> distances_;  // to the better one before
    std::vector<std::uint8_t> open_;
};

}  // namespace parasync
