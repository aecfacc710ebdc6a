// Phase II of the paper and of its baselines (ParaSync 3.2): weak checksums that both sides have, strong checksums of
// the chunks behind them, and their verification. What each structure does differently is only how the work is shared:
// by checksum (one checksum is one unit, whatever its chunks) or by equal slices of chunks; how much at once is the
// caller's choice. The checksums are the core's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "parasync/blake3.hpp"
#include "parasync/extent.hpp"

namespace {

using parasync::Extent;
using parasync::Strong;

constexpr std::uint64_t kNone = ~std::uint64_t{0};

// One side's chunks; `order` has their numbers sorted by weak checksum, then by number: the weak table.
struct Chunks {
    int fd;
    const std::uint64_t* offsets;
    const std::uint32_t* lengths;
    const std::uint32_t* weak;
    const std::uint32_t* order;
    std::uint64_t count;

    // Where in `order` the chunks with this checksum are.
    std::pair<std::uint64_t, std::uint64_t> find(std::uint32_t checksum) const {
        const auto value = [&](std::uint32_t number) { return weak[number]; };
        const auto found = std::ranges::equal_range(order, order + count, checksum, {}, value);
        return {static_cast<std::uint64_t>(found.begin() - order), static_cast<std::uint64_t>(found.end() - order)};
    }
    // Hashed side by side, by one call.
    std::vector<Strong> strong(std::span<const std::uint32_t> numbers) const {
        std::vector<Extent> extents;
        for (const std::uint32_t number : numbers) extents.push_back({offsets[number], lengths[number]});
        return parasync::blake3_extents(fd, extents);
    }
};

// What the receiver tells of one chunk of the basis.
struct Token {
    std::uint64_t offset;
    std::uint32_t length;
    std::uint32_t weak;
    Strong strong;
};
static_assert(sizeof(Token) == 48);

// The share of one thread: a run of units, which are checksums or chunks.
struct Share {
    std::uint64_t begin;
    std::uint64_t end;

    Share(std::uint64_t units, unsigned part, unsigned parts)
        : begin(units * part / parts), end(units * (part + 1) / parts) {}
};

// A group is what shares one weak checksum: its tokens or its number on the list, and its range in `order`.
struct Group {
    std::uint64_t first;  // of its chunks, counted through all groups
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t tokens_begin;
    std::uint64_t tokens_end;
};

// Calls work(group, begin, end) for the parts of groups that are this thread's.
template <typename Work>
void for_share(const std::vector<Group>& groups, unsigned part, unsigned parts, bool by_checksum, Work work) {
    if (groups.empty()) return;
    if (by_checksum) {
        const Share share(groups.size(), part, parts);
        for (std::uint64_t i = share.begin; i < share.end; ++i) work(groups[i], groups[i].begin, groups[i].end);
        return;
    }
    const Group& last = groups.back();
    const Share share(last.first + (last.end - last.begin), part, parts);
    for (const Group& group : groups) {
        const std::uint64_t low = std::max(group.first, share.begin);
        const std::uint64_t high = std::min(group.first + (group.end - group.begin), share.end);
        if (low < high) work(group, group.begin + (low - group.first), group.begin + (high - group.first));
    }
}

}  // namespace

extern "C" {

// The weak table: sorts chunk numbers by checksum.
void weak_order(const std::uint32_t* weak, std::uint64_t count, std::uint32_t* order) {
    std::vector<std::uint64_t> keys(count);
    for (std::uint64_t i = 0; i < count; ++i) keys[i] = std::uint64_t{weak[i]} << 32 | i;
    std::ranges::sort(keys);
    for (std::uint64_t i = 0; i < count; ++i) order[i] = static_cast<std::uint32_t>(keys[i]);
}

// Each different checksum once, ascending; returns how many.
std::uint64_t weak_distinct(const std::uint32_t* weak, const std::uint32_t* order, std::uint64_t count,
                            std::uint32_t* out) {
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (found == 0 || out[found - 1] != weak[order[i]]) out[found++] = weak[order[i]];
    }
    return found;
}

