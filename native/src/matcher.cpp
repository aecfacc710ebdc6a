#include "parasync/matcher.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

namespace parasync {

void NumberSet::add(std::uint32_t number) {
    const std::size_t word = number / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    const std::uint64_t bit = std::uint64_t{1} << number % 64;
    size_ += (words_[word] & bit) == 0;
    words_[word] |= bit;
    first_ = std::min(first_, word);
}

void NumberSet::remove(std::uint32_t number) {
    if (!contains(number)) return;
    words_[number / 64] &= ~(std::uint64_t{1} << number % 64);
    --size_;
}

std::vector<std::uint32_t> NumberSet::numbers() const {
    std::vector<std::uint32_t> numbers;
    numbers.reserve(size_);
    for (std::size_t word = first_; word < words_.size(); ++word) {
        for (std::uint64_t left = words_[word]; left != 0; left &= left - 1) {
            numbers.push_back(static_cast<std::uint32_t>(word * 64 + static_cast<unsigned>(std::countr_zero(left))));
        }
    }
    return numbers;
}

void NumberSet::clear() {
    std::fill(words_.begin() + static_cast<std::ptrdiff_t>(std::min(first_, words_.size())), words_.end(), 0);
    first_ = words_.size();
    size_ = 0;
}

ChunkMatcher::ChunkMatcher(const ChunkTable& target, const ChunkIndex* index, std::uint64_t copy_limit, bool growing)
    : target_(target), index_(index), copy_limit_(copy_limit), growing_(growing) {}

std::vector<Copy> ChunkMatcher::match(std::uint64_t first, std::uint64_t count) {
    target_.check_range(first, count);
    std::vector<Copy> copies;
    std::array<std::uint32_t, kGroup> numbers;
    for (std::uint64_t done = 0; done < count; done += kGroup) {
        const std::size_t group = std::min<std::uint64_t>(kGroup, count - done);
        std::iota(numbers.begin(), numbers.begin() + group, static_cast<std::uint32_t>(first + done));
        look_up(std::span(numbers).first(group), copies);
    }
    return copies;
}

std::vector<Copy> ChunkMatcher::grow(std::uint64_t first, std::uint64_t count) {
    std::vector<Copy> copies;
    if (!misses_) return copies;
    const ChunkTable& basis = index_->table();
    basis.check_range(first, count);
    std::array<std::uint32_t, kGroup> numbers;
    for (std::uint64_t done = 0; done < count && missing_.size() > 0; done += kGroup) {
        const std::size_t group = std::min<std::uint64_t>(kGroup, count - done);
        std::iota(numbers.begin(), numbers.begin() + group, static_cast<std::uint32_t>(first + done));
        seek(
            std::span(numbers).first(group),
            [&](auto wanted, auto found) { misses_->find(basis, wanted, found); },
            [&](std::uint32_t number) { return follow_basis(number, copies); },
            [&](std::uint32_t number, std::uint32_t miss) {
                if (miss != ChunkIndex::kNone && missing_.contains(miss)) hit(miss, number, copies);
            });
    }
    return copies;
}

std::vector<Copy> ChunkMatcher::rematch() {
    growing_ = false;
    misses_.reset();
    std::vector<Copy> copies;
    const std::vector<std::uint32_t> before = missing_.numbers();
    for (std::size_t done = 0; done < before.size(); done += kGroup) {
        look_up(std::span(before).subspan(done, std::min(kGroup, before.size() - done)), copies);
    }
    return copies;
}

// Goes through `numbers`. Each follows the run that its predecessor was found in, or is looked up.
template <typename Find, typename Follow, typename Take>
void ChunkMatcher::seek(std::span<const std::uint32_t> numbers, Find find, Follow follow, Take take) {
    std::size_t i = 0;
    while (i < numbers.size()) {
        if (follow(numbers[i])) {
            ++i;
            continue;
        }
        // A run has ended; its successors are sought together, though another run may soon make that superfluous: the
        // fewer, the shorter the last search for a run was.
        const std::span wanted = numbers.subspan(i, std::min(ahead_, numbers.size() - i));
        std::array<std::uint32_t, kGroup> found;
        find(wanted, std::span(found).first(wanted.size()));
        ahead_ = std::min(2 * ahead_, kGroup);
        for (std::size_t k = 0; k < wanted.size(); ++k) {
            if (follow(wanted[k])) {
                ahead_ = kLeastAhead;
            } else {
                take(wanted[k], found[k]);
            }
        }
        i += wanted.size();
    }
}

void ChunkMatcher::look_up(std::span<const std::uint32_t> numbers, std::vector<Copy>& copies) {
    if (index_ == nullptr) {
        for (const std::uint32_t number : numbers) missing_.add(number);
        return;
    }
    const std::uint64_t basis_count = index_->table().count();
    std::array<std::uint32_t, kGroup> missed;
    std::size_t missed_count = 0;
    seek(
        numbers, [&](auto wanted, auto found) { index_->find(target_, wanted, found); },
        [&](std::uint32_t number) { return this->follow(number, basis_count, copies); },
        [&](std::uint32_t number, std::uint32_t found) {
            if (found == ChunkIndex::kNone) {
                missed[missed_count++] = number;
            } else {
                hit(number, found, copies);
            }
        });
    keep(std::span(missed).first(missed_count));
}

void ChunkMatcher::keep(std::span<const std::uint32_t> numbers) {
    for (const std::uint32_t number : numbers) missing_.add(number);
    if (!growing_ || numbers.empty()) return;
    if (!misses_) misses_.emplace(target_, kGroup);
    misses_->insert(numbers);
}

bool ChunkMatcher::follow(std::uint32_t number, std::uint64_t basis_count, std::vector<Copy>& copies) {
    if (!last_ || number != last_->target + 1 || last_->basis + 1 >= basis_count) return false;
    const ChunkTable& basis = index_->table();
    const std::uint32_t next = last_->basis + 1;
    if (!basis.equal(next, target_.length(number), target_.shortened(number))) return false;
    hit(number, next, copies);
    return true;
}

bool ChunkMatcher::follow_basis(std::uint32_t basis_number, std::vector<Copy>& copies) {
    if (!last_ || basis_number != last_->basis + 1) return false;
    const std::uint32_t next = last_->target + 1;
    if (!missing_.contains(next)) return false;
    const ChunkTable& basis = index_->table();
    if (!target_.equal(next, basis.length(basis_number), basis.shortened(basis_number))) return false;
    hit(next, basis_number, copies);
    return true;
}

void ChunkMatcher::hit(std::uint32_t number, std::uint32_t basis_number, std::vector<Copy>& copies) {
    last_ = Hit{number, basis_number};
    missing_.remove(number);
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
    for (const std::uint32_t number : missing_.numbers()) {
        const std::uint64_t offset = target_.offset(number);
        const std::uint64_t length = target_.length(number);
        if (!wants.empty() && wants.back().offset + wants.back().length == offset) {
            wants.back().length += length;
        } else {
            wants.push_back({offset, length});
        }
    }
    missing_.clear();
    return wants;
}

}  // namespace parasync
