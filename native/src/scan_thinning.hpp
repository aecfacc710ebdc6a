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

// Kernel::survivors. `Filter::run(data, runs, sink)` takes successive runs of 64 bytes, kRuns or a multiple of it at a
// time, and tells where in them h16 is the target: sink(k, mask) for each run. It may be wrong about the first 14
// positions of all, and reads 8 bytes before `data`.
template <class Filter>
class SurvivorSearch {
public:
    explicit SurvivorSearch(std::uint32_t* out) : out_(out) {}

    std::size_t run(const std::uint8_t* data, std::size_t size) {
        warm_up(data);
        std::size_t done = 0;
        while (size - done >= kStep) {
            const std::size_t left = (size - done) / kStep;
            const std::size_t groups = kRuns * (left < kGroups / kRuns ? left : kGroups / kRuns);
            std::size_t filled = 0;  // a local variable can stay in a register
            filter_.run(data + done, groups, [&](std::size_t group, std::uint64_t mask) { note(group, mask, filled); });
            take(done, groups, filled);
            done += 64 * groups;
        }
        if (done != size) take_rest(data + done, done, size - done);
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
        filter_.run(before + 8, kRuns, [&](std::size_t, std::uint64_t mask) { masks_[0] = mask; });
    }

    // Three of four masks are zero, at random: those that are not are listed without a branch.
    void note(std::size_t group, std::uint64_t mask, std::size_t& filled) {
        masks_[1 + group] = mask;
        filled_[filled] = static_cast<std::uint16_t>(group);
        filled += mask != 0;
    }

    void take(std::size_t base, std::size_t groups, std::size_t filled) {
        std::uint32_t* next = out_ + count_;
        for (std::size_t i = 0; i < filled; ++i) {
            const std::size_t group = filled_[i];
            const std::uint32_t first = static_cast<std::uint32_t>(base + 64 * group);
            std::uint64_t mask = thinned(masks_[1 + group], masks_[group]);
            *next = first + lowest_bit(mask);
            next += mask != 0;
            for (mask &= mask - 1; __builtin_expect(mask != 0, 0); mask &= mask - 1) *next++ = first + lowest_bit(mask);
        }
        count_ = static_cast<std::size_t>(next - out_);
        masks_[0] = masks_[groups];
    }

    // Less than a step, with zeros behind it.
    void take_rest(const std::uint8_t* data, std::size_t base, std::size_t size) {
        std::uint8_t last[8 + kStep] = {};
        std::memcpy(last, data - 8, 8 + size);
        std::size_t filled = 0;
        filter_.run(last + 8, kRuns, [&](std::size_t group, std::uint64_t mask) {
            const std::size_t begin = 64 * group;
            if (size < begin + 64) mask = size <= begin ? 0 : mask & ~(~std::uint64_t{0} << (size - begin));
            note(group, mask, filled);
        });
        take(base, kRuns, filled);
    }

    Filter filter_;
    std::uint32_t* const out_;
    std::size_t count_ = 0;
    std::uint64_t masks_[1 + kGroups];  // the first is the last of the run before
    std::uint16_t filled_[kGroups + 1];
};

}  // namespace
}  // namespace parasync
