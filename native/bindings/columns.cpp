// Chunk tables, the basis index and the matcher: columns and batches of records.
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "buffers.hpp"
#include "parasync/chunk_table.hpp"
#include "parasync/index.hpp"
#include "parasync/matcher.hpp"
#include "parasync/weak_table.hpp"

namespace parasync::bindings {

namespace {

nb::bytes encode(const ChunkTable& table, std::uint64_t first, std::uint64_t count) {
    table.check_range(first, count);
    const std::size_t bytes = count * table.encoded_bytes();
    nb::bytes result = nb::steal<nb::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes)));
    if (!result.is_valid()) throw nb::python_error();
    auto* const out = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(result.ptr()));
    unlocked([&] { table.encode(first, count, out); });
    return result;
}

std::uint64_t extend(ChunkTable& table, nb::handle data) {
    const Buffer buffer(data);
    return unlocked([&] { return table.extend(buffer.bytes()); });
}

nb::tuple chunk(const ChunkTable& table, std::uint64_t number) {
    table.check_range(number, 1);
    return nb::make_tuple(table.offset(number), table.length(number), to_bytes(table.fingerprint(number)));
}

nb::bytes fold(const ChunkTable& table, const FingerprintKey& key) {
    return to_bytes(unlocked([&] { return table.fold(key); }));
}

nb::bytes digest(const ChunkTable& table) {
    const std::array<std::uint8_t, 32> result = unlocked([&] { return table.digest(); });
    return nb::bytes(result.data(), result.size());
}

// Packed u32.
nb::bytes weak(const ChunkTable& table, std::uint64_t first, std::uint64_t count) {
    table.check_range(first, count);
    if (!table.has_weak()) throw std::invalid_argument("this table has no weak checksums");
    std::vector<std::uint32_t> column(count);
    for (std::uint64_t i = 0; i < count; ++i) column[i] = table.weak(first + i);
    return record_bytes(column);
}

// Packed extents of packed u32.
nb::bytes extents(const ChunkTable& table, nb::handle numbers) {
    const Buffer buffer(numbers);
    return record_bytes(unlocked([&] { return extents_of(table, records<std::uint32_t>(buffer.bytes())); }));
}

void bind_table(nb::module_& module) {
    nb::class_<ChunkTable>(module, "ChunkTable")
        .def(nb::init<std::uint32_t, std::uint64_t, bool>(), nb::arg("average"), nb::arg("size"),
             nb::arg("weak") = false)
        .def("__len__", &ChunkTable::count)
        .def_prop_ro("end", &ChunkTable::end)
        .def_prop_ro("size", &ChunkTable::size)
        .def_prop_ro("average", &ChunkTable::average)
        .def_prop_ro("has_weak", &ChunkTable::has_weak)
        .def("weak", &weak, nb::arg("first"), nb::arg("count"))
        .def("extents", &extents, nb::arg("numbers"))
        .def("encode", &encode, nb::arg("first"), nb::arg("count"))
        .def("extend", &extend, nb::arg("data"))
        .def("chunk", &chunk, nb::arg("number"))
        .def("fold", &fold, nb::arg("key"))
        .def("digest", &digest);
}

// Packed u32.
nb::bytes find(const ChunkIndex& index, const ChunkTable& sought, std::uint64_t first, std::uint64_t count) {
    sought.check_range(first, count);
    std::vector<std::uint32_t> found(count);
    unlocked([&] {
        std::vector<std::uint32_t> numbers(count);
        std::iota(numbers.begin(), numbers.end(), static_cast<std::uint32_t>(first));
        index.find(sought, numbers, found);
    });
    return record_bytes(found);
}

void bind_index(nb::module_& module) {
    nb::class_<ChunkIndex>(module, "ChunkIndex")
        .def(nb::init<const ChunkTable&>(), nb::arg("table"), nb::keep_alive<1, 2>())
        .def("insert", nb::overload_cast<std::uint64_t, std::uint64_t>(&ChunkIndex::insert), nb::arg("first"),
             nb::arg("count"), nb::call_guard<nb::gil_scoped_release>())
        .def("find", &find, nb::arg("sought"), nb::arg("first"), nb::arg("count"))
        .def("__len__", &ChunkIndex::size, nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("nbytes", &ChunkIndex::nbytes, nb::call_guard<nb::gil_scoped_release>());
}

void bind_matcher(nb::module_& module) {
    nb::class_<ChunkMatcher>(module, "ChunkMatcher")
        .def(nb::init<const ChunkTable&, const ChunkIndex*, std::uint64_t, bool>(), nb::arg("target"),
             nb::arg("index").none(), nb::arg("copy_limit"), nb::arg("growing") = false, nb::keep_alive<1, 2>(),
             nb::keep_alive<1, 3>())
        .def(
            "match",
            [](ChunkMatcher& matcher, std::uint64_t first, std::uint64_t count) {
                return record_bytes(unlocked([&] { return matcher.match(first, count); }));
            },
            nb::arg("first"), nb::arg("count"))
        .def(
            "grow",
            [](ChunkMatcher& matcher, std::uint64_t first, std::uint64_t count) {
                return record_bytes(unlocked([&] { return matcher.grow(first, count); }));
            },
            nb::arg("first"), nb::arg("count"))
        .def("rematch",
             [](ChunkMatcher& matcher) { return record_bytes(unlocked([&] { return matcher.rematch(); })); })
        .def("take_wants",
             [](ChunkMatcher& matcher) { return record_bytes(unlocked([&] { return matcher.take_wants(); })); })
        .def_prop_ro("missing", &ChunkMatcher::missing)
        .def_prop_ro("matched_bytes", &ChunkMatcher::matched_bytes);
}

}  // namespace

void bind_columns(nb::module_& module) {
    bind_table(module);
    bind_index(module);
    bind_matcher(module);
}

}  // namespace parasync::bindings
