#include <arm_neon.h>

#include "fingerprint_fold.hpp"

namespace parasync::neon {

namespace {

struct Isa {
    using Vector = uint64x2_t;
    static constexpr int kBytes = 16;
    static constexpr int kVectors = 4;

    static Vector load(const std::uint8_t* data) { return vreinterpretq_u64_u8(vld1q_u8(data)); }

    static Vector load_last(const std::uint8_t* data, std::size_t size, int vector) {
        return load_last_lane<Isa>(data, size, vector);
    }

    static Vector broadcast(const FoldConstants& constants) { return lanes(&constants); }
    static Vector lanes(const FoldConstants* constants) {
        return vcombine_u64(vcreate_u64(constants->first), vcreate_u64(constants->last));
    }
    static Vector fold(Vector x, Vector constants, Vector add) {
        return veorq_u64(veorq_u64(multiply<0x00>(x, constants), multiply<0x11>(x, constants)), add);
    }

    struct Pair {
        uint64x2_t a;
        uint64x2_t b;
    };
    static Pair sum(Vector a, Vector b) { return {a, b}; }
    static Pair twice(const Fingerprint& fingerprint) {
        return {vdupq_n_u64(fingerprint.a), vdupq_n_u64(fingerprint.b)};
    }
    template <int kSelector>
    static Pair multiply(Pair x, Pair y) {
        return {multiply<kSelector>(x.a, y.a), multiply<kSelector>(x.b, y.b)};
    }
    static Pair exclusive_or(Pair x, Pair y) { return {veorq_u64(x.a, y.a), veorq_u64(x.b, y.b)}; }
    static Pair add_doubled(Pair x, Pair y) {
        return exclusive_or(x, {vshlq_n_u64(y.a, 1), vshlq_n_u64(y.b, 1)});
    }
    static Pair add_carried(Pair x, Pair y) { return exclusive_or(x, {carry(y.a), carry(y.b)}); }
    static Fingerprint residue(Pair x) { return {vgetq_lane_u64(x.a, 1), vgetq_lane_u64(x.b, 1)}; }

private:
    template <int kSelector>
    static uint64x2_t multiply(uint64x2_t x, uint64x2_t y) {
        const poly64x2_t left = vreinterpretq_p64_u64(x);
        const poly64x2_t right = vreinterpretq_p64_u64(y);
        if constexpr (kSelector == 0x11) {
            return vreinterpretq_u64_p128(vmull_high_p64(left, right));
        } else {
            return vreinterpretq_u64_p128(
                vmull_p64(vgetq_lane_p64(left, kSelector & 1), vgetq_lane_p64(right, kSelector >> 4)));
        }
    }
    static uint64x2_t carry(uint64x2_t x) { return vextq_u64(vdupq_n_u64(0), vshrq_n_u64(x, 63), 1); }
};

}  // namespace

Fingerprint fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size) {
    return hash_fingerprint<Folding<Isa>>(tables, data, size);
}

void accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                const std::uint32_t* ends, std::size_t count, Fingerprint* out) {
    hash_accumulate<Folding<Isa>>(tables, start, data, ends, count, out);
}

void combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                  const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count) {
    hash_combine_each<Folding<Isa>>(tables, left, right, right_bytes, out, count);
}

}  // namespace parasync::neon
