// Memory for large tables and buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace parasync {

// A range of zeros, aligned to cache lines. A large one costs nothing until it is touched, and consists of huge pages
// where the system has them: random access to ordinary ones spends most of its time in page tables.
class ZeroedMemory {
public:
    ZeroedMemory() = default;
    explicit ZeroedMemory(std::size_t size) : size_(size) {  // throws std::bad_alloc
        if (!mapped()) {
            data_ = static_cast<std::uint8_t*>(::operator new(size, kAlignment));
            std::memset(data_, 0, size);
            return;
        }
        void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<std::uint8_t*>(memory);
#if defined(MADV_HUGEPAGE)
        ::madvise(memory, size, MADV_HUGEPAGE);  // advice: it may be refused
#endif
    }
    ~ZeroedMemory() {
        if (mapped()) {
            ::munmap(data_, size_);
        } else {
            ::operator delete(data_, kAlignment);
        }
    }
    ZeroedMemory(ZeroedMemory&& other) noexcept { swap(other); }
    ZeroedMemory& operator=(ZeroedMemory&& other) noexcept {
        ZeroedMemory(std::move(other)).swap(*this);
        return *this;
    }

    void swap(ZeroedMemory& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    [[nodiscard]] std::uint8_t* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    static constexpr std::align_val_t kAlignment{64};
    // Mapping and unmapping cost some microseconds, which many small files would feel.
    static constexpr std::size_t kMinMapped = 128 * 1024;

    bool mapped() const { return size_ >= kMinMapped; }

    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace parasync