// Receiver: tokens of all basis chunks that have one of these checksums, as far as they are this thread's share.
// `out` is that of all threads; without `out` nothing is computed. Returns the number of all tokens.
std::uint64_t make_tokens(int fd, const std::uint64_t* offsets, const std::uint32_t* lengths,
                          const std::uint32_t* weak, const std::uint32_t* order, std::uint64_t count,
                          const std::uint32_t* wanted, std::uint64_t wanted_count, unsigned part, unsigned parts,
                          int by_checksum, Token* out) {
    const Chunks chunks{fd, offsets, lengths, weak, order, count};
    std::vector<Group> groups;
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < wanted_count; ++i) {
        const auto [begin, end] = chunks.find(wanted[i]);
        if (begin != end) groups.push_back({total, begin, end, 0, 0});
        total += end - begin;
    }
    if (out == nullptr) return total;
    std::vector<std::uint32_t> numbers;
    std::vector<Token*> places;
    for_share(groups, part, parts, by_checksum != 0, [&](const Group& group, std::uint64_t begin, std::uint64_t end) {
        for (std::uint64_t i = begin; i < end; ++i) {
            numbers.push_back(order[i]);
            places.push_back(out + group.first + (i - group.begin));
        }
    });
    const std::vector<Strong> strong = chunks.strong(numbers);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        *places[i] = {offsets[numbers[i]], lengths[numbers[i]], weak[numbers[i]], strong[i]};
    }
    return total;
}

// Sender: compares its chunks with the tokens, which are sorted by weak checksum, and notes for each confirmed one the
// place in the basis. `strong` and `known` keep what was computed for earlier tokens.
void verify_tokens(int fd, const std::uint64_t* offsets, const std::uint32_t* lengths, const std::uint32_t* weak,
                   const std::uint32_t* order, std::uint64_t count, const Token* tokens, std::uint64_t token_count,
                   unsigned part, unsigned parts, int by_checksum, Strong* strong, std::uint8_t* known,
                   std::uint64_t* matches) {
    const Chunks chunks{fd, offsets, lengths, weak, order, count};
    std::vector<Group> groups;
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < token_count;) {
        std::uint64_t next = i + 1;
        while (next < token_count && tokens[next].weak == tokens[i].weak) ++next;
        const auto [begin, end] = chunks.find(tokens[i].weak);
        groups.push_back({total, begin, end, i, next});
        total += end - begin;
        i = next;
    }
    std::vector<std::uint32_t> unknown;
    for_share(groups, part, parts, by_checksum != 0, [&](const Group&, std::uint64_t begin, std::uint64_t end) {
        for (std::uint64_t i = begin; i < end; ++i) {
            if (!known[order[i]]) unknown.push_back(order[i]);
        }
    });
    const std::vector<Strong> computed = chunks.strong(unknown);
    for (std::size_t i = 0; i < unknown.size(); ++i) {
        strong[unknown[i]] = computed[i];
        known[unknown[i]] = 1;
    }
    std::vector<const Token*> table;
    for_share(groups, part, parts, by_checksum != 0, [&](const Group& group, std::uint64_t begin, std::uint64_t end) {
        table.clear();
        for (std::uint64_t i = group.tokens_begin; i < group.tokens_end; ++i) table.push_back(&tokens[i]);
        const auto value = [](const Token* token) -> const Strong& { return token->strong; };
        std::ranges::stable_sort(table, {}, value);
        for (std::uint64_t i = begin; i < end; ++i) {
            const std::uint32_t number = order[i];
            if (matches[number] != kNone) continue;
            const auto found = std::ranges::lower_bound(table, strong[number], {}, value);
            if (found != table.end() && (*found)->strong == strong[number] && (*found)->length == lengths[number]) {
                matches[number] = (*found)->offset;
            }
        }
    });
}

// The delta in the target's order, as (target offset, basis offset or none, length): neighbours joined up to `limit`.
// Returns the number of operations; there is room for one per chunk.
std::uint64_t plan_delta(const std::uint32_t* lengths, const std::uint64_t* matches, std::uint64_t count,
                         std::uint64_t limit, std::uint64_t* out) {
    std::uint64_t found = 0;
    std::uint64_t target = 0;
    for (std::uint64_t i = 0; i < count; target += lengths[i++]) {
        std::uint64_t* const last = out + 3 * found - 3;
        const bool follows = found != 0 && last[2] + lengths[i] <= limit &&
                             (matches[i] == kNone ? last[1] == kNone
                                                  : last[1] != kNone && last[1] + last[2] == matches[i]);
        if (follows) {
            last[2] += lengths[i];
        } else {
            std::uint64_t* const next = out + 3 * found++;
            next[0] = target;
            next[1] = matches[i];
            next[2] = lengths[i];
        }
    }
    return found;
}

}
