#include "parasync/index.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

namespace parasync {

namespace {

// At two thirds full, one bucket in six is.
constexpr std::uint64_t kLoadNumerator = 2;
constexpr std::uint64_t kLoadDenominator = 3;
// Larger indexes are grown into: the size alone, of a sparse file for example, shall not take much memory.
constexpr std::uint64_t kMaxInitialEntries = 1 << 20;

// No chunk's number, as kNone is none.
constexpr std::uint32_t kUnknown = ChunkIndex::kNone - 1;
static_assert(kMaxChunks <= kUnknown);

// The fingerprint is keyed, so its bits are as good as random to whoever made the chunks; the length takes part
// because runs of zeros of any length share one fingerprint. Never 0; the low bit is of no use to home().
std::uint32_t hash_of(std::uint32_t length, std::uint64_t fingerprint) {
    const std::uint64_t word = fingerprint ^ (length * 0x9E3779B97F4A7C15u);
    return static_cast<std::uint32_t>((word * 0xD1B54A32D192ED03u) >> 32) | 1;
}

}  // namespace

unsigned ChunkIndex::Bucket::candidates(std::uint32_t hash) const {
    // Vectors as the compiler knows them, whatever the instruction set; it does not find this by itself.
    typedef std::uint32_t Four __attribute__((vector_size(16)));
    static_assert(kBucket == 8);
    const Four wanted{hash, hash, hash, hash};
    Four low, high;
    std::memcpy(&low, hashes, sizeof low);
    std::memcpy(&high, hashes + 4, sizeof high);
    const Four bits = (reinterpret_cast<Four>(low == wanted) & Four{1, 2, 4, 8}) |
                      (reinterpret_cast<Four>(high == wanted) & Four{16, 32, 64, 128});
    std::uint64_t halves[2];
    std::memcpy(halves, &bits, sizeof halves);
    const std::uint64_t both = halves[0] | halves[1];
    return static_cast<std::uint32_t>(both | both >> 32);
}

void ChunkIndex::Bucket::add(std::uint32_t hash, std::uint32_t number) {
    const unsigned free = static_cast<unsigned>(std::countr_zero(candidates(0)));
    hashes[free] = hash;
    numbers[free] = number;
}

ChunkIndex::ChunkIndex(const ChunkTable& table) : ChunkIndex(table, table.size() / table.average()) {}

ChunkIndex::ChunkIndex(const ChunkTable& table, std::uint64_t expected)
    : table_(table), bucket_count_(1), memory_(sizeof(Bucket)) {
    reserve(std::min(expected, kMaxInitialEntries));
}

std::size_t ChunkIndex::home(std::uint32_t hash) const {
    // A fraction of the buckets, whose number need not be a power of two. Both factors are below 2^32.
    return (std::uint64_t{hash} * bucket_count_) >> 32;
}

// Puts a number that is not there yet into the first free place from its home on.
void ChunkIndex::place(std::uint32_t hash, std::uint32_t number) {
    std::size_t i = home(hash);
    while (buckets()[i].full()) i = after(i);
    buckets()[i].add(hash, number);
}

void ChunkIndex::reserve(std::uint64_t entries) {
    const std::uint64_t there = bucket_count_;
    if (entries * kLoadDenominator <= there * kBucket * kLoadNumerator) return;
    // Half as much again, not twice: at most 18 bytes an entry.
    const std::uint64_t wanted = entries * kLoadDenominator / (kBucket * kLoadNumerator) + 1;
    const std::uint64_t count = std::max(wanted, there + there / 2);
    ZeroedMemory memory(count * sizeof(Bucket));
    memory_.swap(memory);
    bucket_count_ = count;
    // Old and new buckets are both in the order of the hashes, so memory is walked, not jumped through.
    const Bucket* const old = reinterpret_cast<const Bucket*>(memory.data());
    for (const Bucket& bucket : std::span(old, there)) {
        for (std::size_t i = 0; i < kBucket && bucket.hashes[i] != 0; ++i) place(bucket.hashes[i], bucket.numbers[i]);
    }
}

ChunkIndex::Found ChunkIndex::seek(std::uint32_t hash, std::uint32_t length, std::uint64_t fingerprint) const {
    for (std::size_t i = home(hash);; i = after(i)) {
        const Bucket& bucket = buckets()[i];
        for (unsigned left = bucket.candidates(hash); left != 0; left &= left - 1) {
            const std::uint32_t number = bucket.numbers[static_cast<unsigned>(std::countr_zero(left))];
            if (table_.equal(number, length, fingerprint)) return {number, i};
        }
        if (!bucket.full()) return {kNone, i};
    }
}

void ChunkIndex::insert(std::uint64_t first, std::uint64_t count) {
    table_.check_range(first, count);
    const std::scoped_lock lock(mutex_);
    std::uint32_t numbers[kGroup];
    while (count > 0) {
        const std::size_t group = std::min<std::uint64_t>(count, kGroup);
        std::iota(numbers, numbers + group, static_cast<std::uint32_t>(first));
        insert_group(std::span(numbers, group));
        first += group;
        count -= group;
    }
}

void ChunkIndex::insert(std::span<const std::uint32_t> numbers) {
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < numbers.size(); i += kGroup) {
        insert_group(numbers.subspan(i, std::min(kGroup, numbers.size() - i)));
    }
}

