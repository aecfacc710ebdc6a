#include "parasync/index.hpp"

#include <algorithm>
#include <bit>

namespace parasync {

namespace {

// At two thirds full, one bucket in six is.
constexpr std::uint64_t kLoadNumerator = 2;
constexpr std::uint64_t kLoadDenominator = 3;
// Larger indexes are grown into: the size alone, of a sparse file for example, shall not take much memory.
constexpr std::uint64_t kMaxInitialEntries = 1 << 20;

// The fingerprint is keyed, so its bits are as good as random to whoever made the chunks; the length takes part
// because runs of zeros of any length share one fingerprint. Never 0; the low bit is of no use to home().
std::uint32_t hash_of(std::uint32_t length, Fingerprint fingerprint) {
    const std::uint64_t word = fingerprint.a ^ std::rotl(fingerprint.b, 32) ^ (length * 0x9E3779B97F4A7C15u);
    return static_cast<std::uint32_t>((word * 0xD1B54A32D192ED03u) >> 32) | 1;
}

}  // namespace

unsigned BasisIndex::Bucket::candidates(std::uint32_t hash) const {
    unsigned mask = 0;
    for (std::size_t i = 0; i < kBucket; ++i) mask |= static_cast<unsigned>(hashes[i] == hash) << i;
    return mask;
}

BasisIndex::BasisIndex(const ChunkTable& table) : table_(table), buckets_(1) {
    reserve(std::min(table.size() / table.average(), kMaxInitialEntries));
}

std::size_t BasisIndex::home(std::uint32_t hash) const {
    // A fraction of the buckets, whose number need not be a power of two. Both factors are below 2^32.
    return (std::uint64_t{hash} * buckets_.size()) >> 32;
}

void BasisIndex::place(std::uint32_t hash, std::uint32_t number) {
    std::size_t bucket = home(hash);
    while (buckets_[bucket].full()) bucket = after(bucket);
    const unsigned free = static_cast<unsigned>(std::countr_zero(buckets_[bucket].candidates(0)));
    buckets_[bucket].hashes[free] = hash;
    buckets_[bucket].numbers[free] = number;
}

void BasisIndex::reserve(std::uint64_t entries) {
    const std::uint64_t there = buckets_.size();
    if (entries * kLoadDenominator <= there * kBucket * kLoadNumerator) return;
    // Half as much again, not twice: at most 18 bytes an entry.
    const std::uint64_t wanted = entries * kLoadDenominator / (kBucket * kLoadNumerator) + 1;
    std::vector<Bucket> old(std::max(wanted, there + there / 2));
    buckets_.swap(old);
    // Old and new buckets are both in the order of the hashes, so memory is walked, not jumped through.
    for (const Bucket& bucket : old) {
        for (std::size_t i = 0; i < kBucket && bucket.hashes[i] != 0; ++i) place(bucket.hashes[i], bucket.numbers[i]);
    }
}

std::uint32_t BasisIndex::seek(std::uint32_t hash, std::uint32_t length, Fingerprint fingerprint) const {
    for (std::size_t i = home(hash);; i = after(i)) {
        const Bucket& bucket = buckets_[i];
        for (unsigned left = bucket.candidates(hash); left != 0; left &= left - 1) {
            const std::uint32_t number = bucket.numbers[static_cast<unsigned>(std::countr_zero(left))];
            if (table_.fingerprint(number) == fingerprint && table_.length(number) == length) return number;
        }
        if (!bucket.full()) return kNone;
    }
}

void BasisIndex::insert(std::uint64_t first, std::uint64_t count) {
    table_.check_range(first, count);
    const std::scoped_lock lock(mutex_);
    while (count > 0) {
        const std::size_t group = std::min<std::uint64_t>(count, kGroup);
        insert_group(first, group);
        first += group;
        count -= group;
    }
}

void BasisIndex::insert_group(std::uint64_t first, std::size_t count) {
    reserve(used_ + count);
    std::array<std::uint32_t, kGroup> hashes;
    for (std::size_t i = 0; i < count; ++i) {
        hashes[i] = hash_of(table_.length(first + i), table_.fingerprint(first + i));
        __builtin_prefetch(&buckets_[home(hashes[i])], 1);
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (seek(hashes[i], table_.length(first + i), table_.fingerprint(first + i)) != kNone) continue;
        place(hashes[i], static_cast<std::uint32_t>(first + i));
        ++used_;
    }
}

void BasisIndex::find(const ChunkTable& target, std::span<const std::uint32_t> numbers,
                      std::span<std::uint32_t> found) const {
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < numbers.size(); i += kGroup) {
        find_group(target, numbers.subspan(i, std::min(kGroup, numbers.size() - i)), &found[i]);
    }
}

// Three rounds, so that a group's cache misses overlap: buckets, then candidates' rows, then comparison. Most chunks
// that the basis lacks are done after the second.
void BasisIndex::find_group(const ChunkTable& target, std::span<const std::uint32_t> numbers,
                            std::uint32_t* found) const {
    std::array<std::uint32_t, kGroup> hashes;
    std::array<std::size_t, kGroup> undecided;
    std::size_t undecided_count = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        hashes[i] = hash_of(target.length(numbers[i]), target.fingerprint(numbers[i]));
        __builtin_prefetch(&buckets_[home(hashes[i])]);
    }
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const Bucket& bucket = buckets_[home(hashes[i])];
        const unsigned candidates = bucket.candidates(hashes[i]);
        if (candidates != 0) table_.prefetch(bucket.numbers[static_cast<unsigned>(std::countr_zero(candidates))]);
        found[i] = kNone;
        undecided[undecided_count] = i;
        undecided_count += candidates != 0 || bucket.full();
    }
    for (const std::size_t i : std::span(undecided).first(undecided_count)) {
        found[i] = seek(hashes[i], target.length(numbers[i]), target.fingerprint(numbers[i]));
    }
}

std::uint64_t BasisIndex::size() const {
    const std::scoped_lock lock(mutex_);
    return used_;
}

std::size_t BasisIndex::nbytes() const {
    const std::scoped_lock lock(mutex_);
    return sizeof *this + buckets_.size() * sizeof(Bucket);
}

}  // namespace parasync
