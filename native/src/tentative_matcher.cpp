#include "parasync/tentative_matcher.hpp"

#include <algorithm>
#include <stdexcept>

#include "parasync/strong_set.hpp"

namespace parasync {

TentativeMatcher::TentativeMatcher(const ChunkTable& basis) : basis_(basis) {}

void TentativeMatcher::add_chunks(std::uint64_t first, std::uint64_t count) {
    basis_.insert(first, count);
    for (std::uint64_t i = first; i < first + count; ++i) {
        const auto chunk = static_cast<std::uint32_t>(i);
        const std::uint32_t value = wanted_.find(basis_.chunks().weak(chunk));
        if (value != WeakSet::kNone) queue_.push_back({chunk, value});
    }
}

void TentativeMatcher::seal() {
    sealed_ = true;
    seal_ = queue_.size();
}

void TentativeMatcher::add_values(std::span<const std::uint32_t> weak) {
    for (const std::uint32_t value : weak) {
        const std::uint32_t number = wanted_.size();
        if (wanted_.add(value) != number) throw std::invalid_argument("a weak checksum that was sent before");
        found_.clear();
        basis_.find(value, found_);
        for (const std::uint32_t chunk : found_) queue_.push_back({chunk, number});
    }
}

std::vector<std::uint32_t> TentativeMatcher::take(std::uint64_t limit) {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(limit, waiting()));
    std::vector<std::uint32_t> chunks(count);
    for (std::size_t i = 0; i < count; ++i) chunks[i] = queue_[taken_ + i].chunk;
    taken_ += count;
    // What was taken goes when it is most of the queue: constant work per match.
    if (taken_ > 4096 && 2 * taken_ > queue_.size()) {
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken_));
        seal_ -= std::min(seal_, taken_);
        taken_ = 0;
    }
    return chunks;
}

std::uint32_t TentativeMatcher::resolved() const {
    if (!sealed_ || taken_ < seal_) return 0;
    // Behind the seal, matches wait in the order of their checksums.
    return waiting() == 0 ? wanted_.size() : queue_[taken_].value;
}

std::vector<Token> tokens_of(const ChunkTable& chunks, std::span<const std::uint32_t> numbers,
                             std::span<const Strong> strong) {
    if (numbers.size() != strong.size()) throw std::invalid_argument("not as many strong checksums as chunks");
    std::vector<Token> tokens;
    StrongSet seen(numbers.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        chunks.check_range(numbers[i], 1);
        const Token token{chunks.weak(numbers[i]), chunks.length(numbers[i]), chunks.offset(numbers[i]), strong[i]};
        const auto same = [&](std::uint32_t other) { return equal_content(tokens[other], token); };
        if (seen.find(token.strong, same) != StrongSet::kNone) continue;
        seen.add(token.strong, static_cast<std::uint32_t>(tokens.size()));
        tokens.push_back(token);
    }
    return tokens;
}

}  // namespace parasync
