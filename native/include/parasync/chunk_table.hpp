// The chunks of one file, as an append-only table that many threads may read while one appends.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "parasync/fingerprint.hpp"

namespace parasync {

// Chunk numbers fit 32 bits everywhere, with values left over to mean "none".
inline constexpr std::uint64_t kMaxChunks = std::numeric_limits<std::uint32_t>::max() - 1;

// One writer appends; any number of readers use the chunks below a count() they have read. Rows never move: they
// live in pages that double in size, so that a small file costs little, a huge `size` costs nothing until chunks
// arrive, and a fixed array of page pointers is enough.
class ChunkTable {
public:
    // For a file of `size` bytes. Throws std::invalid_argument unless `average` is a power of two from 2 KiB to
    // 1 MiB, or if the file could have more than kMaxChunks chunks.
    ChunkTable(std::uint32_t average, std::uint64_t size);
    ~ChunkTable();
    ChunkTable(const ChunkTable&) = delete;
    ChunkTable& operator=(const ChunkTable&) = delete;

    std::uint32_t average() const { return average_; }
    std::uint32_t minimum() const { return average_ / 2; }
    std::uint32_t maximum() const { return average_ / 2 * 3; }
    std::uint64_t size() const { return size_; }

    std::uint64_t count() const { return count_.load(std::memory_order_acquire); }
    // Offset behind the last chunk; equals size() when the table is complete.
    std::uint64_t end() const;

    // The chunk must be below a count() that this thread has read.
    std::uint64_t offset(std::uint64_t number) const { return row(number).offset; }
    std::uint32_t length(std::uint64_t number) const { return row(number).length; }
    Fingerprint fingerprint(std::uint64_t number) const {
        const Row& found = row(number);
        return {found.a, found.b};
    }
    void prefetch(std::uint64_t number) const { __builtin_prefetch(&row(number)); }

    // Appends the chunk that begins at end(). Throws std::invalid_argument if its length is 0 or above maximum(), if
    // it is below minimum() without ending the file, or if it reaches beyond size(). Writer only.
    void append(std::uint32_t length, Fingerprint fingerprint);

    // Bytes of one chunk on the wire: its length in 2 or 4 bytes, then its fingerprint in 16.
    std::size_t encoded_length_bytes() const { return maximum() <= 0xFFFF ? 2 : 4; }
    std::size_t encoded_bytes() const { return encoded_length_bytes() + 16; }
    // Writes chunks [first, first + count) to `out`, count * encoded_bytes() long: all lengths, then all fingerprints,
    // little-endian. Throws std::out_of_range if they are not all there.
    void encode(std::uint64_t first, std::uint64_t count, std::uint8_t* out) const;
    // Appends what encode() wrote; returns the number of chunks. Throws std::invalid_argument, with nothing
    // appended, where append() would, and if the byte count does not divide. Writer only.
    std::uint64_t extend(std::span<const std::uint8_t> data);

    // Throws std::out_of_range unless [first, first + count) is below count().
    void check_range(std::uint64_t first, std::uint64_t count) const;

    // Fingerprint of the chunks so far, joined.
    Fingerprint fold(const FingerprintKey& key) const;
    // Depends on every length and fingerprint; not for security.
    std::array<std::uint8_t, 32> digest() const;

private:
    // 28 bytes without padding, in one place: whoever needs one field of a random chunk needs another one too.
    struct __attribute__((packed)) Row {
        std::uint64_t a, b;
        std::uint64_t offset;
        std::uint32_t length;
    };

    static constexpr unsigned kFirstPageBits = 8;
    static constexpr unsigned kPages = 32 - kFirstPageBits + 1;

    static unsigned page_of(std::uint64_t number) {
        return static_cast<unsigned>(std::bit_width((number >> kFirstPageBits) + 1)) - 1;
    }
    static std::uint64_t page_rows(unsigned page) { return std::uint64_t{1} << (kFirstPageBits + page); }
    static std::uint64_t page_first(unsigned page) { return page_rows(page) - page_rows(0); }

    const Row& row(std::uint64_t number) const {
        const unsigned page = page_of(number);
        return pages_[page][number - page_first(page)];
    }
    // Stores a row that readers cannot see yet, after the checks that append() documents.
    void store(std::uint64_t number, std::uint64_t offset, std::uint32_t length, Fingerprint fingerprint);
    Row& writable_row(std::uint64_t number);

    const std::uint32_t average_;
    const std::uint64_t size_;
    std::atomic<std::uint64_t> count_{0};
    std::array<std::unique_ptr<Row[]>, kPages> pages_;
};

}  // namespace parasync
