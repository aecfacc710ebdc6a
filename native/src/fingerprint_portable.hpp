// Residue arithmetic in plain C++, for the portable kernel and for building every key's tables.
#pragma once

#include <cstdint>

#include "fingerprint_tables.hpp"

namespace parasync::portable {

// Product of two polynomials.
unsigned __int128 carryless_multiply(std::uint64_t a, std::uint64_t b);

// residue * constant modulo polynomial `which`, where `constant` is adjusted. Needs tables.one_word only.
std::uint64_t multiply(const FingerprintTables& tables, int which, std::uint64_t residue, std::uint64_t constant);

}  // namespace parasync::portable
