// SS-CDC, the chunking of the paper's pdsync (ParaSync 3.1, 4.1): threads mark candidates in a bitmap as large as an
// eighth of the file; then one thread walks it, applies minimum and maximum, and reads every byte again for the
// checksums. Scan and checksums are the core's own: only the structure differs from the product's.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "parasync/cpu.hpp"
#include "parasync/crc32c.hpp"
#include "parasync/fingerprint.hpp"
#include "parasync/scan.hpp"

namespace {

using parasync::CandidateScanner;
using parasync::Fingerprint;
using parasync::FingerprintKey;
using parasync::kContext;

// A bit stands for the byte behind which the cut would lie, so that no extent's candidate lies in the next one.
void mark(std::uint64_t* bitmap, std::uint64_t offset, const CandidateScanner& scanner, std::size_t found) {
    for (std::size_t i = 0; i < found; ++i) {
        const std::uint64_t byte = offset + scanner.positions()[i] - 1;
        bitmap[byte / 64] |= std::uint64_t{1} << (byte % 64);
    }
}

// The first marked byte in [low, high], else high.
std::uint64_t first_marked(const std::uint64_t* bitmap, std::uint64_t low, std::uint64_t high) {
    std::uint64_t bits = bitmap[low / 64] & (~std::uint64_t{0} << (low % 64));
    for (std::uint64_t word = low / 64; word <= high / 64; bits = bitmap[++word]) {
        if (bits != 0) return std::min(word * 64 + static_cast<unsigned>(std::countr_zero(bits)), high);
    }
    return high;
}

}  // namespace

extern "C" {

// The product's kernel is to run here, too; this library has a core of its own.
void baselines_select_kernel(const char* name) { parasync::select_kernel(name); }

// Stage 1, of one thread: marks the candidates of at least this level in [offset, offset + length). Extents of
// different threads begin at multiples of 64, so that they share no word of the bitmap, which has one more at its end.
void sscdc_mark(const std::uint8_t* file, std::uint64_t offset, std::uint64_t length, unsigned level,
                std::uint64_t* bitmap) {
    CandidateScanner scanner;
    std::uint64_t done = 0;
    if (offset < kContext) {
        // Zeros before the file, as everywhere.
        const auto head = std::make_unique<std::uint8_t[]>(kContext + CandidateScanner::kMaxBlock);
        done = std::min<std::uint64_t>(length, CandidateScanner::kMaxBlock);
        std::memcpy(head.get() + kContext - offset, file, offset + done);
        scanner.begin(head.get() + kContext, level);
        mark(bitmap, offset, scanner, scanner.scan(head.get() + kContext, done));
    } else {
        scanner.begin(file + offset, level);
    }
    while (done < length) {
        const std::size_t size = std::min<std::uint64_t>(CandidateScanner::kMaxBlock, length - done);
        mark(bitmap, offset + done, scanner, scanner.scan(file + offset + done, size));
        done += size;
    }
}

// Stage 2, of one thread: cuts behind the first marked byte between minimum and maximum, else at the maximum; returns
// the number of chunks.
std::uint64_t sscdc_cut(const std::uint64_t* bitmap, std::uint64_t size, std::uint32_t minimum, std::uint32_t maximum,
                        std::uint32_t* lengths) {
    std::uint64_t count = 0;
    for (std::uint64_t start = 0; start != size;) {
        const std::uint64_t end =
            size - start > maximum ? first_marked(bitmap, start + minimum - 1, start + maximum - 1) + 1 : size;
        lengths[count++] = static_cast<std::uint32_t>(end - start);
        start = end;
    }
    return count;
}

// Stage 2 goes on: the weak checksums of the chunks, which lie back to back; with key words also their fingerprints,
// while a chunk is in the cache.
void sscdc_checksums(const std::uint8_t* file, const std::uint32_t* lengths, std::uint64_t count, std::uint32_t* weak,
                     const std::uint64_t* words, std::uint64_t word_count, Fingerprint* fingerprints) {
    std::optional<FingerprintKey> key;
    if (word_count != 0) key.emplace(std::span(words, word_count));
    for (std::uint64_t i = 0; i < count; file += lengths[i++]) {
        weak[i] = parasync::crc32c(0, file, lengths[i]);
        if (key) fingerprints[i] = key->fingerprint(file, lengths[i]);
    }
}

}
