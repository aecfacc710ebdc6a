#include <arm_neon.h>

#include "scan_filter.hpp"

namespace parasync::neon {

namespace {

struct Isa {
    using Vector = uint8x16_t;
    static constexpr int kBytes = 16;

    static Vector load(const std::uint8_t* data) { return vld1q_u8(data); }
    static Vector exclusive_or(Vector x, Vector y) { return veorq_u8(x, y); }

    struct Matrix {
        Vector low;
        Vector high;
    };
    template <int kDoubling>
    static Matrix matrix() {
        static constexpr NibbleTables kTables = nibble_tables(kDoubling);
        return {load(kTables.low), load(kTables.high)};
    }
    static Vector map(const Matrix& matrix, Vector x) {
        return veorq_u8(vqtbl1q_u8(matrix.low, vandq_u8(x, vdupq_n_u8(15))),
                        vqtbl1q_u8(matrix.high, vshrq_n_u8(x, 4)));
    }

    template <int kBytesMoved>
    static Vector delayed(Vector x, Vector before) {
        return vextq_u8(before, x, 16 - kBytesMoved);
    }

    // There is no instruction for it: each hit becomes the bit of its place among eight bytes, and three sums of
    // neighbours gather the bits. For 64 bytes at once they are four instructions, as many as for 16.
    static std::uint64_t target_mask(const Vector (&x)[4]) {
        const Vector low = vpaddq_u8(hits(x[0]), hits(x[1]));
        const Vector high = vpaddq_u8(hits(x[2]), hits(x[3]));
        const Vector both = vpaddq_u8(low, high);
        return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(both, both)), 0);
    }

private:
    static Vector hits(Vector x) {
        const Vector places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
        return vandq_u8(vceqq_u8(x, vdupq_n_u8(kFilterTarget)), places);
    }
};

}  // namespace

std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out) {
    return SurvivorSearch<VectorFilter<Isa>>(out).run(data, size);
}

}  // namespace parasync::neon
