// Memory between pages that nobody may touch: reading one byte too far ends the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <sys/mman.h>
#include <unistd.h>

namespace parasync {

// A copy of some bytes that begins right behind such a page (`at_start`), or ends right before one.
class Guarded {
public:
    Guarded(std::span<const std::uint8_t> bytes, bool at_start) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t inside = (bytes.size() / page + 1) * page;
        size_ = inside + 2 * page;
        memory_ = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory_ == MAP_FAILED) throw std::bad_alloc();
        std::uint8_t* const begin = static_cast<std::uint8_t*>(memory_) + page;
        if (mprotect(begin, inside, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
        data_ = at_start ? begin : begin + inside - bytes.size();
        for (std::size_t i = 0; i < bytes.size(); ++i) data_[i] = bytes[i];
    }
    ~Guarded() { munmap(memory_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    const std::uint8_t* data() const { return data_; }

private:
    void* memory_;
    std::size_t size_;
    std::uint8_t* data_;
};

}  // namespace parasync
