#define PARASYNC_LANES 8
#include "blake3_lanes.hpp"

namespace parasync::avx2 {

void blake3(const Blake3Node* nodes, std::size_t count, std::uint32_t* out) {
    hash_all(nodes, count, out);
}

}  // namespace parasync::avx2
