// Four lanes, whatever the CPU calls them: vectors of 128 bits are in every instruction set this core builds for.
#define PARASYNC_LANES 4
#include "blake3_lanes.hpp"

namespace parasync::portable {

void blake3(const Blake3Node* nodes, std::size_t count, std::uint32_t* out) {
    hash_all(nodes, count, out);
}

}  // namespace parasync::portable
