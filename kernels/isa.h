// SPDX-License-Identifier: Apache-2.0
// Which instruction-set rungs there are and which of them this machine can run.
#ifndef FIRN_KERNELS_ISA_H_
#define FIRN_KERNELS_ISA_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace firn::kernels {

// Rungs in order of preference within an architecture.
enum class Isa : uint8_t { scalar, avx2, avxvnni, avx512vnni, amxint8, neon, neondot, neoni8mm };
inline constexpr int kIsaCount = 8;

// A set of rungs, one bit each.
using IsaMask = uint32_t;
constexpr IsaMask bit(Isa isa) {
  return IsaMask{1} << static_cast<uint32_t>(isa);
}

// "scalar", "avx2", ...
const char* isa_name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);

// What this CPU and operating system run; scalar always. Detected once, by cpuinfo and, for
// features that its installed version does not know, by CPUID or the auxiliary vector.
IsaMask supported_isas();
// The most preferred supported rung.
Isa best_isa();
// What a session limited to `rung` may use: the supported rungs up to and including it.
IsaMask allowed_isas(Isa rung);

// The last entry of a family's table (rungs in order of preference) that `allowed` contains. The
// first entry is scalar, so there always is one.
template <typename Table>
const auto& pick(const Table& table, IsaMask allowed) {
  const auto* best = &table[0];
  for (const auto& entry : table)
    if ((allowed & bit(entry.isa)) != 0) best = &entry;
  return *best;
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_ISA_H_
