// A small table from strong checksums to numbers: for one batch, after which its memory serves the next.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "parasync/tentative_matcher.hpp"

namespace parasync {

class StrongSet {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    StrongSet() = default;
    explicit StrongSet(std::size_t entries) { begin(entries); }

    // Empties it, with room for so many.
    void begin(std::size_t entries) { places_.assign(std::bit_ceil(2 * entries + 2), 0); }

    // There must be room for it.
    void add(const Strong& strong, std::uint32_t number) {
        std::size_t i = home(strong);
        while (places_[i] != 0) i = (i + 1) & (places_.size() - 1);
        places_[i] = number + 1;
    }

    // The first number added for which `same(number)` holds, among those whose place `strong` leads to; or kNone.
    template <class Same>
    std::uint32_t find(const Strong& strong, Same&& same) const {
        for (std::size_t i = home(strong); places_[i] != 0; i = (i + 1) & (places_.size() - 1)) {
            if (same(places_[i] - 1)) return places_[i] - 1;
        }
        return kNone;
    }

private:
    // Those that a peer claims need not be as good as random.
    std::size_t home(const Strong& strong) const {
        std::uint64_t word;
        std::memcpy(&word, strong.data(), sizeof word);
        return secret_hash(word, std::popcount(places_.size() - 1));
    }

    std::vector<std::uint32_t> places_;  // 0: empty; else one more than the number
};

inline bool equal_content(const Token& left, const Token& right) {
    return left.strong == right.strong && left.length == right.length && left.weak == right.weak;
}

}  // namespace parasync
