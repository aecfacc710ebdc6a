// Small files in one piece: read, compared, patched and written in memory, without a table or a thread of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "parasync/chunking.hpp"
#include "parasync/extent.hpp"
#include "parasync/fingerprint.hpp"

namespace parasync {

inline constexpr std::uint64_t kMaxSmall = 256 << 10;
// Up to here, lengths of chunks take two bytes.
inline constexpr std::uint32_t kMaxSmallAverage = 32 << 10;

// What came of one file: 0, an errno, or one of these. A batch goes on after a file that failed.
inline constexpr int kChanged = -1;     // it is not what it was said to be
inline constexpr int kUnverified = -2;  // what is to be stored does not have the fingerprint that it should

// A name in an open directory; links are not followed. Throws std::invalid_argument unless it is one component.
struct NameAt {
    NameAt(int directory, std::string name);

    int directory;
    std::string name;
};

// Reads small files, each in the same buffer, and cuts them into chunks. One owner.
class SmallReader {
public:
    SmallReader(FingerprintKey key, CutRule rule);

    struct Basis {
        int error;
        Fingerprint fingerprint;
        std::vector<std::uint8_t> chunks;  // as ChunkTable::encode
    };
    // The receiver's file, which had `size` bytes, and with an average its chunks. Throws std::invalid_argument for a
    // bad average, one above kMaxSmallAverage or a size above kMaxSmall.
    Basis basis(const NameAt& name, std::uint64_t size, std::uint32_t average);

    // What the receiver has, as far as it said. Chunks are encoded with `average`.
    struct Have {
        std::optional<Fingerprint> fingerprint;
        std::span<const std::uint8_t> chunks;
        std::uint32_t average;
    };
    // How the target comes to be: it is the basis, or these copies of the basis and, in order, the literals between.
    struct Recipe {
        int error;
        bool same;
        Fingerprint fingerprint;
        std::vector<Copy> copies;
        std::vector<std::uint8_t> literals;
    };
    // The sender's file, which was announced with `size` and `mtime` (ns). Throws std::invalid_argument as basis()
    // does, and for chunks that are none or more than kMaxSmall.
    Recipe target(const NameAt& name, std::uint64_t size, std::int64_t mtime, const Have& have);

private:
    int read(const NameAt& name, std::uint64_t size, const std::int64_t* mtime);
    void chunk(ChunkTable& table);
    void compare(const Have& have, Recipe& recipe);

    const FingerprintKey key_;
    const CutRule rule_;
    std::vector<std::uint8_t> buffer_;
    std::span<const std::uint8_t> content_;  // of the last file
    Segment segment_;
};

// What the receiver is to have under a name.
struct SmallTarget {
    std::uint64_t size;
    std::uint32_t mode;  // permissions
    std::int64_t mtime;  // ns
    bool same;           // the content is there already
    Fingerprint fingerprint;
    std::span<const std::uint8_t> literals;
    std::vector<Copy> copies;  // in the order of their targets, without overlap
};

// Puts it there: a verified new file, which begins with `prefix`, takes the old one's place; or the old one gets mode
// and time. The old file is untouched unless this returns 0; with `durable` the new one's content is on the disk then.
// Throws std::invalid_argument for a size above kMaxSmall, or literals and copies that do not make up the file.
int store_small(const NameAt& name, const SmallTarget& target, const FingerprintKey& key, const std::string& prefix,
                bool durable);

}  // namespace parasync
