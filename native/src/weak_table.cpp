#include "parasync/weak_table.hpp"

#include <random>
#include <stdexcept>
#include <string>

namespace parasync {

std::size_t secret_hash(std::uint64_t word, int bits) {
    static const std::uint64_t factor = [] {
        std::random_device source;
        return (std::uint64_t{source()} << 32 | source()) | 1;
    }();
    return (word * factor) >> (64 - bits);
}

std::size_t WeakSet::place(std::uint32_t weak) const {
    const std::size_t mask = places_.size() - 1;
    std::size_t i = secret_hash(weak, std::popcount(mask));
    while (places_[i] != 0 && values_[places_[i] - 1] != weak) i = (i + 1) & mask;
    return i;
}

std::uint32_t WeakSet::find(std::uint32_t weak) const {
    if (places_.empty()) return kNone;
    return places_[place(weak)] - 1;  // an empty place gives kNone
}

std::uint32_t WeakSet::add(std::uint32_t weak) {
    if (2 * (values_.size() + 1) > places_.size()) grow();
    std::uint32_t& found = places_[place(weak)];
    if (found == 0) {
        values_.push_back(weak);
        found = size();
    }
    return found - 1;
}

void WeakSet::grow() {
    places_.assign(places_.empty() ? 64 : 2 * places_.size(), 0);
    for (std::uint32_t number = 0; number < size(); ++number) places_[place(values_[number])] = number + 1;
}

WeakTable::WeakTable(const ChunkTable& chunks) : chunks_(chunks) {
    if (!chunks.has_weak()) throw std::invalid_argument("the chunk table has no weak checksums");
}

void WeakTable::insert(std::uint64_t first, std::uint64_t count) {
    if (first != next_.size()) {
        throw std::invalid_argument("chunk " + std::to_string(first) + " is not the next one: " +
                                    std::to_string(next_.size()) + " are there");
    }
    chunks_.check_range(first, count);
    for (std::uint64_t i = first; i < first + count; ++i) {
        const auto chunk = static_cast<std::uint32_t>(i);
        const std::uint32_t number = values_.add(chunks_.weak(chunk));
        next_.push_back(kNoChunk);
        if (number == lists_.size()) {
            lists_.push_back({chunk, chunk});
        } else {
            next_[lists_[number].last] = chunk;
            lists_[number].last = chunk;
        }
    }
}

void WeakTable::find(std::uint32_t weak, std::vector<std::uint32_t>& chunks) const {
    const std::uint32_t number = values_.find(weak);
    if (number == WeakSet::kNone) return;
    for (std::uint32_t chunk = lists_[number].first; chunk != kNoChunk; chunk = next_[chunk]) chunks.push_back(chunk);
}

std::vector<WeakTable::Match> WeakTable::find(std::span<const std::uint32_t> weak) const {
    std::vector<Match> matches;
    for (std::size_t i = 0; i < weak.size(); ++i) {
        const std::uint32_t number = values_.find(weak[i]);
        if (number == WeakSet::kNone) continue;
        for (std::uint32_t chunk = lists_[number].first; chunk != kNoChunk; chunk = next_[chunk]) {
            matches.push_back({static_cast<std::uint32_t>(i), chunk});
        }
    }
    return matches;
}

std::vector<Extent> extents_of(const ChunkTable& chunks, std::span<const std::uint32_t> numbers) {
    std::vector<Extent> extents;
    extents.reserve(numbers.size());
    for (const std::uint32_t number : numbers) {
        chunks.check_range(number, 1);
        extents.push_back({chunks.offset(number), chunks.length(number)});
    }
    return extents;
}

}  // namespace parasync
