// The filter one doubling after the other over a stretch of bytes, for instruction sets with matrices in tables.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "scan_filter.hpp"

namespace parasync {
namespace {

// Takes of an instruction set what VectorFilter does, without delayed<n>(), and
//   store(data, x)                        to an address that is a multiple of kBytes
//
// Results of a doubling go through memory, the first-level cache, and come back moved by as many bytes as the next one
// needs: that is no work for the units which shuffle, and no step waits for the one before it. (AVX2, Zen 3: 9.4
// instead of 6.7 GB/s.)
template <class Isa>
class StagedFilter {
    using Vector = typename Isa::Vector;
    using Matrix = typename Isa::Matrix;

public:
    static constexpr std::size_t kRuns = 1;

    // sink(k, mask) for each of `runs` successive 64 bytes.
    template <class Sink>
    void run(const std::uint8_t* data, std::size_t runs, Sink sink) {
        for (std::size_t done = 0; done < runs; done += kStretch / 64) {
            const std::size_t left = runs - done < kStretch / 64 ? runs - done : kStretch / 64;
            stretch(data + 64 * done, 64 * left, [&](std::size_t k, std::uint64_t mask) { sink(done + k, mask); });
        }
    }

private:
    static constexpr std::size_t kStretch = 4096;
    static constexpr std::size_t kBefore = 64;

    // Hashes of a stretch behind the last ones of the stretch before. Not a multiple of 4096 bytes long: the processor
    // would take stores into one for stores into the other.
    struct Hashes {
        alignas(64) std::uint8_t bytes[kBefore + kStretch];

        Hashes() { std::memset(bytes, 0, kBefore); }
        std::uint8_t* begin() { return bytes + kBefore; }
        void keep_end(std::size_t size) { std::memcpy(begin() - 16, begin() + size - 16, 16); }
    };

    template <class Sink>
    void stretch(const std::uint8_t* data, std::size_t size, Sink sink) {
        widen<0>(data, size, h2_.begin(), data);
        widen<1>(h2_.begin(), size, h4_.begin(), data + size);
        widen<2>(h4_.begin(), size, h8_.begin(), data + size);
        const Matrix matrix = Isa::template matrix<3>();
#pragma GCC unroll 4
        for (std::size_t i = 0; i < size; i += 64) {
            std::uint64_t mask = 0;
#pragma GCC unroll 4
            for (int part = 0; part < 64; part += Isa::kBytes) {
                mask |= Isa::target_mask(wider<3>(matrix, h8_.begin() + i + part)) << part;
            }
            sink(i / 64, mask);
        }
        h2_.keep_end(size);
        h4_.keep_end(size);
        h8_.keep_end(size);
    }

    template <int kDoubling>
    static void widen(const std::uint8_t* from, std::size_t size, std::uint8_t* to, const std::uint8_t* next) {
        const Matrix matrix = Isa::template matrix<kDoubling>();
#pragma GCC unroll 4
        for (std::size_t i = 0; i < size; i += 64) {
            if constexpr (kDoubling == 1) __builtin_prefetch(next + i);
#pragma GCC unroll 4
            for (int part = 0; part < 64; part += Isa::kBytes) {
                Isa::store(to + i + part, wider<kDoubling>(matrix, from + i + part));
            }
        }
    }

    template <int kDoubling>
    static Vector wider(const Matrix& matrix, const std::uint8_t* here) {
        return Isa::exclusive_or(Isa::load(here), Isa::map(matrix, Isa::load(here - (1 << kDoubling))));
    }

    Hashes h2_;
    Hashes h4_;
    Hashes h8_;
};

}  // namespace
}  // namespace parasync
