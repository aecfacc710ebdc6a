// Every kernel that this CPU can run, without Python: against the frozen chunks, and against the portable kernel on
// random, periodic, short and misaligned input.
//
//   kernels_test GOLDEN KERNEL
//
// GOLDEN is what write_golden.py wrote. Fails, too, if KERNEL cannot run here.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "golden.hpp"
#include "guarded.hpp"
#include "kernel.hpp"
#include "parasync/chunking.hpp"
#include "parasync/cpu.hpp"

namespace parasync {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t comparisons = 0;

void check(bool equal, const std::string& what) {
    ++comparisons;
    if (equal) return;
    std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(active_kernel().size()), active_kernel().data(), what.c_str());
    std::exit(1);
}

const Kernel& kernel(std::string_view name) {
    select_kernel(name);
    return current_kernel();
}

Bytes random_bytes(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 source(seed);
    Bytes bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(source());
    return bytes;
}

Bytes repeated(const Bytes& pattern, std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = pattern[i % pattern.size()];
    return bytes;
}

// Of this size each: zeros, random bytes, all short periods, and pieces of all of them.
std::vector<Bytes> contents(std::size_t size) {
    std::vector<Bytes> all = {Bytes(size), random_bytes(size, 1)};
    for (std::size_t period = 1; period <= 260; ++period) {
        all.push_back(repeated(random_bytes(period, 1000 + period), size));
    }
    std::mt19937_64 source(2);
    Bytes mixed;
    while (mixed.size() < size) {
        const Bytes& piece = all[source() % all.size()];
        mixed.insert(mixed.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(source() % piece.size()));
    }
    mixed.resize(size);
    all.push_back(std::move(mixed));
    return all;
}

std::vector<std::uint32_t> survivors(const Kernel& kernel, const std::uint8_t* data, std::size_t size) {
    std::vector<std::uint32_t> positions(max_survivors(size));
    positions.resize(kernel.survivors(data, size, positions.data()));
    return positions;
}

void same_survivors(const Kernel& one, const Kernel& other, const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint32_t> found = survivors(one, data, size);
    const std::string what = "survivors of " + std::to_string(size) + " bytes";
    check(found == survivors(other, data, size), what);
    check(found.size() <= (size + 15) / 16, what + " are too many");
    check(std::ranges::adjacent_find(found, [](auto a, auto b) { return b < a + 16; }) == found.end(),
          what + " are too close");
}

