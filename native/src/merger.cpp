#include <algorithm>
#include <stdexcept>
#include <string>

#include "cut_finder.hpp"
#include "parasync/chunking.hpp"
#include "parasync/crc32c.hpp"

namespace parasync {

Merger::Merger(const FingerprintKey& key, ChunkTable& table, CutRule rule)
    : key_(key), table_(table), options_{rule, table.has_weak()} {
    if (table.count() != 0) throw std::invalid_argument("a merger needs an empty chunk table");
}

std::uint64_t Merger::merge(const Segment& segment) {
    check(segment);
    if (segment.length() == 0) return 0;
    const std::uint64_t before = table_.count();
    choose_cuts(segment);
    append_chunks(segment);
    append_proposed(segment);
    if (segment.end() == table_.size()) append_last(segment);
    keep_open(segment);
    return table_.count() - before;
}

void Merger::check(const Segment& segment) const {
    if (!segment.scanned()) throw std::invalid_argument("the segment was not scanned, or the scan failed");
    if (&segment.key_->tables() != &key_.tables() || segment.average_ != table_.average()) {
        throw std::invalid_argument("the segment was scanned with another key or average chunk size");
    }
    if (segment.options_.rule != options_.rule || segment.options_.weak != options_.weak) {
        throw std::invalid_argument("the segment was scanned for another cut rule or other checksums");
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
    CutFinder finder(key_, segment.records_, segment.bytes_);
    cuts_.clear();
    followed_ = followed_end_ = 0;
    std::uint64_t start = start_;
    while (!follow_proposal(segment, start) && size - start > maximum && start + maximum <= segment.end()) {
        const std::uint64_t low = start + table_.minimum();
        const std::uint64_t high = start + maximum - segment.offset();
        const CutFinder::Best best = finder.best(low - std::min(low, segment.offset()), high);
        if (cuts_.empty() && take_open_cut(low, best.level)) {
            start = start_;
            continue;
        }
        cuts_.push_back(finder.cut(best, static_cast<std::uint32_t>(high)));
        start = segment.offset() + cuts_.back().position;
    }
    next_record_ = followed_end_ != 0 ? segment.proposal_.next_record : finder.next_record();
}

// Whether the segment's own worker found the cuts that follow a chunk's begin at `start`.
bool Merger::follow_proposal(const Segment& segment, std::uint64_t start) {
    const Proposal& proposal = segment.proposal_;
    if (proposal.cuts.empty() || start < segment.offset() + proposal.start.position) return false;
    const std::uint64_t position = start - segment.offset();
    if (position != proposal.start.position) {
        while (followed_ != proposal.cuts.size() && proposal.cuts[followed_].position < position) ++followed_;
        if (followed_ == proposal.cuts.size() || proposal.cuts[followed_].position != position) return false;
        ++followed_;
    }
    followed_end_ = proposal.cuts.size();
    // The worker does not know where the file ends: a rest of exactly the maximum is the last chunk.
    if (followed_end_ != followed_) {
        const Cut& before = followed_end_ == 1 ? proposal.start : proposal.cuts[followed_end_ - 2];
        if (segment.offset() + before.position + table_.maximum() >= table_.size()) --followed_end_;
    }
    return true;
}

// Ends the open chunk at its best cut in earlier segments, if one is at least as good as `level` in this one.
bool Merger::take_open_cut(std::uint64_t low, unsigned level) {
    const OpenCut* best = nullptr;
    for (const OpenCut& cut : open_cuts_) {
        if (cut.position >= low && cut.level > (best == nullptr ? 0 : best->level)) best = &cut;
    }
    if (best == nullptr || best->level < level) return false;

    const OpenCut taken = *best;
    table_.append(static_cast<std::uint32_t>(taken.position - start_), taken.fingerprint, taken.weak);
    start_ = taken.position;
    open_ = key_.combine(taken.fingerprint, open_, merged_ - taken.position);
    open_weak_ = crc32c_combine(taken.weak, open_weak_, merged_ - taken.position);
    std::erase_if(open_cuts_, [&](const OpenCut& cut) { return cut.position <= taken.position; });
    for (OpenCut& cut : open_cuts_) {
        cut.fingerprint = key_.combine(taken.fingerprint, cut.fingerprint, cut.position - taken.position);
        cut.weak = crc32c_combine(taken.weak, cut.weak, cut.position - taken.position);
    }
    return true;
}

// Step 2: the chunks between the cuts.
void Merger::append_chunks(const Segment& segment) {
    last_ = {0, false, 0, open_, open_weak_};
    if (cuts_.empty()) return;
    chunks_between(key_, last_, cuts_, fingerprints_, lengths_);
    lengths_[0] += static_cast<std::uint32_t>(segment.offset() - start_);  // the part in earlier segments
    if (options_.weak) weak_between(last_, cuts_, weak_);
    table_.append_each(lengths_, fingerprints_.data(), weak_.data());
    for (const Cut& cut : cuts_) count(cut);
    last_ = cuts_.back();
    start_ = segment.offset() + last_.position;
}

void Merger::append_proposed(const Segment& segment) {
    if (followed_ >= followed_end_) return;
    const Proposal& proposal = segment.proposal_;
    const std::size_t count = followed_end_ - followed_;
    table_.append_each(std::span(proposal.lengths).subspan(followed_, count), &proposal.fingerprints[followed_],
                       proposal.weak.data() + (options_.weak ? followed_ : 0));
    if (proposal.any_forced) {
        for (const Cut& cut : std::span(proposal.cuts).subspan(followed_, count)) this->count(cut);
    }
    last_ = proposal.cuts[followed_end_ - 1];
    start_ = segment.offset() + last_.position;
}

// What is left is the last chunk.
void Merger::append_last(const Segment& segment) {
    if (start_ == table_.size()) return;
    const std::uint64_t distance = segment.length() - last_.position;
    const Fingerprint fingerprint = key_.combine(last_.fingerprint, segment.records_.fingerprints.back(), distance);
    const std::uint32_t weak = segment.records_.weak_at(segment.records_.positions.size() - 1);
    table_.append(static_cast<std::uint32_t>(table_.size() - start_), fingerprint,
                  crc32c_combine(last_.weak, weak, distance));
    last_ = {static_cast<std::uint32_t>(segment.length()), false, 0, segment.records_.fingerprints.back(), weak};
    start_ = table_.size();
}

void Merger::count(const Cut& cut) {
    forced_ += cut.forced;
    rehashed_ += cut.rehashed;
}

// Step 3: what the next segment must know of this one.
void Merger::keep_open(const Segment& segment) {
    if (last_.position != 0) open_cuts_.clear();
    const auto since_base = [&](std::size_t record) {
        return key_.combine(last_.fingerprint, segment.records_.fingerprints[record],
                            segment.records_.positions[record] - last_.position);
    };
    const auto weak_since_base = [&](std::size_t record) {
        return crc32c_combine(last_.weak, segment.records_.weak_at(record),
                              segment.records_.positions[record] - last_.position);
    };
    const std::size_t count = segment.records_.positions.size();
    for (std::size_t record = next_record_; record < count; ++record) {
        const std::uint64_t position = segment.offset() + segment.records_.positions[record];
        const unsigned level = segment.records_.levels[record];
        if (level != 0 && position >= start_ + table_.minimum()) {
            open_cuts_.push_back({position, level, since_base(record), weak_since_base(record)});
        }
    }
    open_ = since_base(count - 1);
    open_weak_ = weak_since_base(count - 1);
    merged_ = segment.end();
}

}  // namespace parasync
