#include "parasync/strong_matcher.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace parasync {

StrongMatcher::StrongMatcher(const ChunkTable& target, std::uint64_t copy_limit)
    : target_(target), copy_limit_(copy_limit) {
    if (!target.has_weak()) throw std::invalid_argument("the chunk table has no weak checksums");
}

std::vector<std::uint32_t> StrongMatcher::add(std::uint64_t first, std::uint64_t count) {
    if (first != next_.size()) {
        throw std::invalid_argument("chunk " + std::to_string(first) + " is not the next one: " +
                                    std::to_string(next_.size()) + " are there");
    }
    target_.check_range(first, count);
    std::vector<std::uint32_t> fresh;
    for (std::uint64_t i = first; i < first + count; ++i) {
        const auto chunk = static_cast<std::uint32_t>(i);
        const std::uint32_t weak = target_.weak(chunk);
        const std::uint32_t number = values_.add(weak);
        if (number == lists_.size()) {
            lists_.emplace_back();
            fresh.push_back(weak);
        }
        Value& value = lists_[number];
        (value.first == kNoChunk ? value.first : next_[value.last]) = chunk;
        value.last = chunk;
        next_.push_back(kNoChunk);
        strong_.push_back(kNever);
        if (value.tokens != kNoChunk) late_.push_back(chunk);
        if (number < resolved_) late_open_.push_back(chunk);
    }
    return fresh;
}

// A bound for what a peer can make this side remember: without a token that is not kept, chunks still to come may be
// sent although the basis has them.
void StrongMatcher::keep(std::uint32_t value, const Token& token) {
    if (kept_.size() >= kKeptTokens + 2 * next_.size()) return;
    kept_.push_back({token, lists_[value].tokens});
    lists_[value].tokens = static_cast<std::uint32_t>(kept_.size() - 1);
}

// The undecided chunks of a checksum join the batch; decided ones leave their list.
void StrongMatcher::take_chunks(Value& value) {
    if (value.batch == batch_) return;
    value.batch = batch_;
    std::uint32_t previous = kNoChunk;
    for (std::uint32_t chunk = value.first; chunk != kNoChunk; chunk = next_[chunk]) {
        if (strong_[chunk] == kDecided) continue;
        (previous == kNoChunk ? value.first : next_[previous]) = chunk;
        previous = chunk;
        chunks_.push_back(chunk);
    }
    (previous == kNoChunk ? value.first : next_[previous]) = kNoChunk;
    value.last = previous;
}

// Chunks that came after tokens of their checksum meet all of them that were kept.
void StrongMatcher::take_late() {
    for (const std::uint32_t chunk : late_) {
        Value& value = lists_[values_.find(target_.weak(chunk))];
        if (value.late_batch != batch_) {
            value.late_batch = batch_;
            for (std::uint32_t i = value.tokens; i != kNoChunk; i = kept_[i].next) tokens_.push_back(kept_[i].token);
        }
        if (value.batch != batch_ && strong_[chunk] == kNever) chunks_.push_back(chunk);
    }
    late_.clear();
}

std::vector<std::uint32_t> StrongMatcher::begin(std::span<const Token> tokens) {
    if (in_batch_) throw std::logic_error("the last batch was not confirmed");
    for (const Token& token : tokens) {
        if (values_.find(token.weak) == WeakSet::kNone || token.length == 0) {
            throw std::invalid_argument("a token that no chunk of the target can have");
        }
    }
    in_batch_ = true;
    ++batch_;
    tokens_.assign(tokens.begin(), tokens.end());
    chunks_.clear();
    for (const Token& token : tokens) {
        const std::uint32_t number = values_.find(token.weak);
        keep(number, token);
        take_chunks(lists_[number]);
    }
    take_late();
    std::ranges::sort(chunks_);
    unhashed_.clear();
    std::ranges::copy_if(chunks_, std::back_inserter(unhashed_),
                         [this](std::uint32_t chunk) { return strong_[chunk] == kNever; });
    return unhashed_;
}

