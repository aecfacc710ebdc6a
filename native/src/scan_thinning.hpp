// What all kernels do with the filter's results: first thinning, and positions out of bit masks.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel.hpp"

namespace parasync {
namespace {

// Survivors of 64 positions, bit k the k-th, that have no survivor in the 15 positions before them.
inline std::uint64_t thinned(std::uint64_t survivors, std::uint64_t previous) {
    std::uint64_t blocked = survivors << 1;
    blocked |= blocked << 1;
    blocked |= blocked << 2;
    blocked |= blocked << 4;
    blocked |= blocked << 7;
    blocked |= std::uint64_t{0x7fff} >> __builtin_clzll(previous | 1);
    return survivors & ~blocked;
}

inline std::uint32_t lowest_bit(std::uint64_t mask) {
    return static_cast<std::uint32_t>(__builtin_ctzll(mask | (std::uint64_t{1} << 63)));
}

// Kernel::survivors. `Filter::next(data)` takes successive runs of 64 bytes and returns where h16 is the target; its
// first call may be wrong about the first 14 positions. It reads data[-8, 64).
template <class Filter>
class SurvivorSearch {
public:
    explicit SurvivorSearch(std::uint32_t* out) : out_(out) {}

    std::size_t run(const std::uint8_t* data, std::size_t size) {
        masks_[0] = filter_.next(data - 64);
        std::size_t done = 0;
        while (size - done >= 64) {
            const std::size_t left = (size - done) / 64;
            const std::size_t groups = left < kGroups ? left : kGroups;
            for (std::size_t i = 0; i < groups; ++i) note(i, filter_.next(data + done + 64 * i));
            take(done, groups);
            done += 64 * groups;
        }
        if (const std::size_t rest = size - done; rest != 0) {
            std::uint8_t last[8 + 64] = {};
            std::memcpy(last, data + done - 8, 8 + rest);
            note(0, filter_.next(last + 8) & ~(~std::uint64_t{0} << rest));
            take(done, 1);
        }
        return count_;
    }

private:
    static constexpr std::size_t kGroups = 256;

    // Three of four masks are zero, at random: those that are not are listed without a branch.
    void note(std::size_t group, std::uint64_t survivors) {
        masks_[1 + group] = survivors;
        filled_[filled_count_] = static_cast<std::uint16_t>(group);
        filled_count_ += survivors != 0;
    }

    void take(std::size_t base, std::size_t groups) {
        for (std::size_t i = 0; i < filled_count_; ++i) {
            const std::size_t group = filled_[i];
            const std::uint32_t first = static_cast<std::uint32_t>(base + 64 * group);
            std::uint64_t mask = thinned(masks_[1 + group], masks_[group]);
            out_[count_] = first + lowest_bit(mask);
            count_ += mask != 0;
            for (mask &= mask - 1; __builtin_expect(mask != 0, 0); mask &= mask - 1) {
                out_[count_++] = first + lowest_bit(mask);
            }
        }
        filled_count_ = 0;
        masks_[0] = masks_[groups];
    }

    Filter filter_;
    std::uint32_t* const out_;
    std::size_t count_ = 0;
    std::size_t filled_count_ = 0;
    std::uint64_t masks_[1 + kGroups];  // the first is the last of the run before
    std::uint16_t filled_[kGroups + 1];
};

}  // namespace
}  // namespace parasync
