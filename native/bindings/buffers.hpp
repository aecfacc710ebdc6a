// What every binding file needs: Python's buffers as spans, fingerprints as bytes, cut rules by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>

#include "parasync/chunking.hpp"
#include "parasync/fingerprint.hpp"

namespace parasync::bindings {

namespace nb = nanobind;

// Holds an object's buffer, so that the bytes stay in place while the GIL is released. Created and destroyed with the
// GIL held. Python's own TypeError or BufferError if the object has no contiguous (or no writable) buffer.
class Buffer {
public:
    explicit Buffer(nb::handle object, int flags = PyBUF_SIMPLE) {
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    std::span<const std::uint8_t> bytes() const { return writable_bytes(); }
    std::span<std::uint8_t> writable_bytes() const {
        return {static_cast<std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }

private:
    Py_buffer view_;
};

class WritableBuffer : public Buffer {
public:
    explicit WritableBuffer(nb::handle object) : Buffer(object, PyBUF_WRITABLE) {}
};

// The wire's form: `a`, then `b`, little-endian (as is every CPU this core builds for; extent.hpp checks).
inline nb::bytes to_bytes(Fingerprint fingerprint) {
    std::uint8_t raw[16];
    std::memcpy(raw, &fingerprint.a, 8);
    std::memcpy(raw + 8, &fingerprint.b, 8);
    return nb::bytes(raw, sizeof raw);
}

inline Fingerprint to_fingerprint(const nb::bytes& raw) {
    if (raw.size() != 16) throw std::invalid_argument("a fingerprint has 16 bytes");
    Fingerprint fingerprint;
    std::memcpy(&fingerprint.a, raw.data(), 8);
    std::memcpy(&fingerprint.b, static_cast<const char*>(raw.data()) + 8, 8);
    return fingerprint;
}

inline CutRule cut_rule(std::string_view name) {
    if (name == "default") return CutRule::kHighest;
    if (name == "paper") return CutRule::kFirst;
    throw std::invalid_argument("there is no cut rule " + std::string(name));
}

// Calls `work` without the GIL and hands on what it returns.
template <class Work>
auto unlocked(Work&& work) {
    const nb::gil_scoped_release released;
    return std::forward<Work>(work)();
}

// A batch of records as Python sees it.
template <class Record>
nb::bytes record_bytes(const std::vector<Record>& batch) {
    return nb::bytes(batch.data(), batch.size() * sizeof(Record));
}

// Each binding file adds its classes and functions to the module.
void bind_chunking(nb::module_& module);     // chunking.cpp
void bind_columns(nb::module_& module);      // columns.cpp
void bind_io(nb::module_& module);           // io.cpp
void bind_small_files(nb::module_& module);  // small_files.cpp
void bind_weak_strong(nb::module_& module);  // weak_strong.cpp

}  // namespace parasync::bindings
