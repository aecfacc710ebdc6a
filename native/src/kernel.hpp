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

// No two thinned survivors are closer than 16 positions; the kernels may write one place beyond the last.
constexpr std::size_t max_survivors(std::size_t size) { return size / 16 + 2; }

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

PARASYNC_DECLARE_KERNEL(portable)
#if defined(PARASYNC_X86_KERNELS)
PARASYNC_DECLARE_KERNEL(ssse3)
PARASYNC_DECLARE_KERNEL(avx2)
PARASYNC_DECLARE_KERNEL(avx2_vpclmul)
PARASYNC_DECLARE_KERNEL(avx512)
#elif defined(PARASYNC_ARM_KERNELS)
PARASYNC_DECLARE_KERNEL(neon)
#endif
#undef PARASYNC_DECLARE_KERNEL

}  // namespace parasync
