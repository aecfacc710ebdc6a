// The chunks of one file, as an append-only table that many threads may read while one appends.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "parasync/fingerprint.hpp"
#include "parasync/zeroed_memory.hpp"

namespace parasync {

// Chunk numbers fit 32 bits everywhere, with values left over to mean "none".
inline constexpr std::uint64_t kMaxChunks = std::numeric_limits<std::uint32_t>::max() - 1;

// One writer appends; any number of readers use the chunks below a count() they have read. Chunks never move: they
// live in pages that double in size, so that a small file costs little, a huge `size` costs nothing until chunks
// arrive, and a fixed array of pages is enough. A chunk takes a third of a cache line, 21 1/3 bytes.
class ChunkTable {
public:
    // For a file of `size` bytes. Throws std::invalid_argument unless `average` is a power of two from 2 KiB to
    // 1 MiB, or if the file could have more than kMaxChunks chunks.
    // With `weak`, chunks have weak checksums, too, in a column of four bytes each.
    ChunkTable(std::uint32_t average, std::uint64_t size, bool weak = false);
    ~ChunkTable();
    ChunkTable(const ChunkTable&) = delete;
    ChunkTable& operator=(const ChunkTable&) = delete;

    std::uint32_t average() const { return average_; }
    std::uint32_t minimum() const { return average_ / 2; }
    std::uint32_t maximum() const { return average_ / 2 * 3; }
    std::uint64_t size() const { return size_; }
    bool has_weak() const { return has_weak_; }

    std::uint64_t count() const { return count_.load(std::memory_order_acquire); }
    // Offset behind the last chunk; equals size() when the table is complete.
    std::uint64_t end() const;

    // The chunk must be below a count() that this thread has read.
    std::uint64_t offset(std::uint64_t number) const {
        const Place place = place_of(number);
        const Line& found = line(place);
        std::uint64_t offset = found.offset;
        for (unsigned before = 0; before < place.within; ++before) offset += found.length(before);
        return offset;
    }
    std::uint32_t length(std::uint64_t number) const {
        const Place place = place_of(number);
        return line(place).length(place.within);
    }
    Fingerprint fingerprint(std::uint64_t number) const {
        const Place place = place_of(number);
        return line(place).fingerprints[place.within];
    }
    // Of a table with weak checksums.
    std::uint32_t weak(std::uint64_t number) const {
        const Place place = place_of(number);
        return weak_page(place)[place.line * kPerLine + place.within];
    }
    std::uint64_t shortened(std::uint64_t number) const { return fingerprint(number).shortened(); }
    // Whether it has this length and short fingerprint.
    bool equal(std::uint64_t number, std::uint32_t length, std::uint64_t shortened) const {
        const Place place = place_of(number);
        const Line& found = line(place);
        return found.fingerprints[place.within].shortened() == shortened && found.length(place.within) == length;
    }
    // Fetches the chunk and the one behind it into the cache. Always inlined: as a function of its own it would be one
    // without effect, whose calls the compiler removes.
    [[gnu::always_inline]] void prefetch(std::uint64_t number) const {
        const Place place = place_of(number);
        const Line* const wanted = &line(place);
        __builtin_prefetch(wanted);
        __builtin_prefetch(wanted + place.within / (kPerLine - 1));
    }

    // Appends the chunk that begins at end(). Throws std::invalid_argument if its length is 0 or above maximum(), if
    // it is below minimum() without ending the file, or if it reaches beyond size(). Writer only. `weak` is ignored by
    // a table without weak checksums.
    void append(std::uint32_t length, Fingerprint fingerprint, std::uint32_t weak = 0);
    // Appends as many chunks, one behind the other. Readers see all of them or, when one is refused, none.
    void append_each(std::span<const std::uint32_t> lengths, const Fingerprint* fingerprints,
                     const std::uint32_t* weak = nullptr);

    // Bytes of one chunk on the wire: its length in 2 or 4 bytes, then its short fingerprint in 8.
    std::size_t encoded_length_bytes() const { return maximum() <= 0xFFFF ? 2 : 4; }
    std::size_t encoded_bytes() const { return encoded_length_bytes() + sizeof(std::uint64_t); }
    // Writes chunks [first, first + count) to `out`, count * encoded_bytes() long: all lengths, then all short
    // fingerprints, little-endian. Throws std::out_of_range if they are not all there.
    void encode(std::uint64_t first, std::uint64_t count, std::uint8_t* out) const;
    // Appends what encode() wrote; returns the number of chunks. Only their short fingerprints are known then, so that
    // fold() means nothing any more. Throws std::invalid_argument, with nothing appended, where append() would, and if
    // the byte count does not divide or there should be weak checksums. Writer only.
    std::uint64_t extend(std::span<const std::uint8_t> data);

    // Throws std::out_of_range unless [first, first + count) is below count().
    void check_range(std::uint64_t first, std::uint64_t count) const;

    // Fingerprint of the chunks so far, joined.
    Fingerprint fold(const FingerprintKey& key) const;
    // Depends on every length and fingerprint; not for security.
    std::array<std::uint8_t, 32> digest() const;

private:
    static constexpr unsigned kPerLine = 3;
    static constexpr unsigned kLengthBits = 21;

    // Whoever needs one field of a random chunk needs another one too, so they share a cache line.
    struct alignas(64) Line {
        Fingerprint fingerprints[kPerLine];
        std::uint64_t offset;   // of the first chunk
        std::uint64_t lengths;  // from the lowest bits on

        // The writer may be adding the length behind this one.
        std::uint32_t length(unsigned within) const {
            const std::uint64_t all = __atomic_load_n(&lengths, __ATOMIC_RELAXED);
            return static_cast<std::uint32_t>(all >> (kLengthBits * within)) & ((1u << kLengthBits) - 1);
        }
    };
    static_assert(sizeof(Line) == 64);

    static constexpr unsigned kFirstPageBits = 6;
    static constexpr unsigned kPages = 32 - kFirstPageBits;

    struct Place {
        unsigned page;
        unsigned within;     // the line
        std::uint64_t line;  // of the page
    };

    static std::uint64_t page_lines(unsigned page) { return std::uint64_t{1} << (kFirstPageBits + page); }
    static std::uint64_t page_first(unsigned page) { return page_lines(page) - page_lines(0); }
    static Place place_of(std::uint64_t number) {
        const std::uint64_t line = number / kPerLine;
        const unsigned page = static_cast<unsigned>(std::bit_width((line >> kFirstPageBits) + 1)) - 1;
        return {page, static_cast<unsigned>(number - line * kPerLine), line - page_first(page)};
    }

    const Line& line(Place place) const {
        return reinterpret_cast<const Line*>(pages_[place.page].data())[place.line];
    }
    std::uint32_t* weak_page(Place place) const {
        return reinterpret_cast<std::uint32_t*>(weak_pages_[place.page].data());
    }
    class Appender;
    Line& writable_line(Place place);

    const std::uint32_t average_;
    const std::uint64_t size_;
    const bool has_weak_;
    std::atomic<std::uint64_t> count_{0};
    std::array<ZeroedMemory, kPages> pages_;
    std::array<ZeroedMemory, kPages> weak_pages_;
};

}  // namespace parasync
