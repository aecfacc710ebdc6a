// The extension module parasync._native.
#include <cerrno>
#include <exception>
#include <system_error>

#include "buffers.hpp"
#include "parasync/file_io.hpp"

namespace nb = nanobind;

namespace {

// OSError with its errno, so that Python picks the subclass; EOFError; the rest is nanobind's own table.
void translate(const std::exception_ptr& pointer, void*) {
    try {
        std::rethrow_exception(pointer);
    } catch (const parasync::EndOfFile& error) {
        PyErr_SetString(PyExc_EOFError, error.what());
    } catch (const std::system_error& error) {
        errno = error.code().value();
        PyErr_SetFromErrno(PyExc_OSError);
    }
}

}  // namespace

NB_MODULE(_native, module) {
    // Daemon threads may still hold objects when the interpreter ends; that is no news for a user's terminal.
    nb::set_leak_warnings(false);
    nb::register_exception_translator(translate);
    parasync::bindings::bind_chunking(module);
    parasync::bindings::bind_columns(module);
    parasync::bindings::bind_io(module);
    parasync::bindings::bind_small_files(module);
    parasync::bindings::bind_weak_strong(module);
}
