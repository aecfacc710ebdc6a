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

// Kernel::survivors. `Filter::next(data)` takes successive steps of 64 kRuns bytes and returns where h16 is the target,
// as one mask for every 64; its first call may be wrong about the first 14 positions. It reads 8 bytes before `data`.
template <class Filter>
class SurvivorSearch {
public:
    explicit SurvivorSearch(std::uint32_t* out) : out_(out) {}

    std::size_t run(const std::uint8_t* data, std::size_t size) {
        warm_up(data);
        std::size_t done = 0;
        while (size - done >= kStep) {
            const std::size_t left = (size - done) / kStep;
            const std::size_t steps = left < kGroups / kRuns ? left : kGroups / kRuns;
            for (std::size_t i = 0; i < steps; ++i) note(kRuns * i, filter_.next(data + done + kStep * i));
            take(done, kRuns * steps);
            done += kStep * steps;
        }
        if (const std::size_t rest = size - done; rest != 0) {
            std::uint8_t last[8 + kStep] = {};
            std::memcpy(last, data + done - 8, 8 + rest);
            auto masks = filter_.next(last + 8);
            for (std::size_t k = rest / 64; k < kRuns; ++k) masks.run[k] = 64 * k < rest ? masks.run[k] & ~(~std::uint64_t{0} << rest % 64) : 0;
            note(0, masks);
            take(done, kRuns);
        }
        return count_;
    }

private:
    static constexpr std::size_t kRuns = Filter::kRuns;
    static constexpr std::size_t kStep = 64 * kRuns;
    static constexpr std::size_t kGroups = 256;

    // The filter needs 15 bytes before `data`, the thinning what survives in 15 positions.
    void warm_up(const std::uint8_t* data) {
        constexpr std::size_t kBefore = 64 + 8;
        std::uint8_t before[8 + kStep] = {};
        std::memcpy(before + sizeof before - kBefore, data - kBefore, kBefore);
        masks_[0] = filter_.next(before + 8).run[kRuns - 1];
    }

    // Three of four masks are zero, at random: those that are not are listed without a branch.
    void note(std::size_t group, const typename Filter::Masks& masks) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < kRuns; ++k) {
            masks_[1 + group + k] = masks.run[k];
            filled_[filled_count_] = static_cast<std::uint16_t>(group + k);
            filled_count_ += masks.run[k] != 0;
        }
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
