// Kernels, the fingerprint, and Phase I: segments and their merger.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "buffers.hpp"
#include "parasync/chunking.hpp"
#include "parasync/cpu.hpp"
#include "parasync/extent.hpp"
#include "segments.hpp"

namespace parasync::bindings {

namespace {

void make_key(FingerprintKey* key, nb::handle words) {
    const Buffer buffer(words);
    const std::vector<std::uint64_t> copied = records<std::uint64_t>(buffer.bytes());
    unlocked([&] { new (key) FingerprintKey(copied); });
}

nb::bytes fingerprint(const FingerprintKey& key, nb::handle data) {
    const Buffer buffer(data);
    return to_bytes(unlocked([&] { return key.fingerprint(buffer.bytes().data(), buffer.bytes().size()); }));
}

void scan_file(OwningSegment& owner, const FingerprintKey& key, std::uint32_t average, int fd, std::uint64_t offset,
               std::size_t length, std::string_view rule, bool weak, bool keep) {
    const ScanOptions options{cut_rule(rule), weak, keep};
    unlocked([&] { owner.segment.scan_file(key, average, fd, offset, length, options); });
    owner.data.reset();
}

void scan_buffer(OwningSegment& owner, const FingerprintKey& key, std::uint32_t average, nb::handle data,
                 std::uint64_t offset, std::size_t length, std::string_view rule, bool weak) {
    const ScanOptions options{cut_rule(rule), weak};
    auto buffer = std::make_unique<Buffer>(data);
    unlocked([&] { owner.segment.scan_buffer(key, average, buffer->bytes(), offset, length, options); });
    owner.data = std::move(buffer);
}

// Copies with bytes in the segment, and the others.
nb::tuple partition(const OwningSegment& owner, nb::handle copies) {
    check_kept(owner.segment);
    const Buffer buffer(copies);
    std::vector<Copy> here;
    std::vector<Copy> elsewhere;
    for (const Copy& copy : records<Copy>(buffer.bytes())) {
        const bool before = copy.basis_offset < owner.segment.offset() &&
                            copy.length <= owner.segment.offset() - copy.basis_offset;
        (before || copy.basis_offset >= owner.segment.end() ? elsewhere : here).push_back(copy);
    }
    return nb::make_tuple(record_bytes(here), record_bytes(elsewhere));
}

void bind_kernels(nb::module_& module) {
    module.attr("CONTEXT") = kContext;
    module.def("cpu_features", &cpu_features);
    module.def("usable_kernels", &usable_kernels);
    module.def("active_kernel", &active_kernel);
    module.def("select_kernel", &select_kernel, nb::arg("name"));
}

void bind_fingerprint(nb::module_& module) {
    nb::class_<FingerprintKey>(module, "FingerprintKey")
        .def("__init__", &make_key, nb::arg("words"))
        .def("fingerprint", &fingerprint, nb::arg("data"))
        .def(
            "combine",
            [](const FingerprintKey& key, const nb::bytes& left, const nb::bytes& right, std::uint64_t right_length) {
                return to_bytes(key.combine(to_fingerprint(left), to_fingerprint(right), right_length));
            },
            nb::arg("left"), nb::arg("right"), nb::arg("right_length"))
        .def(
            "shift",
            [](const FingerprintKey& key, const nb::bytes& fingerprint, std::uint64_t length) {
                return to_bytes(key.shift(to_fingerprint(fingerprint), length));
            },
            nb::arg("fingerprint"), nb::arg("length"));
}

void bind_segments(nb::module_& module) {
    nb::class_<OwningSegment>(module, "Segment")
        .def(nb::init<std::size_t>(), nb::arg("capacity"))
        .def("scan_file", &scan_file, nb::arg("key"), nb::arg("average"), nb::arg("fd"), nb::arg("offset"),
             nb::arg("length"), nb::arg("rule") = "default", nb::arg("weak") = false, nb::arg("keep") = false)
        .def("scan_buffer", &scan_buffer, nb::arg("key"), nb::arg("average"), nb::arg("data"), nb::arg("offset"),
             nb::arg("length"), nb::arg("rule") = "default", nb::arg("weak") = false)
        .def("partition", &partition, nb::arg("copies"))
        .def_prop_ro("candidates", [](const OwningSegment& owner) { return owner.segment.candidates(); })
        .def_prop_ro("record_bytes", [](const OwningSegment& owner) { return owner.segment.record_bytes(); });

    nb::class_<Merger>(module, "Merger")
        .def(
            "__init__",
            [](Merger* merger, const FingerprintKey& key, ChunkTable& table, std::string_view rule) {
                new (merger) Merger(key, table, cut_rule(rule));
            },
            nb::arg("key"), nb::arg("table"), nb::arg("rule") = "default", nb::keep_alive<1, 3>())
        .def(
            "merge",
            [](Merger& merger, const OwningSegment& owner) {
                return unlocked([&] { return merger.merge(owner.segment); });
            },
            nb::arg("segment"))
        .def_prop_ro("forced", &Merger::forced)
        .def_prop_ro("rehashed", &Merger::rehashed);
}

}  // namespace

void bind_chunking(nb::module_& module) {
    bind_kernels(module);
    bind_fingerprint(module);
    bind_segments(module);
}

}  // namespace parasync::bindings
