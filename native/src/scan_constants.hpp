// Written by tools/generate_constants.py from the seed "parasync candidates 1"; do not edit.
#pragma once

#include <cstdint>

namespace parasync {

// The filter's matrices over GF(2), one per doubling of its window: column j is the image of bit j.
inline constexpr std::uint8_t kFilterColumns[4][8] = {
    {0xca, 0x84, 0x13, 0x27, 0xb9, 0xdf, 0x10, 0xb1},
    {0xf8, 0x21, 0xe9, 0x40, 0x3e, 0xb3, 0x10, 0x12},
    {0xf5, 0x76, 0x0a, 0xdd, 0xf8, 0xbd, 0x56, 0xdc},
    {0xcd, 0x9e, 0xe3, 0xac, 0x4d, 0xa4, 0x11, 0x9f},
};

// A position survives the filter where its hash is this. Not zero, so runs of zeros have no survivors.
inline constexpr std::uint8_t kFilterTarget = 0xe6;

// Of the hash that gives a survivor its level.
inline constexpr std::uint64_t kLevelKeys[4] = {
    0xaaa5b3ea3e7c1139,
    0x337a05128c26132d,
    0xd016a32656507993,
    0x5703f2e412eedd82,
};
inline constexpr std::uint64_t kLevelMultiplier = 0x765dee4bec0313b1;

}  // namespace parasync
