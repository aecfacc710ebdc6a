// The fingerprint: a keyed, combinable 128-bit checksum of bytes.
//
// Contract, bit-identical on every CPU and with every kernel:
//   - Bytes are a polynomial over GF(2): the first byte holds the highest powers, and within a byte
//     bit 0 is the highest. A fingerprint is that polynomial modulo the key's two irreducible
//     polynomials of degree 64; bit k of a residue is the coefficient of x^(63 - k).
//   - H(empty) = 0, leading zero bytes change nothing, and H(A || B) = H(A) x^(8 |B|) + H(B).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace parasync {

struct Fingerprint {
    std::uint64_t a = 0;
    std::uint64_t b = 0;

    friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

    // The short fingerprint, by which chunks are compared. Both residues are in it (docs/decisions/0023). With b = 0 a
    // fingerprint is its own short one: so are those from the wire stored.
    [[gnu::always_inline]] inline std::uint64_t shortened() const { return a ^ std::rotl(b, 32); }

    // Always inlined: a copy compiled for one instruction set must never serve another (see kernels.cmake).
    [[gnu::always_inline]] friend inline Fingerprint operator^(Fingerprint left, Fingerprint right) {
        return {left.a ^ right.a, left.b ^ right.b};
    }
    [[gnu::always_inline]] inline Fingerprint& operator^=(Fingerprint other) {
        a ^= other.a;
        b ^= other.b;
        return *this;
    }
};
static_assert(sizeof(Fingerprint) == 16);

struct FingerprintTables;

// Two irreducible polynomials with everything computed from them. Immutable, shared by threads; copies
// share one set of tables, so holding a copy is cheap.
class FingerprintKey {
public:
    // Takes the first two distinct irreducible x^64 + w among `words`, bit 0 of each w forced to 1
    // (bit k of w is the coefficient of x^k). Throws std::invalid_argument if there are fewer than two.
    explicit FingerprintKey(std::span<const std::uint64_t> words);

    [[nodiscard]] Fingerprint fingerprint(const std::uint8_t* data, std::size_t size) const;

    // Fingerprint of the data followed by `bytes` zero bytes. Constant time: at most eight products.
    [[nodiscard]] Fingerprint shift(Fingerprint fingerprint, std::uint64_t bytes) const;

    // Fingerprint of A || B from those of A and B, where B has `right_bytes` bytes.
    [[nodiscard]] Fingerprint combine(Fingerprint left, Fingerprint right, std::uint64_t right_bytes) const;

    // out[i] = combine(left[i], right[i], right_bytes[i]); independent of each other, so much faster than
    // as many single calls. `out` may be `right`.
    void combine_each(const Fingerprint* left, const Fingerprint* right, const std::uint64_t* right_bytes,
                      Fingerprint* out, std::size_t count) const;

    [[nodiscard]] const FingerprintTables& tables() const { return *tables_; }

private:
    std::shared_ptr<const FingerprintTables> tables_;
};

}  // namespace parasync
