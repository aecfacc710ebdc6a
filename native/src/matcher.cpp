#include "parasync/matcher.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace parasync {

ChunkMatcher::ChunkMatcher(const ChunkTable& target, const BasisIndex* index, std::uint64_t copy_limit)
    : target_(target), index_(index), copy_limit_(copy_limit) {}

std::vector<Copy> ChunkMatcher::match(std::uint64_t first, std::uint64_t count) {
    target_.check_range(first, count);
    std::vector<Copy> copies;
    std::array<std::uint32_t, kGroup> numbers;
    for (std::uint64_t done = 0; done < count; done += kGroup) {
        const std::size_t group = std::min<std::uint64_t>(kGroup, count - done);
        for (std::size_t i = 0; i < group; ++i) numbers[i] = static_cast<std::uint32_t>(first + done + i);
        look_up(std::span(numbers).first(group), copies);
    }
    return copies;
}

std::vector<Copy> ChunkMatcher::rematch() {
    std::vector<Copy> copies;
    const std::vector<std::uint32_t> before = std::exchange(missing_, {});
    for (std::size_t done = 0; done < before.size(); done += kGroup) {
        look_up(std::span(before).subspan(done, std::min(kGroup, before.size() - done)), copies);
    }
    return copies;
}

void ChunkMatcher::look_up(std::span<const std::uint32_t> numbers, std::vector<Copy>& copies) {
    if (index_ == nullptr) {
        missing_.insert(missing_.end(), numbers.begin(), numbers.end());
        return;
    }
    const std::uint64_t basis_count = index_->table().count();
    std::size_t i = 0;
    while (i < numbers.size()) {
        if (follow(numbers[i], basis_count, copies)) {
            ++i;
            continue;
        }
        // A run has ended; its successors are sought together, though another run may soon make that superfluous: the
        // fewer, the shorter the last search for a run was.
        const std::span wanted = numbers.subspan(i, std::min(ahead_, numbers.size() - i));
        std::array<std::uint32_t, kGroup> found;
        index_->find(target_, wanted, std::span(found).first(wanted.size()));
        ahead_ = std::min(2 * ahead_, kGroup);
        for (std::size_t k = 0; k < wanted.size(); ++k) {
            if (follow(wanted[k], basis_count, copies)) {
                ahead_ = kLeastAhead;
            } else if (found[k] == BasisIndex::kNone) {
                missing_.push_back(wanted[k]);
            } else {
                hit(wanted[k], found[k], copies);
            }
        }
        i += wanted.size();
    }
}

bool ChunkMatcher::follow(std::uint32_t number, std::uint64_t basis_count, std::vector<Copy>& copies) {
    if (!last_ || number != last_->target + 1 || last_->basis + 1 >= basis_count) return false;
    const ChunkTable& basis = index_->table();
    const std::uint32_t next = last_->basis + 1;
    if (!basis.equal(next, target_.length(number), target_.fingerprint(number))) return false;
    hit(number, next, copies);
    return true;
}

void ChunkMatcher::hit(std::uint32_t number, std::uint32_t basis_number, std::vector<Copy>& copies) {
    last_ = Hit{number, basis_number};
    const Copy copy{target_.offset(number), index_->table().offset(basis_number), target_.length(number)};
    matched_bytes_ += copy.length;
    if (!copies.empty()) {
        Copy& previous = copies.back();
        if (previous.target_offset + previous.length == copy.target_offset &&
            previous.basis_offset + previous.length == copy.basis_offset &&
            previous.length + copy.length <= copy_limit_) {
            previous.length += copy.length;
            return;
        }
    }
    copies.push_back(copy);
}

std::vector<Extent> ChunkMatcher::take_wants() {
    std::vector<Extent> wants;
    for (const std::uint32_t number : std::exchange(missing_, {})) {
        const std::uint64_t offset = target_.offset(number);
        const std::uint64_t length = target_.length(number);
        if (!wants.empty() && wants.back().offset + wants.back().length == offset) {
            wants.back().length += length;
        } else {
            wants.push_back({offset, length});
        }
    }
    return wants;
}

}  // namespace parasync
