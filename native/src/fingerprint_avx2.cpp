#include "fingerprint_pclmul.hpp"

namespace parasync::avx2 {

Fingerprint fingerprint(const FingerprintTables& tables, const std::uint8_t* data, std::size_t size) {
    return hash_fingerprint<Summing<PclmulIsa>>(tables, data, size);
}

void accumulate(const FingerprintTables& tables, Fingerprint start, const std::uint8_t* data,
                const std::uint32_t* ends, std::size_t count, Fingerprint* out) {
    hash_accumulate<Summing<PclmulIsa>>(tables, start, data, ends, count, out);
}

void combine_each(const FingerprintTables& tables, const Fingerprint* left, const Fingerprint* right,
                  const std::uint64_t* right_bytes, Fingerprint* out, std::size_t count) {
    hash_combine_each<Summing<PclmulIsa>>(tables, left, right, right_bytes, out, count);
}

}  // namespace parasync::avx2
