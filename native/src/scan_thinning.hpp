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

// Masks of up to kGroups successive 64 bytes are noted in their order, then taken together: positions out of what the
// first thinning leaves. Masks are taken one by one here.
class ListedThinning {
public:
    static constexpr std::size_t kGroups = 256;

    // `before` is the mask of the 64 bytes before all.
    void begin(std::uint64_t before) { masks_[0] = before; }

    // Three of four masks are zero, at random: those that are not are listed without a branch. `listed` counts them,
    // from 0 on: a local variable of the caller can stay in a register.
    void note(std::size_t group, std::uint64_t mask, std::size_t& listed) {
        masks_[1 + group] = mask;
        list_[listed] = static_cast<std::uint16_t>(group);
        listed += mask != 0;
    }

    // Writes positions, for which the first group's is `first`, from `next` on; returns the place behind them.
    std::uint32_t* take(std::uint32_t first, std::size_t groups, std::size_t listed, std::uint32_t* next) {
        for (std::size_t i = 0; i < listed; ++i) {
            const std::size_t group = list_[i];
            const std::uint32_t here = first + static_cast<std::uint32_t>(64 * group);
            std::uint64_t mask = thinned(masks_[1 + group], masks_[group]);
            *next = here + lowest_bit(mask);
            next += mask != 0;
            for (mask &= mask - 1; __builtin_expect(mask != 0, 0); mask &= mask - 1) *next++ = here + lowest_bit(mask);
        }
        masks_[0] = masks_[groups];
        return next;
    }

private:
    std::uint64_t masks_[1 + kGroups];
    std::uint16_t list_[kGroups + 1];
};

// Kernel::survivors. `Filter::run(data, runs, sink)` takes successive runs of 64 bytes, kRuns or a multiple of it at a
// time, and tells where in them h16 is the target: sink(k, mask) for each run. It may be wrong about the first 14
// positions of all, and reads 8 bytes before `data`.
template <class Filter, class Thinning = ListedThinning>
class SurvivorSearch {
public:
    explicit SurvivorSearch(std::uint32_t* out) : out_(out), next_(out) {}

    std::size_t run(const std::uint8_t* data, std::size_t size) {
        warm_up(data);
        std::size_t done = 0;
        while (size - done >= kStep) {
            const std::size_t left = (size - done) / kStep;
            const std::size_t groups = kRuns * (left < kGroups / kRuns ? left : kGroups / kRuns);
            std::size_t listed = 0;
            filter_.run(data + done, groups,
                        [&](std::size_t group, std::uint64_t mask) { thinning_.note(group, mask, listed); });
            next_ = thinning_.take(static_cast<std::uint32_t>(done), groups, listed, next_);
            done += 64 * groups;
        }
        if (done != size) take_rest(data + done, done, size - done);
        return static_cast<std::size_t>(next_ - out_);
    }

private:
    static constexpr std::size_t kRuns = Filter::kRuns;
    static constexpr std::size_t kStep = 64 * kRuns;
    static constexpr std::size_t kGroups = Thinning::kGroups;

    // The filter needs 15 bytes before `data`, the thinning what survives in 15 positions.
    void warm_up(const std::uint8_t* data) {
        constexpr std::size_t kBefore = 64 + 8;
        std::uint8_t before[8 + kStep] = {};
        std::memcpy(before + sizeof before - kBefore, data - kBefore, kBefore);
        filter_.run(before + 8, kRuns, [&](std::size_t, std::uint64_t mask) { thinning_.begin(mask); });
    }

    // Less than a step, with zeros behind it.
    void take_rest(const std::uint8_t* data, std::size_t base, std::size_t size) {
        std::uint8_t last[8 + kStep] = {};
        std::memcpy(last, data - 8, 8 + size);
        std::size_t listed = 0;
        filter_.run(last + 8, kRuns, [&](std::size_t group, std::uint64_t mask) {
            const std::size_t begin = 64 * group;
            if (size < begin + 64) mask = size <= begin ? 0 : mask & ~(~std::uint64_t{0} << (size - begin));
            thinning_.note(group, mask, listed);
        });
        next_ = thinning_.take(static_cast<std::uint32_t>(base), kRuns, listed, next_);
    }

    Filter filter_;
    Thinning thinning_;
    std::uint32_t* const out_;
    std::uint32_t* next_;
};

}  // namespace
}  // namespace parasync
