#include <algorithm>
#include <stdexcept>
#include <string>

#include "parasync/chunking.hpp"

namespace parasync {

Merger::Merger(const FingerprintKey& key, ChunkTable& table) : key_(key), table_(table) {
    if (table.count() != 0) throw std::invalid_argument("a merger needs an empty chunk table");
}

std::uint64_t Merger::merge(const Segment& segment) {
    check(segment);
    if (segment.length() == 0) return 0;
    const std::uint64_t before = table_.count();
    choose_cuts(segment);
    append_chunks(segment);
    keep_open(segment);
    return table_.count() - before;
}

void Merger::check(const Segment& segment) const {
    if (!segment.scanned()) throw std::invalid_argument("the segment was not scanned, or the scan failed");
    if (&segment.key_->tables() != &key_.tables() || segment.average_ != table_.average()) {
        throw std::invalid_argument("the segment was scanned with another key or average chunk size");
    }
    if (segment.offset() != merged_ || segment.end() > table_.size()) {
        throw std::invalid_argument("the segment [" + std::to_string(segment.offset()) + ", " +
                                    std::to_string(segment.end()) + ") is not the next one of a file of " +
                                    std::to_string(table_.size()) + " bytes: " + std::to_string(merged_) +
                                    " bytes are merged");
    }
}

// Step 1: all cuts that are decided. Chunks that end in earlier segments go to the table at once.
void Merger::choose_cuts(const Segment& segment) {
    const std::uint64_t size = table_.size();
    const std::uint64_t maximum = table_.maximum();
    next_record_ = 0;
    cuts_.clear();
    std::uint64_t start = start_;
    while (size - start > maximum && start + maximum <= segment.end()) {
        const std::uint64_t low = start + table_.minimum();
        const std::uint64_t high = start + maximum;
        const Best best = best_record(segment, low, high);
        if (cuts_.empty() && take_open_cut(low, best.level)) {
            start = start_;
            continue;
        }
        if (best.level != 0) {
            cuts_.push_back({segment.positions_[best.record], segment.fingerprints_[best.record]});
        } else {
            cuts_.push_back(forced_cut(segment, best.behind, static_cast<std::uint32_t>(high - segment.offset())));
        }
        start = segment.offset() + cuts_.back().position;
    }
    if (segment.end() == size && start != size) {
        cuts_.push_back({static_cast<std::uint32_t>(segment.length()), segment.fingerprints_.back()});
    }
}

// The first record of the highest level among those from `low` to `high`; `low` never descends within a segment.
inline Merger::Best Merger::best_record(const Segment& segment, std::uint64_t low, std::uint64_t high) {
    const std::uint32_t* positions = segment.positions_.data();
    const std::uint8_t* levels = segment.levels_.data();
    const std::size_t count = segment.positions_.size();
    const std::uint64_t first = low - std::min(low, segment.offset());
    const std::uint64_t last = high - segment.offset();
    std::size_t record = next_record_;
    while (record != count && positions[record] < first) ++record;
    next_record_ = record;
    Best best{0, record, record};
    for (; record != count && positions[record] <= last; ++record) {
        const bool higher = levels[record] > best.level;
        best.record = higher ? record : best.record;
        best.level = higher ? levels[record] : best.level;
    }
    best.behind = record;
    return best;
}

// Ends the open chunk at its best cut in earlier segments, if one is at least as good as `level` in this one.
bool Merger::take_open_cut(std::uint64_t low, unsigned level) {
    const OpenCut* best = nullptr;
    for (const OpenCut& cut : open_cuts_) {
        if (cut.position >= low && cut.level > (best == nullptr ? 0 : best->level)) best = &cut;
    }
    if (best == nullptr || best->level < level) return false;

    const OpenCut taken = *best;
    table_.append(static_cast<std::uint32_t>(taken.position - start_), taken.fingerprint);
    start_ = taken.position;
    open_ = key_.combine(taken.fingerprint, open_, merged_ - taken.position);
    std::erase_if(open_cuts_, [&](const OpenCut& cut) { return cut.position <= taken.position; });
    for (OpenCut& cut : open_cuts_) {
        cut.fingerprint = key_.combine(taken.fingerprint, cut.fingerprint, cut.position - taken.position);
    }
    return true;
}

Merger::Cut Merger::forced_cut(const Segment& segment, std::size_t behind, std::uint32_t position) {
    Cut nearest{0, {}};
    if (behind != 0) nearest = {segment.positions_[behind - 1], segment.fingerprints_[behind - 1]};
    const std::uint32_t distance = position - nearest.position;
    const Fingerprint rest = key_.fingerprint(segment.bytes_ + nearest.position, distance);
    ++forced_;
    rehashed_ += distance;
    return {position, key_.combine(nearest.fingerprint, rest, distance)};
}

// Step 2: the chunks between the cuts. H(chunk) = H(up to its end) - H(up to its start) x^(8 length).
void Merger::append_chunks(const Segment& segment) {
    const std::size_t count = cuts_.size();
    lefts_.resize(count);
    rights_.resize(count);
    distances_.resize(count);
    Cut previous{0, open_};
    for (std::size_t i = 0; i < count; ++i) {
        lefts_[i] = previous.fingerprint;
        rights_[i] = cuts_[i].fingerprint;
        distances_[i] = cuts_[i].position - previous.position;
        previous = cuts_[i];
    }
    key_.combine_each(lefts_.data(), rights_.data(), distances_.data(), rights_.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t open_bytes = i == 0 ? segment.offset() - start_ : 0;
        table_.append(static_cast<std::uint32_t>(open_bytes + distances_[i]), rights_[i]);
    }
}

// Step 3: what the next segment must know of this one.
void Merger::keep_open(const Segment& segment) {
    Cut base{0, open_};
    if (!cuts_.empty()) {
        base = cuts_.back();
        start_ = segment.offset() + base.position;
        open_cuts_.clear();
    }
    const auto since_base = [&](std::size_t record) {
        return key_.combine(base.fingerprint, segment.fingerprints_[record],
                            segment.positions_[record] - base.position);
    };
    const std::size_t count = segment.positions_.size();
    for (std::size_t record = next_record_; record < count; ++record) {
        const std::uint64_t position = segment.offset() + segment.positions_[record];
        const unsigned level = segment.levels_[record];
        if (level != 0 && position >= start_ + table_.minimum()) {
            open_cuts_.push_back({position, level, since_base(record)});
        }
    }
    open_ = since_base(count - 1);
    merged_ = segment.end();
}

}  // namespace parasync