void StrongMatcher::decide(std::uint32_t chunk) {
    if (strong_[chunk] < kDecided) free_.push_back(strong_[chunk]);
    strong_[chunk] = kDecided;
}

std::vector<Copy> StrongMatcher::confirm(std::span<const Strong> strong) {
    if (!in_batch_) throw std::logic_error("no batch was begun");
    if (strong.size() != unhashed_.size()) throw std::invalid_argument("not as many strong checksums as chunks");
    in_batch_ = false;
    for (std::size_t i = 0; i < strong.size(); ++i) {
        if (free_.empty()) {
            free_.push_back(static_cast<std::uint32_t>(strongs_.size()));
            strongs_.emplace_back();
        }
        strongs_[free_.back()] = strong[i];
        strong_[unhashed_[i]] = free_.back();
        free_.pop_back();
        hashed_bytes_ += target_.length(unhashed_[i]);
    }
    table_.begin(tokens_.size());
    for (std::uint32_t i = 0; i < tokens_.size(); ++i) table_.add(tokens_[i].strong, i);
    std::vector<std::pair<std::uint32_t, std::uint64_t>> matches;
    for (const std::uint32_t chunk : chunks_) {
        const Token wanted{target_.weak(chunk), target_.length(chunk), 0, strongs_[strong_[chunk]]};
        const std::uint32_t found =
            table_.find(wanted.strong, [&](std::uint32_t i) { return equal_content(tokens_[i], wanted); });
        if (found == StrongSet::kNone) continue;
        matches.emplace_back(chunk, tokens_[found].offset);
        decide(chunk);
    }
    std::vector<Copy> copies = join(matches);
    for (const Copy& copy : copies) matched_bytes_ += copy.length;
    return copies;
}

std::vector<Copy> StrongMatcher::join(std::vector<std::pair<std::uint32_t, std::uint64_t>>& matches) const {
    std::vector<Copy> copies;
    for (const auto& [chunk, basis_offset] : matches) {
        const Copy copy{target_.offset(chunk), basis_offset, target_.length(chunk)};
        if (!copies.empty()) {
            Copy& before = copies.back();
            if (before.target_offset + before.length == copy.target_offset &&
                before.basis_offset + before.length == copy.basis_offset &&
                before.length + copy.length <= copy_limit_) {
                before.length += copy.length;
                continue;
            }
        }
        copies.push_back(copy);
    }
    return copies;
}

std::vector<Extent> StrongMatcher::take_literals(std::uint64_t resolved) {
    if (resolved < resolved_ || resolved > values_.size()) {
        throw std::invalid_argument(std::to_string(resolved) + " checksums cannot be resolved: " +
                                    std::to_string(resolved_) + " of " + std::to_string(values_.size()) + " were");
    }
    std::vector<std::uint32_t> open = std::exchange(late_open_, {});
    for (; resolved_ < resolved; ++resolved_) {
        Value& value = lists_[resolved_];
        for (std::uint32_t chunk = value.first; chunk != kNoChunk; chunk = next_[chunk]) open.push_back(chunk);
    }
    std::ranges::sort(open);
    std::vector<Extent> literals;
    for (const std::uint32_t chunk : open) {
        if (strong_[chunk] == kDecided) continue;
        const Value& value = lists_[values_.find(target_.weak(chunk))];
        if (strong_[chunk] == kNever && value.tokens != kNoChunk) {
            late_open_.push_back(chunk);  // its batch is still to come
            continue;
        }
        decide(chunk);
        const std::uint64_t offset = target_.offset(chunk);
        if (!literals.empty() && literals.back().offset + literals.back().length == offset) {
            literals.back().length += target_.length(chunk);
        } else {
            literals.push_back({offset, target_.length(chunk)});
        }
    }
    return literals;
}

}  // namespace parasync
