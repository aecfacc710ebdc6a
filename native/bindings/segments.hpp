// A segment as Python has it.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>

#include "buffers.hpp"
#include "parasync/chunking.hpp"

namespace parasync::bindings {

// A segment and the memory that its last scan was of, which the merger may read again.
struct OwningSegment {
    explicit OwningSegment(std::size_t capacity) : segment(capacity) {}

    Segment segment;
    std::unique_ptr<Buffer> data;
};

// Throws std::invalid_argument unless the segment's bytes are in memory.
inline void check_kept(const Segment& segment) {
    if (!segment.scanned()) throw std::invalid_argument("the segment was not scanned, or the scan failed");
    if (segment.bytes().size() != segment.length()) {
        throw std::invalid_argument("the segment was scanned without keeping its bytes");
    }
}

}  // namespace parasync::bindings
