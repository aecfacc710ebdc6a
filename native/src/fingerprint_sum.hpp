// Fingerprints by carry-less multiplication where that is what takes the time, written once for such instruction sets.
//
// Over a span of bytes, each lane of 128 bits is multiplied by the constants that move it onto the span's last lane,
// and all is added up: first f + last l, where f and l are the constants. Because that is
// (first + l) (last + f) + first last + l f, of which `first last` serves both polynomials and the sum of all `l f` is
// known, three products do for two polynomials; folding (fingerprint_fold.hpp) takes four.
//
// For the sources of kernels only (see kernel.hpp): everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fingerprint_fold.hpp"

namespace parasync {
namespace {

// Fewer bytes than fill a vector, in a place where whole ones can be loaded.
template <std::size_t kSize>
const std::uint8_t* copy_few(std::uint8_t (&few)[kSize], const std::uint8_t* data, std::size_t size) {
    std::memset(few, 0, kSize);
    std::memcpy(few, data, size);
    return few;
}

// An instruction set offers Vector, kBytes, load, broadcast, fold as for Folding, what Residues wants, and
//   load_front(data, size, missing)       `missing` zeros (less than kBytes), then the data's begin, of which `size`
//                                         bytes may be read: enough to fill the vector
//   product(x)                            of every lane, its first half times its last
//   exclusive_or(x, y)
//   single(lane)                          a vector with this lane, the others zero
template <class Instructions>
class Summing : public Residues<Instructions> {
public:
    using Isa = Instructions;

    explicit Summing(const FingerprintTables& tables)
        : Residues<Isa>(tables),
          sums_(tables.sums),
          forward_{Isa::broadcast(tables.sums.forward[0]), Isa::broadcast(tables.sums.forward[1])} {}

    // The fingerprint, as the high halves of a pair. `size` is not 0.
    typename Isa::Pair hash(const std::uint8_t* data, std::size_t size) const {
        const std::size_t front = (size - 1) % kSpan + 1;
        const std::size_t vectors = (front + kBytes - 1) / kBytes;
        const std::size_t missing = vectors * kBytes - front;
        Sum sum;
        std::size_t place = kSpan - vectors * kBytes;
        add(sum, Isa::load_front(data, size, missing), place);
        const std::uint8_t* next = data + (kBytes - missing);
        for (place += kBytes; place != kSpan; place += kBytes, next += kBytes) {
            prefetch(next);
            add(sum, Isa::load(next), place);
        }
        finish(sum, vectors * kBytes / 16);
        while (next != data + size) {
            Sum following;
#pragma GCC unroll 4
            for (place = 0; place != kSpan; place += kBytes, next += kBytes) {
                prefetch(next);
                add(following, Isa::load(next), place);
            }
            finish(following, kSumLanes);
            sum.first = Isa::fold(sum.first, forward_[0], following.first);
            sum.second = Isa::fold(sum.second, forward_[1], following.second);
        }
        return this->reduce(Isa::sum(sum.first, sum.second));
    }

private:
    using Vector = typename Isa::Vector;
    static constexpr std::size_t kBytes = Isa::kBytes;
    static constexpr std::size_t kSpan = 16 * kSumLanes;

    struct Sum {
        Vector first = Vector();   // for the first polynomial
        Vector second = Vector();  // for the second
        Vector both = Vector();
    };

    // While products are computed, memory has nothing else to do: what will be scanned next comes into the cache.
    static void prefetch(const std::uint8_t* next) {
        constexpr std::size_t kAhead = 64 * 1024;
        __builtin_prefetch(next + kAhead, 0, 2);
    }

    void add(Sum& sum, Vector data, std::size_t place) const {
        const Vector first = Isa::load(reinterpret_cast<const std::uint8_t*>(sums_.constants[0]) + place);
        const Vector second = Isa::load(reinterpret_cast<const std::uint8_t*>(sums_.constants[1]) + place);
        sum.first = Isa::exclusive_or(sum.first, Isa::product(Isa::exclusive_or(data, first)));
        sum.second = Isa::exclusive_or(sum.second, Isa::product(Isa::exclusive_or(data, second)));
        sum.both = Isa::exclusive_or(sum.both, Isa::product(data));
    }

    // Takes out what does not belong into a sum over the span's last `lanes`.
    void finish(Sum& sum, std::size_t lanes) const {
        const Vector first = Isa::exclusive_or(sum.both, Isa::single(sums_.products[0][lanes]));
        const Vector second = Isa::exclusive_or(sum.both, Isa::single(sums_.products[1][lanes]));
        sum.first = Isa::exclusive_or(sum.first, first);
        sum.second = Isa::exclusive_or(sum.second, second);
    }

    const SumTables& sums_;
    const Vector forward_[2];
};

}  // namespace
}  // namespace parasync
