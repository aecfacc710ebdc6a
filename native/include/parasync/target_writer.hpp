// The receiver's side of reconstruction (ParaSync 3.3): copies and literals at absolute offsets, verified as written.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "parasync/extent.hpp"
#include "parasync/fingerprint.hpp"

namespace parasync {

// A part of the basis that is in memory.
struct HeldBytes {
    std::uint64_t offset = 0;
    std::span<const std::uint8_t> bytes;

    [[nodiscard]] std::uint64_t end() const { return offset + bytes.size(); }
};

// Any number of threads may write at once. What is fingerprinted is the very memory that is written, so the sum over
// a finished file says that each byte was written once and right. Blocks of zeros are not written: the target must be
// new, and have its size, so that they are holes. Copies share the basis's storage where the file system can; what is
// fingerprinted then is what the target reads.
class TargetWriter {
public:
    // Throws std::invalid_argument if no file has `size` bytes.
    TargetWriter(int fd, std::uint64_t size, FingerprintKey key);

    // Copies these ranges out of the basis, those in `held` from there; returns their bytes. Before anything is
    // written, throws std::invalid_argument if one is empty or leaves the target. Then std::system_error, or EndOfFile
    // if the basis is shorter: some bytes are written then, but not counted.
    std::uint64_t copy(int basis_fd, std::span<const Copy> copies, HeldBytes held = {});

    // Writes `data` over these extents, back to back; returns its length. Throws std::invalid_argument, before
    // anything is written, if one is empty or leaves the target or if they do not cover `data` exactly;
    // std::system_error.
    std::uint64_t literal(std::span<const Extent> extents, std::span<const std::uint8_t> data);

    std::uint64_t written() const;
    // Sum of the fingerprints of the bytes written, each at its place in the file.
    Fingerprint fingerprint() const;

private:
    // What one call has written.
    struct Written {
        std::uint64_t bytes = 0;
        Fingerprint sum;
    };

    std::vector<Copy> clone(int basis_fd, std::span<const Copy> copies, Written& written);
    bool clone_blocks(int basis_fd, const Copy& blocks);
    void read_back(const Copy& cloned, Written& written) const;
    void write(std::span<const std::uint8_t> data, std::uint64_t offset, Written& written) const;
    void count(std::span<const std::uint8_t> data, std::uint64_t offset, Written& written) const;
    void add(const Written& written);

    const int fd_;
    const std::uint64_t size_;
    const FingerprintKey key_;
    // A file system lets one writer into a file at a time, and who waits for that spins: a fifth of the receiver's CPU
    // time with three writers. Here the others sleep, and read and fingerprint meanwhile.
    mutable std::mutex writing_;
    std::atomic<bool> clones_ = true;  // until the file system refused once
    mutable std::mutex mutex_;
    Written total_;
};

}  // namespace parasync
