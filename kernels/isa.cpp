// SPDX-License-Identifier: Apache-2.0
// CPU feature detection: the one door to cpuinfo.
#include "kernels/isa.h"

#include <cpuinfo.h>

#include <array>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace firn::kernels {
namespace {

constexpr std::array<const char*, kIsaCount> kNames = {"scalar",  "avx2", "avxvnni", "avx512vnni",
                                                       "amxint8", "neon", "neondot", "neoni8mm"};

#if defined(__x86_64__)
// CPUID leaf 7, subleaf 1, EAX bit 4. Debian 12's cpuinfo does not know it. The upper halves of the
// registers are usable where cpuinfo reports AVX2.
bool has_avxvnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}

// CPUID leaf 7, EDX bits 24 and 25. Tile registers are the kernel's to grant, to a whole process:
// Linux, Documentation/arch/x86/xstate.rst.
bool has_amxint8() {
#if defined(__linux__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTileAndInt8 = 3u << 24;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
         (edx & kTileAndInt8) == kTileAndInt8 &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

IsaMask detect() {
  IsaMask mask = bit(Isa::scalar);
  const bool known = cpuinfo_initialize();
#if defined(__x86_64__)
  if (!known) return mask;
  if (cpuinfo_has_x86_avx2()) {
    mask |= bit(Isa::avx2);
    if (has_avxvnni()) mask |= bit(Isa::avxvnni);
  }
  if (cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512bw() && cpuinfo_has_x86_avx512vl() &&
      cpuinfo_has_x86_avx512dq() && cpuinfo_has_x86_avx512vbmi() && cpuinfo_has_x86_avx512vnni())
    mask |= bit(Isa::avx512vnni) | (has_amxint8() ? bit(Isa::amxint8) : 0);
#elif defined(__aarch64__)
  mask |= bit(Isa::neon);
#if defined(__linux__)
  // The kernel's own words, for machines whose /proc/cpuinfo cpuinfo cannot read.
  if ((getauxval(AT_HWCAP) & (1ul << 20)) != 0) mask |= bit(Isa::neondot);    // HWCAP_ASIMDDP
  if ((getauxval(AT_HWCAP2) & (1ul << 13)) != 0) mask |= bit(Isa::neoni8mm);  // HWCAP2_I8MM
#endif
  if (known && cpuinfo_has_arm_neon_dot()) mask |= bit(Isa::neondot);
#elif defined(__arm__)
  if (known && cpuinfo_has_arm_neon()) mask |= bit(Isa::neon);
#endif
  return mask;
}

}  // namespace

const char* isa_name(Isa isa) {
  return kNames[static_cast<size_t>(isa)];
}

std::optional<Isa> isa_from_name(std::string_view name) {
  for (int i = 0; i < kIsaCount; ++i)
    if (name == kNames[static_cast<size_t>(i)]) return static_cast<Isa>(i);
  return std::nullopt;
}

IsaMask supported_isas() {
  static const IsaMask mask = detect();
  return mask;
}

Isa best_isa() {
  Isa best = Isa::scalar;
  for (int i = 0; i < kIsaCount; ++i)
    if ((supported_isas() & bit(static_cast<Isa>(i))) != 0) best = static_cast<Isa>(i);
  return best;
}

IsaMask allowed_isas(Isa rung) {
  return supported_isas() & ((bit(rung) << 1) - 1);
}

}  // namespace firn::kernels
