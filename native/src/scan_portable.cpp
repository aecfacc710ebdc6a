#include <cstring>

#include "scan_constants.hpp"
#include "scan_thinning.hpp"

namespace parasync::portable {

namespace {

// Sixteen bytes; the compiler maps them to whatever vectors or words its target has.
typedef std::uint8_t Lanes __attribute__((vector_size(16)));
typedef std::int8_t SignedLanes __attribute__((vector_size(16)));
typedef std::uint64_t Halves __attribute__((vector_size(16)));

constexpr std::uint8_t map(int doubling, std::uint8_t byte) {
    std::uint8_t image = 0;
    for (int bit = 0; bit < 8; ++bit) {
        if (((byte >> bit) & 1) != 0) image ^= kFilterColumns[doubling][bit];
    }
    return image;
}

// Hashes as sums of powers of the last matrix, applied to some vector: bit j stands for the j-th power. In these
// coordinates the matrix is a shift with feedback, a few instructions for all bytes of a vector at once.
struct Coordinates {
    std::uint8_t of[256];
    std::uint8_t eighth_power;  // what is fed back
    bool found;
};

constexpr Coordinates coordinates_from(std::uint8_t vector) {
    std::uint8_t powers[9] = {vector};
    for (int j = 0; j < 8; ++j) powers[j + 1] = map(3, powers[j]);
    Coordinates coordinates{};
    for (int value = 1; value < 256; ++value) {
        std::uint8_t sum = 0;
        for (int j = 0; j < 8; ++j) {
            if (((value >> j) & 1) != 0) sum ^= powers[j];
        }
        if (sum == 0) return coordinates;  // the powers depend on each other
        coordinates.of[sum] = static_cast<std::uint8_t>(value);
    }
    coordinates.eighth_power = coordinates.of[powers[8]];
    coordinates.found = true;
    return coordinates;
}

constexpr Coordinates find_coordinates() {
    for (int vector = 1; vector < 256; ++vector) {
        const Coordinates coordinates = coordinates_from(static_cast<std::uint8_t>(vector));
        if (coordinates.found) return coordinates;
    }
    return {};
}

constexpr Coordinates kCoordinates = find_coordinates();
static_assert(kCoordinates.found, "no shift with feedback is similar to the last matrix");

// h8 is linear, so each byte adds its own share to the hashes of the 8 positions from its own on. A row holds a
// byte's 8 shares between 8 zeros on either side: a load up to 8 bytes off gives the shares moved, with zeros around,
// and never crosses a cache line. (Shares of h16 take twice as many loads, and a table of half the first-level cache.)
struct Shares {
    alignas(64) std::uint8_t row[256][32];
};
constexpr int kFirstShare = 8;

constexpr Shares make_shares() {
    Shares shares{};
    for (int byte = 0; byte < 256; ++byte) {
        for (int distance = 0; distance < 8; ++distance) {
            std::uint8_t share = static_cast<std::uint8_t>(byte);
            for (int doubling = 0; doubling < 3; ++doubling) {
                if (((distance >> doubling) & 1) != 0) share = map(doubling, share);
            }
            shares.row[byte][kFirstShare + distance] = kCoordinates.of[share];
        }
    }
    return shares;
}

constexpr Shares kShares = make_shares();

Halves load(const std::uint8_t* data) {
    Halves halves;
    std::memcpy(&halves, data, sizeof halves);
    return halves;
}

// What 8 bytes add to h8 at their own positions, and at the 8 that follow.
Halves shares_of(const std::uint8_t* data) {
    Halves sum = {};
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) sum ^= load(kShares.row[data[k]] + kFirstShare - k);
    return sum;
}

// The last matrix, applied to each byte.
Halves map_last(Halves hashes) {
    const Lanes lanes = reinterpret_cast<Lanes>(hashes);
    const Lanes top_set = reinterpret_cast<Lanes>(reinterpret_cast<SignedLanes>(hashes) < 0);
    return reinterpret_cast<Halves>((lanes + lanes) ^ (top_set & kCoordinates.eighth_power));
}

// Bit `bit` of each of the eight bytes, as a byte.
std::uint64_t gather(std::uint64_t bytes, int bit) {
    return (((bytes >> bit) & 0x0101010101010101) * 0x0102040810204080) >> 56;
}

class ShareFilter {
public:
    static constexpr std::size_t kRuns = 1;

    template <class Sink>
    void run(const std::uint8_t* data, std::size_t runs, Sink sink) {
        State state = state_;  // bytes may alias anything: a member would be stored and loaded for every sink
        for (std::size_t k = 0; k < runs; ++k) {
            Lanes found = {};  // bit g of byte i: position 16 g + i
#pragma GCC unroll 4
            for (int group = 0; group < 4; ++group) {
                found |= targets(data + 64 * k + 16 * group, state) & static_cast<std::uint8_t>(1 << group);
            }
            sink(k, in_order(reinterpret_cast<Halves>(found)));
        }
        state_ = state;
    }

private:
    struct State {
        Halves shares = {};  // of the last 8 bytes
        Halves h8 = {};      // of the last 16
    };

    // 255 in each of the next 16 bytes where h16 is the target, 0 in the others.
    static Lanes targets(const std::uint8_t* data, State& state) {
        const Halves first = shares_of(data);
        const Halves second = shares_of(data + 8);
        const Halves h8 = first ^ Halves{state.shares[1], second[0]};
        const Halves eight_before = {state.h8[1], h8[0]};
        const Lanes h16 = reinterpret_cast<Lanes>(h8 ^ map_last(eight_before));
        state = {second, h8};
        return reinterpret_cast<Lanes>(h16 == kCoordinates.of[kFilterTarget]);
    }

    static std::uint64_t in_order(Halves found) {
        if (__builtin_expect((found[0] | found[1]) == 0, 1)) return 0;
        std::uint64_t mask = 0;
        for (int group = 0; group < 4; ++group) {
            mask |= (gather(found[0], group) | gather(found[1], group) << 8) << (16 * group);
        }
        return mask;
    }

    State state_;
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<ShareFilter>(out).run(data, size);
}

}  // namespace parasync::portable
