#include <cstring>

#include "scan_constants.hpp"
#include "scan_thinning.hpp"

namespace parasync::portable {

namespace {

// Sixteen bytes; the compiler maps them to whatever vectors or words its target has.
typedef std::uint8_t Lanes __attribute__((vector_size(16)));

constexpr std::uint8_t map(int doubling, std::uint8_t byte) {
    std::uint8_t image = 0;
    for (int bit = 0; bit < 8; ++bit) {
        if (((byte >> bit) & 1) != 0) image ^= kFilterColumns[doubling][bit];
    }
    return image;
}

// The hash is linear, so each byte adds its own share to the hashes of the 16 positions from its own on. A row holds
// a byte's 16 shares between 16 zeros on either side: a load up to 16 bytes off gives the shares moved, with zeros
// around, and never crosses a cache line.
struct Shares {
    alignas(64) std::uint8_t row[256][64];
};
constexpr int kFirstShare = 16;

constexpr Shares make_shares() {
    Shares shares{};
    for (int byte = 0; byte < 256; ++byte) {
        for (int distance = 0; distance < 16; ++distance) {
            std::uint8_t share = static_cast<std::uint8_t>(byte);
            for (int doubling = 0; doubling < 4; ++doubling) {
                if (((distance >> doubling) & 1) != 0) share = map(doubling, share);
            }
            shares.row[byte][kFirstShare + distance] = share;
        }
    }
    return shares;
}

constexpr Shares kShares = make_shares();

Lanes load(const std::uint8_t* data) {
    Lanes lanes;
    std::memcpy(&lanes, data, sizeof lanes);
    return lanes;
}

// 0x80 in each byte of `word` that is kFilterTarget, 0 in the others.
std::uint64_t target_bytes(std::uint64_t word) {
    constexpr std::uint64_t kSeven = 0x7f7f7f7f7f7f7f7f;
    const std::uint64_t difference = word ^ (kFilterTarget * std::uint64_t{0x0101010101010101});
    return ~(((difference & kSeven) + kSeven) | difference | kSeven);
}

// The top bits of the bytes, as a byte.
std::uint64_t top_bits(std::uint64_t bytes) { return ((bytes >> 7) * 0x0102040810204080) >> 56; }

class ShareFilter {
public:
    static constexpr std::size_t kRuns = 1;

    template <class Sink>
    void run(const std::uint8_t* data, std::size_t runs, Sink sink) {
        Lanes pending = pending_;  // bytes may alias anything: a member would be stored and loaded for every sink
        for (std::size_t k = 0; k < runs; ++k) {
            std::uint64_t mask = 0;
            for (int group = 0; group < 64; group += 16) mask |= step(data + 64 * k + group, pending) << group;
            sink(k, mask);
        }
        pending_ = pending;
    }

private:
    static std::uint64_t step(const std::uint8_t* data, Lanes& pending) {
        Lanes here = pending;
        Lanes after = {};
#pragma GCC unroll 16
        for (int k = 0; k < 16; ++k) {
            const std::uint8_t* shares = kShares.row[data[k]] + kFirstShare;
            here ^= load(shares - k);
            after ^= load(shares + 16 - k);
        }
        pending = after;
        std::uint64_t words[2];
        std::memcpy(words, &here, sizeof words);
        const std::uint64_t low = target_bytes(words[0]);
        const std::uint64_t high = target_bytes(words[1]);
        return __builtin_expect((low | high) == 0, 1) ? 0 : top_bits(low) | top_bits(high) << 8;
    }

    Lanes pending_ = {};
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<ShareFilter>(out).run(data, size);
}

}  // namespace parasync::portable
