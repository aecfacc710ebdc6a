// Literal reader and target writer: bytes between files and buffers.
#include <cstdint>
#include <optional>

#include <nanobind/stl/optional.h>

#include "buffers.hpp"
#include "parasync/literal_reader.hpp"
#include "parasync/target_writer.hpp"
#include "segments.hpp"

namespace parasync::bindings {

namespace {

void make_reader(LiteralReader* reader, int fd, nb::handle extents, std::uint64_t size,
                 std::optional<FingerprintKey> key) {
    const Buffer buffer(extents);
    new (reader) LiteralReader(fd, records<Extent>(buffer.bytes()), size, std::move(key));
}

nb::tuple fill(LiteralReader& reader, nb::handle buffer, std::uint64_t limit) {
    const WritableBuffer target(buffer);
    const LiteralReader::Piece piece = unlocked([&] { return reader.fill(target.writable_bytes(), limit); });
    return nb::make_tuple(record_bytes(piece.extents), piece.bytes);
}

std::uint64_t copy(TargetWriter& writer, int basis_fd, nb::handle copies, const OwningSegment* held) {
    const Buffer buffer(copies);
    if (held != nullptr) check_kept(held->segment);
    const HeldBytes bytes = held == nullptr ? HeldBytes{} : HeldBytes{held->segment.offset(), held->segment.bytes()};
    return unlocked([&] { return writer.copy(basis_fd, records<Copy>(buffer.bytes()), bytes); });
}

std::uint64_t literal(TargetWriter& writer, nb::handle extents, nb::handle data) {
    const Buffer extent_buffer(extents);
    const Buffer data_buffer(data);
    return unlocked([&] { return writer.literal(records<Extent>(extent_buffer.bytes()), data_buffer.bytes()); });
}

}  // namespace

void bind_io(nb::module_& module) {
    nb::class_<LiteralReader>(module, "LiteralReader")
        .def("__init__", &make_reader, nb::arg("fd"), nb::arg("extents"), nb::arg("size"), nb::arg("key").none())
        .def("fill", &fill, nb::arg("buffer"), nb::arg("limit"))
        .def_prop_ro("total", &LiteralReader::total)
        .def("fingerprint", [](const LiteralReader& reader) { return to_bytes(reader.fingerprint()); });

    nb::class_<TargetWriter>(module, "TargetWriter")
        .def(nb::init<int, std::uint64_t, const FingerprintKey&>(), nb::arg("fd"), nb::arg("size"), nb::arg("key"))
        .def("copy", &copy, nb::arg("basis_fd"), nb::arg("copies"),
             nb::arg("segment") = nb::none())
        .def("literal", &literal, nb::arg("extents"), nb::arg("data"))
        .def_prop_ro("written", &TargetWriter::written)
        .def("fingerprint", [](const TargetWriter& writer) { return to_bytes(writer.fingerprint()); });
}

}  // namespace parasync::bindings
