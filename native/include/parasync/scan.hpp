// Candidates: the positions of a file where a chunk may end.
//
// Contract, bit-identical on every CPU and with every kernel: candidates are a pure function of the bytes
// before them. A file counts as preceded by infinitely many zero bytes.
//
//   1. Filter. Over single bytes b(i), with four invertible 8x8 matrices over GF(2):
//        h2(i) = b(i) ^ M0 b(i-1)     h4(i) = h2(i) ^ M1 h2(i-2)
//        h8(i) = h4(i) ^ M2 h4(i-4)   h16(i) = h8(i) ^ M3 h8(i-8)
//      i is a survivor if h16(i) is kFilterTarget: one position in 256, never in a run of zeros.
//   2. First thinning. A survivor counts only if none of the 15 positions before it is a survivor.
//   3. Level. With w0 the eight bytes that end at i, w1 the eight before them, and so on (little-endian), and
//      fold(x, y) the exclusive or of both halves of the 128-bit product x y:
//        hash = (fold(w0 ^ K0, w1 ^ K1) + fold(w2 ^ K2, w3 ^ K3)) * kLevelMultiplier  modulo 2^64
//      level = 8 + leading zeros of hash, so that one position in 2^level has it or a higher one.
//   4. Second thinning. One that counts so far, of at least the threshold level, is a candidate only if none of
//      equal or higher level (that counts so far) lies in the 256 positions before it.
//
// Both thinnings bound what hostile or periodic content can do: at most one level per 16 positions, and strictly
// rising levels within 256. A candidate at byte i is the boundary position i + 1: the cut lies behind the byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace parasync {

// Bytes before a segment that decide its candidates (256 + 15 + 16 positions for the thinnings and the filter, which
// include the 32 of the level), rounded up so that kernels load whole vectors.
inline constexpr std::size_t kContext = 384;

// The level that candidates must reach for chunks of `average` bytes: about eight per average chunk, so that the
// cut rule can choose. Throws std::invalid_argument unless `average` is a power of two from 2 KiB to 1 MiB.
unsigned threshold_level(std::uint32_t average);

// For every level, the latest position noted that has it or a higher one.
class LatestByLevel {
public:
    // `threshold` is the least level that will be noted or asked for.
    void begin(unsigned threshold, std::int32_t none) {
        threshold_ = threshold;
        usual_[0] = usual_[1] = Four{none, none, none, none};
        rare_.fill(none);
    }

    [[nodiscard]] std::int32_t at(unsigned level) const {
        const std::int32_t above = static_cast<std::int32_t>(level - threshold_);
        if (__builtin_expect(above >= kUsual, 0)) return rare_[above - kUsual];
        return usual_[above / 4][above % 4];
    }

    // How many there are to set is unpredictable: no branch, but vectors. One position in 2^kUsual has more.
    void note(unsigned level, std::int32_t position) {
        const std::int32_t above = static_cast<std::int32_t>(level - threshold_);
        usual_[0] = above >= Four{0, 1, 2, 3} ? Four{} + position : usual_[0];
        usual_[1] = above >= Four{4, 5, 6, 7} ? Four{} + position : usual_[1];
        for (std::int32_t i = 0; __builtin_expect(i <= above - kUsual, 0); ++i) rare_[i] = position;
    }

private:
    using Four = std::int32_t __attribute__((vector_size(16)));
    static constexpr std::int32_t kUsual = 8;

    Four usual_[2]{};
    std::array<std::int32_t, 64 + 2> rare_{};
    unsigned threshold_ = 0;
};

// Finds the candidates of successive blocks. One owner.
class CandidateScanner {
public:
    static constexpr std::size_t kMaxBlock = 64 * 1024;
    static constexpr std::size_t kMaxCandidates = kMaxBlock / 16 + 9;

    CandidateScanner();

    // Begins anew in front of `data`, whose context data[-kContext, 0) it reads.
    void begin(const std::uint8_t* data, unsigned threshold);

    // Scans data[0, size), which follows what was scanned before in the file, if not in memory; size is at most
    // kMaxBlock. Reads the 128 bytes before `data`, too. Returns the number of candidates; boundary positions relative
    // to `data` (1 to size) and levels are in positions() and levels() until the next call.
    std::size_t scan(const std::uint8_t* data, std::size_t size);

    [[nodiscard]] const std::uint32_t* positions() const { return scratch_->positions.data(); }
    [[nodiscard]] const std::uint8_t* levels() const { return scratch_->levels.data(); }

private:
    struct Scratch {
        std::array<std::uint32_t, kMaxCandidates> positions;
        std::array<std::uint8_t, kMaxCandidates> levels;
    };

    std::size_t verify(const std::uint8_t* data, std::size_t survivors);
    std::size_t thin(std::size_t count);

    unsigned threshold_ = 0;
    std::int32_t scanned_ = 0;  // bytes since begin()
    LatestByLevel latest_;      // of the positions that count before the second thinning
    std::unique_ptr<Scratch> scratch_;
};

}  // namespace parasync
