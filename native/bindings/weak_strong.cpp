// Weak + strong matching: CRC32C, BLAKE3, and the two matchers. Batches of chunk numbers and checksums are packed u32.
#include <cstdint>
#include <vector>

#include "buffers.hpp"
#include "parasync/blake3.hpp"
#include "parasync/crc32c.hpp"
#include "parasync/strong_matcher.hpp"
#include "parasync/tentative_matcher.hpp"
#include "parasync/weak_table.hpp"

namespace parasync::bindings {

namespace {

template <class Record>
std::vector<Record> unpack(nb::handle packed) {
    const Buffer buffer(packed);
    return records<Record>(buffer.bytes());
}

std::uint32_t crc(nb::handle data, std::uint32_t before) {
    const Buffer buffer(data);
    return unlocked([&] { return crc32c(before, buffer.bytes().data(), buffer.bytes().size()); });
}

nb::bytes strong(nb::handle data) {
    const Buffer buffer(data);
    const Strong result = unlocked([&] { return blake3(buffer.bytes()); });
    return nb::bytes(result.data(), result.size());
}

nb::bytes strong_of_extents(int fd, nb::handle extents) {
    const std::vector<Extent> wanted = unpack<Extent>(extents);
    return record_bytes(unlocked([&] { return blake3_extents(fd, wanted); }));
}

void bind_checksums(nb::module_& module) {
    module.def("crc32c", &crc, nb::arg("data"), nb::arg("before"));
    module.def("crc32c_combine", &crc32c_combine, nb::arg("left"), nb::arg("right"), nb::arg("right_length"));
    module.def("blake3", &strong, nb::arg("data"));
    module.def("blake3_extents", &strong_of_extents, nb::arg("fd"), nb::arg("extents"));
}

std::uint64_t check(nb::handle copies, std::uint64_t target_size, std::uint64_t basis_size) {
    return check_copies(unpack<Copy>(copies), target_size, basis_size);
}

void bind_weak_table(nb::module_& module) {
    nb::class_<WeakTable>(module, "WeakTable")
        .def(nb::init<const ChunkTable&>(), nb::arg("chunks"), nb::keep_alive<1, 2>())
        .def("insert", &WeakTable::insert, nb::arg("first"), nb::arg("count"),
             nb::call_guard<nb::gil_scoped_release>())
        .def(
            "find",
            [](const WeakTable& table, nb::handle weak) {
                const std::vector<std::uint32_t> wanted = unpack<std::uint32_t>(weak);
                return record_bytes(unlocked([&] { return table.find(wanted); }));
            },
            nb::arg("weak"))
        .def("__len__", &WeakTable::size)
        .def_prop_ro("values", [](const WeakTable& table) { return table.values().size(); });
}

void bind_tentative(nb::module_& module) {
    nb::class_<TentativeMatcher>(module, "TentativeMatcher")
        .def(nb::init<const ChunkTable&>(), nb::arg("basis"), nb::keep_alive<1, 2>())
        .def("add_chunks", &TentativeMatcher::add_chunks, nb::arg("first"), nb::arg("count"),
             nb::call_guard<nb::gil_scoped_release>())
        .def("seal", &TentativeMatcher::seal)
        .def(
            "add_values",
            [](TentativeMatcher& matcher, nb::handle weak) {
                const std::vector<std::uint32_t> values = unpack<std::uint32_t>(weak);
                unlocked([&] { matcher.add_values(values); });
            },
            nb::arg("weak"))
        .def(
            "take",
            [](TentativeMatcher& matcher, std::uint64_t limit) {
                return record_bytes(unlocked([&] { return matcher.take(limit); }));
            },
            nb::arg("limit"))
        .def_prop_ro("waiting", &TentativeMatcher::waiting)
        .def_prop_ro("values", &TentativeMatcher::values)
        .def_prop_ro("resolved", &TentativeMatcher::resolved);
    module.def(
        "tokens",
        [](const ChunkTable& chunks, nb::handle numbers, nb::handle strong) {
            const auto wanted = unpack<std::uint32_t>(numbers);
            const auto hashes = unpack<Strong>(strong);
            return record_bytes(unlocked([&] { return tokens_of(chunks, wanted, hashes); }));
        },
        nb::arg("chunks"), nb::arg("numbers"), nb::arg("strong"));
}

void bind_strong(nb::module_& module) {
    nb::class_<StrongMatcher>(module, "StrongMatcher")
        .def(nb::init<const ChunkTable&, std::uint64_t>(), nb::arg("target"), nb::arg("copy_limit"),
             nb::keep_alive<1, 2>())
        .def(
            "add",
            [](StrongMatcher& matcher, std::uint64_t first, std::uint64_t count) {
                return record_bytes(unlocked([&] { return matcher.add(first, count); }));
            },
            nb::arg("first"), nb::arg("count"))
        .def(
            "begin",
            [](StrongMatcher& matcher, nb::handle tokens) {
                const auto batch = unpack<Token>(tokens);
                return record_bytes(unlocked([&] { return matcher.begin(batch); }));
            },
            nb::arg("tokens"))
        .def(
            "confirm",
            [](StrongMatcher& matcher, nb::handle strong) {
                const auto hashes = unpack<Strong>(strong);
                return record_bytes(unlocked([&] { return matcher.confirm(hashes); }));
            },
            nb::arg("strong"))
        .def(
            "take_literals",
            [](StrongMatcher& matcher, std::uint64_t resolved) {
                return record_bytes(unlocked([&] { return matcher.take_literals(resolved); }));
            },
            nb::arg("resolved"))
        .def_prop_ro("late", &StrongMatcher::late)
        .def_prop_ro("values", &StrongMatcher::values)
        .def_prop_ro("hashed_bytes", &StrongMatcher::hashed_bytes)
        .def_prop_ro("matched_bytes", &StrongMatcher::matched_bytes);
}

}  // namespace

void bind_weak_strong(nb::module_& module) {
    bind_checksums(module);
    bind_weak_table(module);
    bind_tentative(module);
    bind_strong(module);
    module.def("check_copies", &check, nb::arg("copies"), nb::arg("target_size"), nb::arg("basis_size"));
}

}  // namespace parasync::bindings
