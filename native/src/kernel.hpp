// One kernel: the functions that are compiled once per instruction set, and chosen together.
//
// Contract: all kernels give bit-identical results for all inputs.
//
// The sources of a kernel are compiled with its own flags (kernels.cmake). So that no code for one
// instruction set is linked where another CPU may run it, they contain no function with external
// linkage but those declared here, and call no inline function or template that other sources share.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "fingerprint_tables.hpp"
#include "parasync/fingerprint.hpp"

namespace parasync {

static_assert(std::endian::native == std::endian::little, "bytes are loaded as little-endian words");

// Bytes before `data` that survivors() may read.
inline constexpr std::size_t kFilterReach = 128;

// No two thinned survivors are closer than 16 positions; the kernels may write eight places beyond the last.
constexpr std::size_t max_survivors(std::size_t size) { return size / 16 + 1 + 8; }

// A node of a BLAKE3 tree: a leaf of `size` bytes, or a parent (64 bytes: its children's values). `data` may be read up
// to the end of its last block of 64, and of one block if there are none; what lies behind `size` is zero.
struct Blake3Node {
    const std::uint8_t* data;
    std::uint64_t counter;  // a leaf's number; 0 for parents
    std::uint32_t size;
    bool parent;
    bool root;
};

struct Kernel {
    const char* name;

    // Positions of the thinned survivors of the filter in data[0, size), ascending and relative to `data`.
    // `out` has room for max_survivors(size). Reads data[-kFilterReach, size) and nothing else.
    std::size_t (*survivors)(const std::uint8_t* data, std::size_t size, std::uint32_t* out);

    Fingerprint (*fingerprint)(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size);

    // out[i] = `start`, the fingerprint of what lies before `data`, extended by data[0, ends[i]).
    // `ends` does not descend.
    void (*accumulate)(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                       const std::uint32_t* ends, std::size_t count, Fingerprint* out);

    // As FingerprintKey::combine_each.
    void (*combine_each)(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                         const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count);

    // As the functions of crc32c.hpp.
    std::uint32_t (*crc32c)(std::uint32_t before, const std::uint8_t* data, std::size_t size);
    std::uint32_t (*crc32c_shift)(std::uint32_t checksum, std::uint64_t bytes);

    // The chaining values of nodes that do not depend on each other, eight words each.
    void (*blake3)(const Blake3Node* nodes, std::size_t count, std::uint32_t* out);
};

// The kernel that this process uses now.
const Kernel& current_kernel();

#define PARASYNC_DECLARE_KERNEL(isa)                                                                                \
    namespace isa {                                                                                                 \
    std::size_t survivors(const std::uint8_t* data, std::size_t size, std::uint32_t* out);                          \
    Fingerprint fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size);           \
    void accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,                   \
                    const std::uint32_t* ends, std::size_t count, Fingerprint* out);                                \
    void combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,           \
                      const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count);                       \
    }

#define PARASYNC_DECLARE_CRC32C(isa)                                                             \
    namespace isa {                                                                              \
    std::uint32_t crc32c(std::uint32_t before, const std::uint8_t* data, std::size_t size);      \
    std::uint32_t crc32c_shift(std::uint32_t checksum, std::uint64_t bytes);                     \
    }

#define PARASYNC_DECLARE_BLAKE3(isa)                                               \
    namespace isa {                                                                \
    void blake3(const Blake3Node* nodes, std::size_t count, std::uint32_t* out);   \
    }

PARASYNC_DECLARE_KERNEL(portable)
PARASYNC_DECLARE_CRC32C(portable)
PARASYNC_DECLARE_BLAKE3(portable)
#if defined(PARASYNC_X86_KERNELS)
PARASYNC_DECLARE_CRC32C(ssse3)
PARASYNC_DECLARE_BLAKE3(avx2)
PARASYNC_DECLARE_BLAKE3(avx512)
PARASYNC_DECLARE_KERNEL(ssse3)
PARASYNC_DECLARE_KERNEL(avx2)
PARASYNC_DECLARE_KERNEL(avx2_vpclmul)
PARASYNC_DECLARE_KERNEL(avx512)
#elif defined(PARASYNC_ARM_KERNELS)
PARASYNC_DECLARE_KERNEL(neon)
#endif
#undef PARASYNC_DECLARE_KERNEL
#undef PARASYNC_DECLARE_CRC32C
#undef PARASYNC_DECLARE_BLAKE3

}  // namespace parasync
