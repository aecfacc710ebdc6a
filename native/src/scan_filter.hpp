// The filter in vectors of bytes, by doubling its window; written once for every instruction set.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstddef>
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
//
// Four vectors at a time, all by one doubling before any by the next: what each doubling waits for is long done, which
// a single vector after the other is not. (AVX2: 30 % faster.)
template <class Isa>
class VectorFilter {
    using Vector = typename Isa::Vector;
    using Matrix = typename Isa::Matrix;
    static constexpr int kVectors = 4;

public:
    static constexpr std::size_t kRuns = kVectors * Isa::kBytes / 64;

    template <class Sink>
    void run(const std::uint8_t* data, std::size_t runs, Sink sink) {
        for (std::size_t done = 0; done < runs; done += kRuns) {
            const Masks masks = next(data + 64 * done);
#pragma GCC unroll 4
            for (std::size_t k = 0; k < kRuns; ++k) sink(done + k, masks.run[k]);
        }
    }

private:
    struct Masks {
        std::uint64_t run[kRuns];
    };

    Masks next(const std::uint8_t* data) {
        Vector hashes[kVectors];
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) {
            const std::uint8_t* const here = data + i * Isa::kBytes;
            hashes[i] = add(Isa::load(here), matrix0_, Isa::load(here - 1));
        }
        widen<2>(hashes, matrix1_, h2_);
        widen<4>(hashes, matrix2_, h4_);
        widen<8>(hashes, matrix3_, h8_);
        return target_masks(hashes);
    }

    template <int kDistance>
    static void widen(Vector (&hashes)[kVectors], const Matrix& matrix, Vector& before) {
        Vector delayed[kVectors];
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) {
            delayed[i] = Isa::template delayed<kDistance>(hashes[i], i == 0 ? before : hashes[i - 1]);
        }
        before = hashes[kVectors - 1];
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) hashes[i] = add(hashes[i], matrix, delayed[i]);
    }

    static Masks target_masks(const Vector (&hashes)[kVectors]) {
        if constexpr (requires { Isa::target_mask(hashes); }) {
            static_assert(kRuns == 1);
            return {{Isa::target_mask(hashes)}};
        } else {
            constexpr int kPerRun = kVectors / kRuns;
            Masks masks;
#pragma GCC unroll 4
            for (std::size_t run = 0; run < kRuns; ++run) {
                std::uint64_t mask = 0;
#pragma GCC unroll 4
                for (int i = 0; i < kPerRun; ++i) {
                    mask |= Isa::target_mask(hashes[run * kPerRun + i]) << (i * Isa::kBytes % 64);
                }
                masks.run[run] = mask;
            }
            return masks;
        }
    }

    static Vector add(Vector x, const Matrix& matrix, Vector y) { return Isa::exclusive_or(x, Isa::map(matrix, y)); }

    Matrix matrix0_ = Isa::template matrix<0>();
    Matrix matrix1_ = Isa::template matrix<1>();
    Matrix matrix2_ = Isa::template matrix<2>();
    Matrix matrix3_ = Isa::template matrix<3>();
    Vector h2_ = Vector();
    Vector h4_ = Vector();
    Vector h8_ = Vector();
};

}  // namespace
}  // namespace parasync