void ChunkIndex::insert_group(std::span<const std::uint32_t> numbers) {
    const std::size_t count = numbers.size();
    reserve(used_ + count);
    std::uint32_t hashes[kGroup];
    for (std::size_t i = 0; i < count + kAhead; ++i) {
        if (i < count) {
            hashes[i] = hash_of(table_.length(numbers[i]), table_.shortened(numbers[i]));
            __builtin_prefetch(&buckets()[home(hashes[i])], 1);
        }
        if (i < kAhead) continue;
        const std::size_t due = i - kAhead;
        const std::uint32_t number = numbers[due];
        const Found found = seek(hashes[due], table_.length(number), table_.shortened(number));
        if (found.number != kNone) continue;
        buckets()[found.bucket].add(hashes[due], number);
        ++used_;
    }
}

void ChunkIndex::find(const ChunkTable& sought, std::span<const std::uint32_t> numbers,
                      std::span<std::uint32_t> found) const {
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < numbers.size(); i += kGroup) {
        find_group(sought, numbers.subspan(i, std::min(kGroup, numbers.size() - i)), &found[i]);
    }
}

// Three steps for each look-up, kAhead look-ups apart, so that cache misses overlap: its bucket, the candidate's row,
// the comparison. Most chunks that the basis lacks are done after the second.
void ChunkIndex::find_group(const ChunkTable& sought, std::span<const std::uint32_t> numbers,
                            std::uint32_t* found) const {
    std::uint32_t hashes[kGroup];
    std::uint32_t undecided[kGroup];
    std::size_t undecided_count = 0;
    std::size_t decided = 0;
    const std::size_t count = numbers.size();
    for (std::size_t i = 0; i < count + 2 * kAhead; ++i) {
        if (i < count) {
            hashes[i] = hash_of(sought.length(numbers[i]), sought.shortened(numbers[i]));
            __builtin_prefetch(&buckets()[home(hashes[i])]);
        }
        if (i >= kAhead && i < count + kAhead) {
            const std::size_t due = i - kAhead;
            found[due] = first_candidate(hashes[due]);
            undecided[undecided_count] = static_cast<std::uint32_t>(due);
            undecided_count += found[due] != kNone;
        }
        if (i < 2 * kAhead || decided == undecided_count || undecided[decided] != i - 2 * kAhead) continue;
        const std::size_t due = undecided[decided++];
        const std::uint32_t length = sought.length(numbers[due]);
        const std::uint64_t fingerprint = sought.shortened(numbers[due]);
        if (found[due] == kUnknown || !table_.equal(found[due], length, fingerprint)) {
            found[due] = seek(hashes[due], length, fingerprint).number;
        }
    }
}

// Asks the home bucket only and prefetches what a look-up will touch next. kNone if the index has no chunk with this
// hash; kUnknown if the bucket does not tell.
std::uint32_t ChunkIndex::first_candidate(std::uint32_t hash) const {
    const std::size_t i = home(hash);
    const Bucket& bucket = buckets()[i];
    if (const unsigned candidates = bucket.candidates(hash); candidates != 0) {
        const std::uint32_t number = bucket.numbers[static_cast<unsigned>(std::countr_zero(candidates))];
        table_.prefetch(number);
        return number;
    }
    if (!bucket.full()) return kNone;
    __builtin_prefetch(&buckets()[after(i)]);
    return kUnknown;
}

std::uint64_t ChunkIndex::size() const {
    const std::scoped_lock lock(mutex_);
    return used_;
}

std::size_t ChunkIndex::nbytes() const {
    const std::scoped_lock lock(mutex_);
    return sizeof *this + memory_.size();
}

}  // namespace parasync
