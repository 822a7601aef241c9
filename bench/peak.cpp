// SPDX-License-Identifier: Apache-2.0
// Loops of nothing but dot instructions, and of nothing but loads and stores.
#include "bench/peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "bench/conv_layer.h"

namespace firn::bench {
namespace {

using kernels::Isa;

constexpr int kAttempts = 30;

// How often per second `work` can be done; the best of some attempts.
template <typename Work>
double rate(int attempts, int loops, Work work) {
  double best = 0;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < loops; ++i) work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, loops / seconds.count());
  }
  return best;
}

#if defined(__x86_64__)
// Of tiles of 16 x 64 by 64 x 16.
double amx_peak(int attempts, int loops) {
  struct alignas(64) {
    uint8_t palette = 1, reserved[15] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config));
  const double best = rate(attempts, loops, [] {
    asm volatile(
        ".rept 4\n\ttdpbssd %%tmm6, %%tmm4, %%tmm0\n\ttdpbssd %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbssd %%tmm6, %%tmm5, %%tmm2\n\ttdpbssd %%tmm7, %%tmm5, %%tmm3\n.endr" ::);
  });
  asm volatile("tilerelease" ::);
  return best * 16 * 16 * 16 * 64;
}
#endif

double measure_peak(Isa isa, int attempts, int loops) {
#if defined(__x86_64__)
// 4 x 12 times `dot`, with the accumulator's number as \r.
#define FIRN_DOTS(dot)                                                                         \
  [] {                                                                                         \
    asm volatile(".rept 4\n.irp r,2,3,4,5,6,7,8,9,10,11,12,13\n\t" dot "\n.endr\n.endr" ::     \
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm15");                   \
  }
  switch (isa) {
    case Isa::amxint8:
      return amx_peak(attempts, loops);
    case Isa::avx512vnni:
      return 48 * 64 * rate(attempts, loops, FIRN_DOTS("vpdpbusd %%zmm0, %%zmm1, %%zmm\\r"));
    case Isa::avxvnni:
      return 48 * 32 *
             rate(attempts, loops, FIRN_DOTS("%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm\\r"));
    case Isa::avx2:
      return 48 * 16 *
             rate(attempts, loops,
                  FIRN_DOTS("vpmaddwd %%ymm0, %%ymm1, %%ymm15\n\t"
                            "vpaddd %%ymm15, %%ymm\\r, %%ymm\\r"));
    default:
      break;
  }
#undef FIRN_DOTS
#endif
  (void)isa, (void)attempts, (void)loops;
  return 0;
}

}  // namespace

double peak(Isa isa) {
  static std::array<std::optional<double>, kernels::kIsaCount> known;
  auto& value = known[static_cast<size_t>(isa)];
  if (!value) value = measure_peak(isa, kAttempts, 5000);
  return *value;
}

double peak_now(Isa isa) {
  return measure_peak(isa, 1, 2000);
}

double copy_peak(Isa isa, size_t n) {
#if defined(__x86_64__)
  n = (n + 255) / 256 * 256;
  const auto from = filled<int8_t>(n), to = filled<int8_t>(n);
  const int loops = static_cast<int>(std::max<size_t>(1, 200000 / n));
// Copies from the end to the front, four vectors of `bytes` at once.
#define FIRN_COPY(bytes, load, store)                                                  \
  2 * static_cast<double>(n) * rate(kAttempts, loops, [&] {                            \
    size_t left = n;                                                                   \
    asm volatile("1:\n.irp r,1,2,3,4\n\t" load " -\\r*" #bytes "(%1,%0), %%" store     \
                 "\\r\n.endr\n.irp r,1,2,3,4\n\t" load " %%" store "\\r, -\\r*" #bytes \
                 "(%2,%0)\n.endr\n\tsub $4*" #bytes ", %0\n\tjnz 1b"                   \
                 : "+r"(left)                                                          \
                 : "r"(from.get()), "r"(to.get())                                      \
                 : "memory", "cc", "xmm1", "xmm2", "xmm3", "xmm4");                    \
  })
  if (isa == Isa::avx512vnni || isa == Isa::amxint8) return FIRN_COPY(64, "vmovdqu64", "zmm");
  if (isa == Isa::avx2 || isa == Isa::avxvnni) return FIRN_COPY(32, "vmovdqu", "ymm");
#undef FIRN_COPY
#endif
  (void)isa, (void)n;
  return 0;
}

}  // namespace firn::bench
