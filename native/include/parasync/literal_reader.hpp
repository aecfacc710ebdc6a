// The sender's side of literals (ParaSync 3.3): extents of a file, packed into pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "parasync/extent.hpp"
#include "parasync/fingerprint.hpp"

namespace parasync {

// Reads extents in their order, back to back, into one buffer after another. One owner.
class LiteralReader {
public:
    struct Piece {
        // What was read, in order; the last one may be the first part of an extent.
        std::vector<Extent> extents;
        std::uint64_t bytes = 0;
    };

    // Without a key nothing is fingerprinted. Throws std::invalid_argument if an extent is empty or reaches beyond
    // `size`, or if no file has `size`, or as many bytes as the extents together.
    LiteralReader(int fd, std::vector<Extent> extents, std::uint64_t size, std::optional<FingerprintKey> key);

    // The next piece: as many bytes as `buffer` takes, from at most `limit` extents; nothing at the end. Throws
    // std::system_error, EndOfFile (then nothing was taken), and std::invalid_argument for an empty buffer or no limit.
    Piece fill(std::span<std::uint8_t> buffer, std::uint64_t limit);

    // Bytes of all extents.
    std::uint64_t total() const { return total_; }

    // Sum of the fingerprints of what was read, each at its place in the file. Throws std::invalid_argument without a
    // key.
    Fingerprint fingerprint() const;

private:
    const int fd_;
    const std::vector<Extent> extents_;
    const std::uint64_t size_;
    const std::optional<FingerprintKey> key_;
    std::uint64_t total_ = 0;
    std::size_t next_ = 0;
    // Bytes of extents_[next_] that were read already.
    std::uint64_t taken_ = 0;
    Fingerprint sum_;
};

}  // namespace parasync
