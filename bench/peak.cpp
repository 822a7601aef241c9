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
constexpr int64_t kFew = 500;  // of loops of dot instructions: a few microseconds

// What is measured: the best of some attempts, each of about so many seconds.
struct Effort {
  int attempts;
  double seconds;
};

template <typename Work>
double seconds_of(int64_t loops, Work work) {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < loops; ++i) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// How often per second `work` can be done, at least so many times. Nothing looks at the clock
// meanwhile.
template <typename Work>
double rate(Effort effort, int64_t least, Work work) {
  const double once = seconds_of(least, work) / static_cast<double>(least);
  const auto loops = std::max(least, static_cast<int64_t>(effort.seconds / once));
  double best = 0;
  for (int attempt = 0; attempt < effort.attempts; ++attempt)
    best = std::max(best, static_cast<double>(loops) / seconds_of(loops, work));
  return best;
}

#if defined(__x86_64__)
// Of tiles of 16 x 64 by 64 x 16.
double amx_peak(Effort effort) {
  struct alignas(64) {
    uint8_t palette = 1, reserved[15] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config));
  const double best = rate(effort, kFew, [] {
    asm volatile(
        ".rept 4\n\ttdpbssd %%tmm6, %%tmm4, %%tmm0\n\ttdpbssd %%tmm7, %%tmm4, %%tmm1\n\t"
        "tdpbssd %%tmm6, %%tmm5, %%tmm2\n\ttdpbssd %%tmm7, %%tmm5, %%tmm3\n.endr" ::);
  });
  asm volatile("tilerelease" ::);
  return best * 16 * 16 * 16 * 64;
}
#endif

double measure_peak(Isa isa, Effort effort) {
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
      return amx_peak(effort);
    case Isa::avx512vnni:
      return 48 * 64 * rate(effort, kFew, FIRN_DOTS("vpdpbusd %%zmm0, %%zmm1, %%zmm\\r"));
    case Isa::avxvnni:
      return 48 * 32 * rate(effort, kFew, FIRN_DOTS("%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm\\r"));
    case Isa::avx2:
      return 48 * 16 *
             rate(effort, kFew,
                  FIRN_DOTS("vpmaddwd %%ymm0, %%ymm1, %%ymm15\n\t"
                            "vpaddd %%ymm15, %%ymm\\r, %%ymm\\r"));
    default:
      break;
  }
#undef FIRN_DOTS
#endif
  (void)isa, (void)effort;
  return 0;
}

}  // namespace

double peak(Isa isa) {
  static std::array<std::optional<double>, kernels::kIsaCount> known;
  auto& value = known[static_cast<size_t>(isa)];
  if (!value) value = measure_peak(isa, {kAttempts, 30e-6});
  return *value;
}

double peak_now(Isa isa, double seconds) {
  return measure_peak(isa, {1, seconds});
}

double copy_peak(Isa isa, size_t n) {
#if defined(__x86_64__)
  n = (n + 255) / 256 * 256;
  const auto from = filled<int8_t>(n), to = filled<int8_t>(n);
  const auto loops = static_cast<int64_t>(std::max<size_t>(1, 200000 / n));
// Copies from the end to the front, four vectors of `bytes` at once.
#define FIRN_COPY(bytes, load, store)                                                  \
  2 * static_cast<double>(n) * rate({kAttempts, 0}, loops, [&] {                       \
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
