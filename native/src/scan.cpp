#include "parasync/scan.hpp"

#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernel.hpp"
#include "scan_constants.hpp"

namespace parasync {

namespace {

constexpr std::uint32_t kMinAverage = 2 * 1024;
constexpr std::uint32_t kMaxAverage = 1024 * 1024;

constexpr std::size_t kCandidateDistance = 256;
static_assert(kContext >= kCandidateDistance + kFilterReach);
static_assert(CandidateScanner::kMaxCandidates >= max_survivors(CandidateScanner::kMaxBlock));

std::uint64_t load(const std::uint8_t* data) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    return word;
}

std::uint64_t fold(std::uint64_t x, std::uint64_t y) {
    const unsigned __int128 product = static_cast<unsigned __int128>(x) * y;
    return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
}

unsigned level_at(const std::uint8_t* last) {
    const std::uint64_t hash = (fold(load(last - 7) ^ kLevelKeys[0], load(last - 15) ^ kLevelKeys[1]) +
                                fold(load(last - 23) ^ kLevelKeys[2], load(last - 31) ^ kLevelKeys[3])) *
                               kLevelMultiplier;
    return 8 + static_cast<unsigned>(std::countl_zero(hash));
}

}  // namespace

unsigned threshold_level(std::uint32_t average) {
    if (average < kMinAverage || average > kMaxAverage || !std::has_single_bit(average)) {
        throw std::invalid_argument("average chunk size " + std::to_string(average) + " is not a power of two from " +
                                    std::to_string(kMinAverage) + " to " + std::to_string(kMaxAverage));
    }
    return static_cast<unsigned>(std::countr_zero(average)) - 3;
}

CandidateScanner::CandidateScanner() : scratch_(std::make_unique_for_overwrite<Scratch>()) {}

void CandidateScanner::begin(const std::uint8_t* data, unsigned threshold) {
    threshold_ = threshold;
    scanned_ = 0;
    latest_.begin(threshold, -1 - static_cast<std::int32_t>(kCandidateDistance));
    scan(data - kCandidateDistance, kCandidateDistance);
}

std::size_t CandidateScanner::scan(const std::uint8_t* data, std::size_t size) {
    const std::size_t survivors = current_kernel().survivors(data, size, scratch_->positions.data());
    const std::size_t count = thin(verify(data, survivors));
    scanned_ += static_cast<std::int32_t>(size);
    return count;
}

// Keeps the survivors that reach the threshold, as boundary positions.
std::size_t CandidateScanner::verify(const std::uint8_t* data, std::size_t survivors) {
    auto& [positions, levels] = *scratch_;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < survivors; ++i) {
        const std::uint32_t position = positions[i];
        const unsigned level = level_at(data + position);
        positions[kept] = position + 1;
        levels[kept] = static_cast<std::uint8_t>(level);
        kept += level >= threshold_;  // no branch: it would be unpredictable
    }
    return kept;
}

std::size_t CandidateScanner::thin(std::size_t count) {
    auto& [positions, levels] = *scratch_;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const unsigned level = levels[i];
        const std::int32_t position = scanned_ + static_cast<std::int32_t>(positions[i]);
        const bool covered = position - latest_.at(level) <= static_cast<std::int32_t>(kCandidateDistance);
        latest_.note(level, position);
        positions[kept] = positions[i];
        levels[kept] = static_cast<std::uint8_t>(level);
        kept += !covered;
    }
    return kept;
}

}  // namespace parasync
