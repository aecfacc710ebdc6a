#include "parasync/fingerprint.hpp"

#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

#include "fingerprint_portable.hpp"
#include "fingerprint_tables.hpp"
#include "kernel.hpp"

namespace parasync {

namespace {

using portable::carryless_multiply;
using portable::multiply;
using Wide = unsigned __int128;

constexpr std::uint64_t kOne = std::uint64_t{1} << 63;  // the polynomial 1, reflected
constexpr std::uint64_t kX = kOne >> 1;

std::uint64_t reflect(std::uint64_t word) {
    std::uint64_t result = 0;
    for (int bit = 0; bit < 64; ++bit) result |= ((word >> bit) & 1) << (63 - bit);
    return result;
}

std::uint64_t times_x(std::uint64_t residue, std::uint64_t polynomial) {
    return (residue >> 1) ^ (polynomial & (0 - (residue & 1)));
}

std::uint64_t square(std::uint64_t residue, std::uint64_t polynomial) {
    std::uint64_t result = 0;
    for (int bit = 0; bit < 64; ++bit) {
        result = times_x(result, polynomial) ^ (residue & (0 - ((residue >> bit) & 1)));
    }
    return result;
}

int degree(Wide polynomial) {
    const auto high = static_cast<std::uint64_t>(polynomial >> 64);
    const auto low = static_cast<std::uint64_t>(polynomial);
    return high != 0 ? 127 - std::countl_zero(high) : 63 - std::countl_zero(low);
}

// Neither argument is reflected, nor zero.
bool coprime(Wide left, Wide right) {
    while (right != 0) {
        for (int excess; left != 0 && (excess = degree(left) - degree(right)) >= 0;) left ^= right << excess;
        std::swap(left, right);
    }
    return left == 1;
}

// Rabin's test for x^64 + word: it divides x^(2^64) - x and shares no factor with x^(2^32) - x.
bool irreducible(std::uint64_t word) {
    if (std::popcount(word) % 2 != 0) return false;  // divisible by x + 1, like half of all
    const std::uint64_t polynomial = reflect(word);
    std::uint64_t power = kX;
    for (int i = 0; i < 32; ++i) power = square(power, polynomial);
    if (power == kX || !coprime((Wide{1} << 64) | word, reflect(power ^ kX))) return false;
    for (int i = 0; i < 32; ++i) power = square(power, polynomial);
    return power == kX;
}

void find_polynomials(FingerprintTables& tables, std::span<const std::uint64_t> words) {
    int found = 0;
    for (std::uint64_t word : words) {
        word |= 1;
        if (!irreducible(word)) continue;
        const std::uint64_t polynomial = reflect(word);
        if (found == 1 && polynomial == tables.polynomial[0]) continue;
        tables.polynomial[found++] = polynomial;
        if (found == 2) return;
    }
    throw std::invalid_argument("fewer than two distinct irreducible polynomials among " +
                                std::to_string(words.size()) + " words; give some thousand random ones");
}

// A table of (byte << 8k) times a power of x, given that power; returns the power 64 higher.
std::uint64_t fill_words(std::uint64_t (&tables)[8][256], std::uint64_t power, std::uint64_t polynomial) {
    for (int bit = 63; bit >= 0; --bit) {  // from the coefficient of x^0 upwards
        tables[bit / 8][1 << (bit % 8)] = power;
        power = times_x(power, polynomial);
    }
    for (auto& table : tables) {
        table[0] = 0;
        for (int value = 1; value < 256; ++value) table[value] = table[value & (value - 1)] ^ table[value & -value];
    }
    return power;
}

// floor(x^128 / (x^64 + w)) without its leading x^64, reflected.
std::uint64_t quotient(std::uint64_t polynomial) {
    std::uint64_t remainder = polynomial;  // of x^64 after the leading term of the quotient
    std::uint64_t result = 0;
    for (int bit = 0; bit < 64; ++bit) {  // reflected bit: the coefficient of x^(63 - bit)
        result |= (remainder & 1) << bit;
        remainder = times_x(remainder, polynomial);
    }
    return result;
}

void fill_powers(FingerprintTables& tables, int which) {
    const auto residue = [which](Fingerprint& pair) -> std::uint64_t& { return which == 0 ? pair.a : pair.b; };
    const std::uint64_t polynomial = tables.polynomial[which];
    const std::uint64_t inverse_of_x = ((polynomial ^ kOne) << 1) | 1;
    std::uint64_t step = inverse_of_x;
    for (int bit = 0; bit < 8; ++bit) step = times_x(step, polynomial);
    for (auto& row : tables.power) {
        residue(row[0]) = inverse_of_x;
        for (int value = 1; value < 256; ++value) {
            residue(row[value]) = multiply(tables, which, residue(row[value - 1]), step);
        }
        step = multiply(tables, which, residue(row[255]), step);
    }
}

// Forward by so many lanes.
FoldConstants fold_constants(const FingerprintTables& tables, int which, int lanes) {
    const auto power_of_bytes = [&](int bytes) {
        const Fingerprint& low = tables.power[0][bytes & 255];
        const Fingerprint& high = tables.power[1][bytes >> 8];
        return which == 0 ? multiply(tables, 0, low.a, high.a) : multiply(tables, 1, low.b, high.b);
    };
    return {power_of_bytes(16 * lanes + 8), power_of_bytes(16 * lanes)};
}

void fill_folds(FingerprintTables& tables, int which) {
    for (int lane = 0; lane < kMaxLanes; ++lane) {
        tables.fold[which][lane] = fold_constants(tables, which, lane + 1);
        tables.collect[which][lane] = fold_constants(tables, which, kMaxLanes - 1 - lane);
    }
}

void fill_sums(FingerprintTables& tables, int which) {
    SumTables& sums = tables.sums;
    sums.forward[which] = fold_constants(tables, which, kSumLanes);
    Wide product = 0;
    sums.products[which][0] = {0, 0};
    for (int lanes = 1; lanes <= kSumLanes; ++lanes) {
        const FoldConstants constants = fold_constants(tables, which, lanes - 1);
        sums.constants[which][kSumLanes - lanes] = {constants.last, constants.first};
        product ^= carryless_multiply(constants.last, constants.first);
        sums.products[which][lanes] = {static_cast<std::uint64_t>(product), static_cast<std::uint64_t>(product >> 64)};
    }
}

}  // namespace

FingerprintKey::FingerprintKey(std::span<const std::uint64_t> words) {
    auto tables = std::make_shared<FingerprintTables>();
    find_polynomials(*tables, words);
    for (int which = 0; which < 2; ++which) {
        const std::uint64_t polynomial = tables->polynomial[which];
        tables->quotient[which] = quotient(polynomial);
        fill_words(tables->two_words[which], fill_words(tables->one_word[which], polynomial, polynomial), polynomial);
        fill_powers(*tables, which);
        fill_folds(*tables, which);
        fill_sums(*tables, which);
    }
    tables_ = std::move(tables);
}

Fingerprint FingerprintKey::fingerprint(const std::uint8_t* data, std::size_t size) const {
    return current_kernel().fingerprint(*tables_, data, size);
}

Fingerprint FingerprintKey::shift(Fingerprint fingerprint, std::uint64_t bytes) const {
    return combine(fingerprint, {}, bytes);
}

Fingerprint FingerprintKey::combine(Fingerprint left, Fingerprint right, std::uint64_t right_bytes) const {
    combine_each(&left, &right, &right_bytes, &right, 1);
    return right;
}

void FingerprintKey::combine_each(const Fingerprint* left, const Fingerprint* right, const std::uint64_t* right_bytes,
                                  Fingerprint* out, std::size_t count) const {
    current_kernel().combine_each(*tables_, left, right, right_bytes, out, count);
}

}  // namespace parasync