void check_survivors(const Kernel& one, const Kernel& other) {
    for (const Bytes& bytes : contents(8'000)) {
        const std::uint8_t* data = bytes.data() + kFilterReach;
        same_survivors(one, other, data, bytes.size() - kFilterReach);
        same_survivors(one, other, data + 61, 1'003);
    }
    const Bytes bytes = random_bytes(140'000, 3);
    for (std::size_t misaligned = 0; misaligned < 66; ++misaligned) {
        const std::uint8_t* data = bytes.data() + kFilterReach + misaligned;
        for (std::size_t size = 0; size < 200; ++size) same_survivors(one, other, data, size);
        same_survivors(one, other, data, 65'536 + misaligned);
    }
    for (std::size_t size : {0, 1, 15, 16, 63, 64, 65, 100, 4'000}) {
        const Bytes some = random_bytes(kFilterReach + size, size);
        for (const bool at_start : {true, false}) {
            const Guarded guarded(some, at_start);
            same_survivors(one, other, guarded.data() + kFilterReach, size);
        }
    }
}

void check_fingerprints(const Kernel& one, const Kernel& other, const FingerprintTables& tables) {
    const Bytes bytes = random_bytes(300'000, 4);
    const auto compare = [&](const std::uint8_t* data, std::size_t size) {
        check(one.fingerprint(tables, data, size) == other.fingerprint(tables, data, size),
              "fingerprint of " + std::to_string(size) + " bytes");
    };
    for (std::size_t misaligned = 0; misaligned < 66; ++misaligned) {
        for (std::size_t size = 0; size < 400; ++size) compare(bytes.data() + misaligned, size);
        compare(bytes.data() + misaligned, 200'000 + 7 * misaligned);
    }
    for (std::size_t size : {0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 4'000}) {
        const Bytes some = random_bytes(size, size);
        for (const bool at_start : {true, false}) compare(Guarded(some, at_start).data(), size);
    }
}

void check_accumulation(const Kernel& one, const Kernel& other, const FingerprintTables& tables) {
    const Bytes bytes = random_bytes(70'000, 5);
    std::mt19937_64 source(6);
    for (std::size_t round = 0; round < 200; ++round) {
        const std::size_t size = round < 100 ? round : source() % 65'536;
        std::vector<std::uint32_t> ends(source() % 40);
        for (std::uint32_t& end : ends) end = static_cast<std::uint32_t>(source() % (size + 1));
        std::ranges::sort(ends);
        std::vector<Fingerprint> found(ends.size());
        std::vector<Fingerprint> expected(ends.size());
        const Fingerprint start{source(), source()};
        const std::uint8_t* data = bytes.data() + round % 67;
        one.accumulate(tables, start, data, ends.data(), ends.size(), found.data());
        other.accumulate(tables, start, data, ends.data(), ends.size(), expected.data());
        check(found == expected, "fingerprints of the beginnings of " + std::to_string(size) + " bytes");
    }
}

void check_combination(const Kernel& one, const Kernel& other, const FingerprintTables& tables) {
    std::mt19937_64 source(7);
    std::vector<std::uint64_t> sizes = {0, 1, 2, 255, 256, 257, 65'535, 65'536, ~std::uint64_t{0}};
    for (int bit = 0; bit < 64; ++bit) sizes.push_back(std::uint64_t{1} << bit);
    for (int i = 0; i < 500; ++i) sizes.push_back(source() >> (source() % 64));
    std::vector<Fingerprint> left(sizes.size());
    std::vector<Fingerprint> right(sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        left[i] = {source(), source()};
        right[i] = {source(), source()};
    }
    std::vector<Fingerprint> found(sizes.size());
    std::vector<Fingerprint> expected(sizes.size());
    one.combine_each(tables, left.data(), right.data(), sizes.data(), found.data(), sizes.size());
    other.combine_each(tables, left.data(), right.data(), sizes.data(), expected.data(), sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        check(found[i] == expected[i], "a combination over " + std::to_string(sizes[i]) + " bytes");
    }
    one.combine_each(tables, left.data(), right.data(), sizes.data(), right.data(), sizes.size());
    check(right == expected, "combinations in place");
}

// CRC32C and BLAKE3: of every length around blocks and lanes, and of nodes of unequal length side by side.
void check_checksums(const Kernel& one, const Kernel& other) {
    std::mt19937_64 source(6);
    Bytes bytes(20'000);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(source());
    for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 20) {
        const auto before = static_cast<std::uint32_t>(source());
        check(one.crc32c(before, bytes.data() + size % 9, size - size % 9) ==
                  other.crc32c(before, bytes.data() + size % 9, size - size % 9),
              "CRC32C of " + std::to_string(size) + " bytes");
        const std::uint64_t distance = source() >> (source() % 64);
        check(one.crc32c_shift(before, distance) == other.crc32c_shift(before, distance), "a shifted CRC32C");
    }
    std::vector<Blake3Node> nodes;
    for (std::uint32_t i = 0; i < 100; ++i) {
        const std::uint32_t size = i % 3 == 0 ? 1024 : 64 * static_cast<std::uint32_t>(source() % 17);
        nodes.push_back({bytes.data() + i, source(), i % 7 == 0 ? 64 : size, i % 7 == 0, i % 5 == 0});
    }
    for (std::size_t count = 0; count <= nodes.size(); ++count) {
        std::vector<std::uint32_t> found(8 * count);
        std::vector<std::uint32_t> expected(8 * count);
        one.blake3(nodes.data(), count, found.data());
        other.blake3(nodes.data(), count, expected.data());
        check(found == expected, "BLAKE3 of " + std::to_string(count) + " nodes");
    }
}

// The chunks of `data`, in segments of `length` bytes; before each, `change` may select another kernel.
void chunk(const FingerprintKey& key, ChunkTable& table, std::span<const std::uint8_t> data, std::size_t length,
           const std::function<void()>& change = [] {}) {
    Merger merger(key, table);
    Segment segment(length);
    for (std::size_t offset = 0; offset < data.size(); offset += length) {
        change();
        segment.scan_buffer(key, table.average(), data, offset, std::min(length, data.size() - offset));
        merger.merge(segment);
    }
}

void check_golden(const Golden& golden, const FingerprintKey& key) {
    for (const GoldenVector& vector : golden.vectors) {
        for (const std::size_t length : {std::size_t{1'000'003}, std::size_t{9'999}, vector.content.size() + 1}) {
            ChunkTable table(vector.average, vector.content.size());
            chunk(key, table, vector.content, length);
            check(table.count() == vector.lengths.size(), "count of the frozen chunks: " + vector.name);
            for (std::size_t i = 0; i < vector.lengths.size(); ++i) {
                check(table.length(i) == vector.lengths[i], "length of a frozen chunk: " + vector.name);
                check(table.fingerprint(i) == vector.fingerprints[i], "fingerprint of a frozen chunk: " + vector.name);
            }
        }
    }
}

// Chunks by this kernel, and by it and the portable one in turns, are those by the portable one.
void check_chunks(std::string_view name, const FingerprintKey& key) {
    constexpr std::uint32_t kAverage = 2'048;
    for (const Bytes& bytes : contents(20'000)) {
        ChunkTable expected(kAverage, bytes.size());
        select_kernel("portable");
        chunk(key, expected, bytes, bytes.size());
        for (const std::size_t length : {bytes.size(), std::size_t{997}, std::size_t{4'096}}) {
            ChunkTable alone(kAverage, bytes.size());
            select_kernel(name);
            chunk(key, alone, bytes, length);
            check(alone.digest() == expected.digest(), "chunks in segments of " + std::to_string(length));
            ChunkTable in_turns(kAverage, bytes.size());
            bool portable = false;
            chunk(key, in_turns, bytes, length, [&] { select_kernel((portable = !portable) ? "portable" : name); });
            check(in_turns.digest() == expected.digest(), "chunks by kernels in turns");
        }
    }
}

void check_kernel(std::string_view name, const Golden& golden, const FingerprintKey& key) {
    const Kernel& portable = kernel("portable");
    const Kernel& one = kernel(name);
    comparisons = 0;
    check_golden(golden, key);
    check_survivors(one, portable);
    check_fingerprints(one, portable, key.tables());
    check_accumulation(one, portable, key.tables());
    check_combination(one, portable, key.tables());
    check_checksums(one, portable);
    check_chunks(name, key);
    std::printf("%.*s: %llu comparisons, all equal\n", static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long long>(comparisons));
}

int run(const char* golden_path, std::string_view required) {
    const std::vector<std::string_view> names = usable_kernels();
    if (std::ranges::count(names, required) == 0) {
        std::fprintf(stderr, "the kernel %.*s cannot run here\n", static_cast<int>(required.size()), required.data());
        return 1;
    }
    if (active_kernel() != names.back()) {
        std::fprintf(stderr, "the fastest kernel is not the default\n");
        return 1;
    }
    const Golden golden = read_golden(golden_path);
    const FingerprintKey key(golden.key_words);
    for (const std::string_view name : names) check_kernel(name, golden, key);
    return 0;
}

}  // namespace
}  // namespace parasync

int main(int count, char** arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: kernels_test GOLDEN KERNEL\n");
        return 1;
    }
    try {
        return parasync::run(arguments[1], arguments[2]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
