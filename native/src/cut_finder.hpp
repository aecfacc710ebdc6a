// The cut rule of chunking.hpp, over the records of one segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "parasync/chunking.hpp"
#include "parasync/crc32c.hpp"

namespace parasync {

// Finds successive cuts of one segment. All positions are from the segment's begin.
class CutFinder {
public:
    // The best of some records, and the first record behind them. Level 0: there was no candidate.
    struct Best {
        unsigned level;
        std::size_t record;
        std::size_t behind;
    };

    CutFinder(const FingerprintKey& key, const Records& records, const SegmentBytes& bytes)
        : key_(key), records_(records), bytes_(bytes) {}

    // The first record of the highest level among those from `low` to `high`; `low` never descends.
    Best best(std::uint64_t low, std::uint64_t high) {
        const std::uint32_t* const positions = records_.positions.data();
        const std::uint8_t* const levels = records_.levels.data();
        const std::size_t count = records_.positions.size();
        std::size_t record = next_record_;
        while (record != count && positions[record] < low) ++record;
        next_record_ = record;
        Best best{0, record, record};
        for (; record != count && positions[record] <= high; ++record) {
            const bool higher = levels[record] > best.level;
            best.record = higher ? record : best.record;
            best.level = higher ? levels[record] : best.level;
        }
        best.behind = record;
        return best;
    }

    // The cut at `best`, or a forced one at `high`. Throws as SegmentBytes::get().
    Cut cut(const Best& best, std::uint32_t high) {
        if (best.level != 0) {
            return {records_.positions[best.record], false, 0, records_.fingerprints[best.record],
                    records_.weak_at(best.record)};
        }
        std::uint32_t nearest = 0;
        Fingerprint fingerprint;
        std::uint32_t weak = 0;
        if (best.behind != 0) {
            nearest = records_.positions[best.behind - 1];
            fingerprint = records_.fingerprints[best.behind - 1];
            weak = records_.weak_at(best.behind - 1);
        }
        const std::uint32_t distance = high - nearest;
        if (distance == 0 || zeros_around(best.behind)) return {high, true, 0, fingerprint, weak};
        const std::uint8_t* const bytes = bytes_.get(nearest, distance, scratch_);
        const Fingerprint rest = key_.fingerprint(bytes, distance);
        if (!records_.weak.empty()) weak = crc32c(weak, bytes, distance);
        return {high, true, distance, key_.combine(fingerprint, rest, distance), weak};
    }

    // No record before it can be one of a chunk that begins at the last `low` less the minimum.
    [[nodiscard]] std::size_t next_record() const { return next_record_; }

private:
    // Whether the segment up to this record is known to be zeros: their fingerprint is zero, and no one can make other
    // bytes of that fingerprint who does not know the key. A segment without candidates has no proposal, and it is
    // nearly always one of zeros: the merge would hash, and read again, a third of it.
    bool zeros_around(std::size_t record) const {
        return record != records_.positions.size() && records_.weak.empty() &&
               records_.fingerprints[record] == Fingerprint{};
    }

    const FingerprintKey& key_;
    const Records& records_;
    const SegmentBytes& bytes_;
    std::vector<std::uint8_t> scratch_;
    std::size_t next_record_ = 0;
};

// The fingerprints of the chunks between successive cuts, of which `first` begins the first one; and their lengths.
// H(chunk) = H(up to its end) - H(up to its begin) x^(8 length).
inline void chunks_between(const FingerprintKey& key, const Cut& first, std::span<const Cut> cuts,
                           std::vector<Fingerprint>& fingerprints, std::vector<std::uint32_t>& lengths) {
    constexpr std::size_t kGroup = 64;
    fingerprints.resize(cuts.size());
    lengths.resize(cuts.size());
    for (std::size_t done = 0; done < cuts.size(); done += kGroup) {
        const std::size_t count = cuts.size() - done < kGroup ? cuts.size() - done : kGroup;
        Fingerprint lefts[kGroup];
        std::uint64_t distances[kGroup];
        for (std::size_t i = 0; i < count; ++i) {
            const Cut& before = done + i == 0 ? first : cuts[done + i - 1];
            const Cut& cut = cuts[done + i];
            lefts[i] = before.fingerprint;
            fingerprints[done + i] = cut.fingerprint;
            distances[i] = cut.position - before.position;
            lengths[done + i] = cut.position - before.position;
        }
        key.combine_each(lefts, &fingerprints[done], distances, &fingerprints[done], count);
    }
}

// The weak checksums of the same chunks, by the same equation.
inline void weak_between(const Cut& first, std::span<const Cut> cuts, std::vector<std::uint32_t>& weak) {
    weak.resize(cuts.size());
    const Cut* before = &first;
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        weak[i] = crc32c_combine(before->weak, cuts[i].weak, cuts[i].position - before->position);
        before = &cuts[i];
    }
}

}  // namespace parasync
