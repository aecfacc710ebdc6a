// A segment as Python has it.
#pragma once

#include <cstddef>
#include <memory>

#include "buffers.hpp"
#include "parasync/chunking.hpp"

namespace parasync::bindings {

// A segment and the memory that its last scan was of, which the merger may read again.
struct OwningSegment {
    explicit OwningSegment(std::size_t capacity) : segment(capacity) {}

    Segment segment;
    std::unique_ptr<Buffer> data;
};

}  // namespace parasync::bindings
