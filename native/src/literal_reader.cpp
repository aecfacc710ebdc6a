#include "parasync/literal_reader.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "parasync/file_io.hpp"

namespace parasync {

LiteralReader::LiteralReader(int fd, std::vector<Extent> extents, std::uint64_t size,
                             std::optional<FingerprintKey> key)
    : fd_(fd), extents_(std::move(extents)), size_(size), key_(std::move(key)) {
    if (size > kMaxOffset) throw std::invalid_argument("no file has " + std::to_string(size) + " bytes");
    for (const Extent& extent : extents_) {
        check_extent(extent.offset, extent.length, size);
        if (extent.length > kMaxOffset - total_) throw std::invalid_argument("the extents hold more than any file");
        total_ += extent.length;
    }
}

LiteralReader::Piece LiteralReader::fill(std::span<std::uint8_t> buffer, std::uint64_t limit) {
    if (buffer.empty() || limit == 0) throw std::invalid_argument("a piece needs a buffer and at least one extent");
    Piece piece;
    std::size_t next = next_;
    std::uint64_t taken = taken_;
    Fingerprint sum = sum_;
    while (!buffer.empty() && next < extents_.size() && piece.extents.size() < limit) {
        const Extent& whole = extents_[next];
        const Extent part{whole.offset + taken, std::min<std::uint64_t>(whole.length - taken, buffer.size())};
        read_at(fd_, buffer.first(part.length), part.offset);
        if (key_) {
            sum ^= key_->shift(key_->fingerprint(buffer.data(), part.length), size_ - part.offset - part.length);
        }
        buffer = buffer.subspan(part.length);
        piece.extents.push_back(part);
        piece.bytes += part.length;
        taken += part.length;
        if (taken == whole.length) {
            ++next;
            taken = 0;
        }
    }
    next_ = next;
    taken_ = taken;
    sum_ = sum;
    return piece;
}

Fingerprint LiteralReader::fingerprint() const {
    if (!key_) throw std::invalid_argument("this reader has no key: it fingerprints nothing");
    return sum_;
}

}  // namespace parasync
