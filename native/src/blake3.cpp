#include "parasync/blake3.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "kernel.hpp"
#include "parasync/file_io.hpp"

namespace parasync {

namespace {

constexpr std::uint64_t kLeaf = 1024;
constexpr std::uint64_t kBlockBytes = 64;
// Bytes read before they are hashed: still in the second-level cache then, and many times what vectors take at once.
constexpr std::size_t kPiece = 256 * 1024;

using Value = std::array<std::uint32_t, 8>;
static_assert(std::endian::native == std::endian::little && sizeof(Value) == sizeof(Strong));

constexpr std::uint64_t leaves_of(std::uint64_t length) { return length == 0 ? 1 : (length + kLeaf - 1) / kLeaf; }

// Hashes leaves as their bytes come, then all trees level by level.
class Hasher {
public:
    // Bytes that stay where they are until the next flush(), of an extent of `length` bytes from `offset` on. They end
    // the extent or are whole leaves.
    void add(const std::uint8_t* data, std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
        std::uint64_t done = 0;
        do {
            const std::uint64_t leaf = std::min(kLeaf, size - done);
            nodes_.push_back({pad(data + done, leaf), (offset + done) / kLeaf, static_cast<std::uint32_t>(leaf), false,
                              length <= kLeaf});
            done += leaf;
        } while (done < size);
        if (offset + size == length) trees_.push_back(leaves_of(length));
    }

    void flush() {
        const std::size_t before = values_.size();
        values_.resize(before + nodes_.size());
        hash(values_.data() + before);
        nodes_.clear();
        padded_.clear();
    }

    // The roots of all extents, in their order.
    std::vector<Value> finish() {
        while (std::ranges::any_of(trees_, [](std::uint64_t width) { return width > 1; })) reduce();
        return std::move(values_);
    }

private:
    // A whole number of blocks: vectors are loaded whole, and what is missing counts as zeros.
    const std::uint8_t* pad(const std::uint8_t* data, std::uint64_t size) {
        if (size != 0 && size % kBlockBytes == 0) return data;
        padded_.push_back(std::make_unique<std::array<std::uint8_t, kLeaf>>());
        std::array<std::uint8_t, kLeaf>& copy = *padded_.back();
        copy.fill(0);
        if (size != 0) std::memcpy(copy.data(), data, size);
        return copy.data();
    }

    void hash(Value* out) {
        if (!nodes_.empty()) current_kernel().blake3(nodes_.data(), nodes_.size(), out->data());
    }

    // One level of every tree: neighbours are joined, and one without a neighbour goes up as it is. That gives the
    // tree whose left part is the largest power of two.
    void reduce() {
        std::vector<Value> above;
        nodes_.clear();
        std::size_t first = 0;
        for (const std::uint64_t width : trees_) {
            for (std::uint64_t i = 0; i + 1 < width; i += 2) {
                const auto* const pair = reinterpret_cast<const std::uint8_t*>(&values_[first + i]);
                nodes_.push_back({pair, 0, static_cast<std::uint32_t>(kBlockBytes), true, width == 2});
            }
            first += width;
        }
        std::vector<Value> joined(nodes_.size());
        hash(joined.data());
        const Value* next = joined.data();
        first = 0;
        for (std::uint64_t& width : trees_) {
            above.insert(above.end(), next, next + width / 2);
            next += width / 2;
            if (width % 2 != 0) above.push_back(values_[first + width - 1]);
            first += width;
            width = (width + 1) / 2;
        }
        values_ = std::move(above);
    }

    std::vector<Blake3Node> nodes_;
    std::vector<std::unique_ptr<std::array<std::uint8_t, kLeaf>>> padded_;
    std::vector<Value> values_;         // of the nodes of all trees, one tree behind the other
    std::vector<std::uint64_t> trees_;  // how many each has
};

std::vector<Strong> bytes_of(const std::vector<Value>& values) {
    std::vector<Strong> result(values.size());
    if (!values.empty()) std::memcpy(result.data(), values.data(), values.size() * sizeof(Strong));
    return result;
}

}  // namespace

std::vector<Strong> blake3_extents(int fd, std::span<const Extent> extents) {
    for (const Extent& extent : extents) check_extent(extent.offset, extent.length, kMaxOffset);
    const auto piece = std::make_unique_for_overwrite<std::uint8_t[]>(kPiece);
    std::size_t filled = 0;
    Hasher hasher;
    for (const Extent& extent : extents) {
        for (std::uint64_t done = 0; done < extent.length;) {
            const std::uint64_t left = extent.length - done;
            std::uint64_t size = std::min<std::uint64_t>(left, kPiece - filled);
            if (size < left) size -= size % kLeaf;
            if (size == 0) {
                hasher.flush();
                filled = 0;
                continue;
            }
            read_at(fd, {&piece[filled], size}, extent.offset + done);
            hasher.add(&piece[filled], size, done, extent.length);
            filled += size;
            done += size;
        }
    }
    hasher.flush();
    return bytes_of(hasher.finish());
}

Strong blake3(std::span<const std::uint8_t> data) {
    Hasher hasher;
    hasher.add(data.data(), data.size(), 0, data.size());
    hasher.flush();
    return bytes_of(hasher.finish()).front();
}

}  // namespace parasync
