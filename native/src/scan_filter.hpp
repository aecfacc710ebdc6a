// The filter in vectors of bytes, by doubling its window; written once for every instruction set.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstdint>

#include "scan_constants.hpp"
#include "scan_thinning.hpp"

namespace parasync {
namespace {

// A matrix as GFNI's affine instruction takes it: byte 7 - i selects the bits whose parity is bit i of the result.
constexpr std::uint64_t matrix_rows(int doubling) {
    std::uint64_t rows = 0;
    for (int i = 0; i < 8; ++i) {
        for (int j = 0; j < 8; ++j) {
            const std::uint64_t bit = (kFilterColumns[doubling][j] >> i) & 1;
            rows |= bit << (8 * (7 - i) + j);
        }
    }
    return rows;
}

// A matrix as two tables for byte shuffles: the images of the low and of the high four bits.
struct NibbleTables {
    alignas(16) std::uint8_t low[16];
    alignas(16) std::uint8_t high[16];
};

constexpr NibbleTables nibble_tables(int doubling) {
    NibbleTables tables{};
    for (int value = 0; value < 16; ++value) {
        for (int bit = 0; bit < 4; ++bit) {
            if (((value >> bit) & 1) == 0) continue;
            tables.low[value] ^= kFilterColumns[doubling][bit];
            tables.high[value] ^= kFilterColumns[doubling][4 + bit];
        }
    }
    return tables;
}

// An instruction set offers:
//   Vector, kBytes                        a vector of bytes
//   load(data), exclusive_or(x, y)
//   Matrix, matrix<doubling>(), map(matrix, x)
//   delayed<n>(x, before)                 x moved up by n bytes, the gap filled with the end of `before`
//   target_mask(x)                        one bit per byte that is kFilterTarget; or, where that is cheaper,
//   target_mask(vectors)                  the same for all 64 bytes at once
template <class Isa>
class VectorFilter {
    using Vector = typename Isa::Vector;

public:
    std::uint64_t next(const std::uint8_t* data) {
        constexpr int kSteps = 64 / Isa::kBytes;
        if constexpr (requires(const Vector(&hashes)[kSteps]) { Isa::target_mask(hashes); }) {
            Vector hashes[kSteps];
#pragma GCC unroll 4
            for (int i = 0; i < kSteps; ++i) hashes[i] = step(data + i * Isa::kBytes);
            return Isa::target_mask(hashes);
        } else {
            std::uint64_t mask = 0;
#pragma GCC unroll 4
            for (int i = 0; i < kSteps; ++i) {
                mask |= Isa::target_mask(step(data + i * Isa::kBytes)) << (i * Isa::kBytes % 64);
            }
            return mask;
        }
    }

private:
    // h16 of the next bytes.
    Vector step(const std::uint8_t* data) {
        const Vector h2 = add(Isa::load(data), matrix0_, Isa::load(data - 1));
        const Vector h4 = add(h2, matrix1_, Isa::template delayed<2>(h2, h2_));
        const Vector h8 = add(h4, matrix2_, Isa::template delayed<4>(h4, h4_));
        const Vector h16 = add(h8, matrix3_, Isa::template delayed<8>(h8, h8_));
        h2_ = h2;
        h4_ = h4;
        h8_ = h8;
        return h16;
    }

    static Vector add(Vector x, const typename Isa::Matrix& matrix, Vector y) {
        return Isa::exclusive_or(x, Isa::map(matrix, y));
    }

    typename Isa::Matrix matrix0_ = Isa::template matrix<0>();
    typename Isa::Matrix matrix1_ = Isa::template matrix<1>();
    typename Isa::Matrix matrix2_ = Isa::template matrix<2>();
    typename Isa::Matrix matrix3_ = Isa::template matrix<3>();
    Vector h2_ = Vector();
    Vector h4_ = Vector();
    Vector h8_ = Vector();
};

}  // namespace
}  // namespace parasync
