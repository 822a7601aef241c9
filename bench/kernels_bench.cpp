// SPDX-License-Identifier: Apache-2.0
// The layers, and what this machine can do at most.
#include "bench/kernels_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

namespace firn::bench {
namespace {

using kernels::Isa;

constexpr Layer kConv[] = {
    // ResNet-50 and -18
    {224, 3, 64, 7, 2},
    {56, 64, 64, 3, 1},
    {56, 64, 256, 1, 1},
    {28, 128, 128, 3, 1},
    {14, 256, 256, 3, 1},
    {14, 1024, 256, 1, 1},
    {7, 512, 512, 3, 1},
    {7, 512, 2048, 1, 1},
    {1, 2048, 1000, 1, 1},
    // MobileNetV1
    {224, 3, 32, 3, 2},
    {112, 32, 64, 1, 1},
    {28, 256, 256, 1, 1},
    {14, 512, 512, 1, 1},
    {7, 1024, 1024, 1, 1},
    // MobileNetV2
    {112, 32, 16, 1, 1},
    {112, 16, 96, 1, 1},
    {56, 96, 24, 1, 1},
    {56, 24, 144, 1, 1},
    {28, 144, 32, 1, 1},
    {28, 32, 192, 1, 1},
    {14, 96, 576, 1, 1},
    {14, 576, 96, 1, 1},
    {7, 960, 320, 1, 1},
    {7, 320, 1280, 1, 1},
    {1, 1280, 1000, 1, 1},
    // MobileNetV3-small
    {224, 3, 16, 3, 2},
    {28, 24, 88, 1, 1},
    {14, 40, 240, 1, 1},
    {1, 240, 64, 1, 1},
    {7, 96, 576, 1, 1},
    // EfficientNet-B0
    {28, 40, 240, 1, 1},
    {14, 480, 80, 1, 1},
    {14, 112, 672, 1, 1},
    {7, 192, 1152, 1, 1},
    {1, 1152, 48, 1, 1},
    // SqueezeNet 1.1
    {224, 3, 64, 3, 2},
    {55, 128, 16, 1, 1},
    {55, 16, 64, 3, 1},
    {27, 256, 32, 1, 1},
    {13, 64, 256, 3, 1},
    {13, 512, 1000, 1, 1},
    // YOLO
    {320, 3, 16, 6, 2},
    {160, 16, 32, 3, 2},
    {80, 48, 48, 1, 1},
    // a small transformer
    {0, 384, 1536, 1, 1},
};
constexpr Layer kDepthwise[] = {
    {112, 32, 0, 3, 1}, {112, 96, 0, 3, 2}, {56, 128, 0, 3, 1}, {56, 144, 0, 3, 1},
    {56, 144, 0, 3, 2}, {28, 192, 0, 3, 1}, {14, 512, 0, 3, 1}, {14, 576, 0, 3, 1},
    {14, 576, 0, 3, 2}, {7, 960, 0, 3, 1},  {56, 72, 0, 5, 2},  {28, 120, 0, 5, 1},
    {28, 240, 0, 5, 1}, {14, 672, 0, 5, 1}, {14, 672, 0, 5, 2}, {7, 960, 0, 5, 1},
    {7, 1152, 0, 5, 1}, {28, 192, 0, 7, 1}, {14, 384, 0, 7, 1},
};

// How often per second `work` can be done; the best of some attempts.
template <typename Work>
double rate(int loops, Work work) {
  double best = 0;
  for (int attempt = 0; attempt < 30; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < loops; ++i) work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, loops / seconds.count());
  }
  return best;
}

double measure_peak(Isa isa) {
  constexpr int kLoops = 5000;
#if defined(__x86_64__)
// 4 x 12 times `dot`, with the accumulator's number as \r.
#define FIRN_DOTS(dot)                                                                         \
  [] {                                                                                         \
    asm volatile(".rept 4\n.irp r,2,3,4,5,6,7,8,9,10,11,12,13\n\t" dot "\n.endr\n.endr" ::     \
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm15");                   \
  }
  switch (isa) {
    case Isa::avx512vnni:
      return 48 * 64 * rate(kLoops, FIRN_DOTS("vpdpbusd %%zmm0, %%zmm1, %%zmm\\r"));
    case Isa::avxvnni:
      return 48 * 32 * rate(kLoops, FIRN_DOTS("%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm\\r"));
    case Isa::avx2:
      return 48 * 16 *
             rate(kLoops, FIRN_DOTS("vpmaddwd %%ymm0, %%ymm1, %%ymm15\n\t"
                                    "vpaddd %%ymm15, %%ymm\\r, %%ymm\\r"));
    default:
      break;
  }
#undef FIRN_DOTS
#endif
  (void)isa;
  return 0;
}

}  // namespace

constinit const std::span<const Layer> kConvLayers = kConv;
constinit const std::span<const Layer> kDepthwiseLayers = kDepthwise;

double peak(Isa isa) {
  static std::array<std::optional<double>, kernels::kIsaCount> known;
  auto& value = known[static_cast<size_t>(isa)];
  if (!value) value = measure_peak(isa);
  return *value;
}

double copy_peak(Isa isa, size_t n) {
#if defined(__x86_64__)
  n = (n + 255) / 256 * 256;
  const auto from = filled<int8_t>(n), to = filled<int8_t>(n);
  const int loops = static_cast<int>(std::max<size_t>(1, 200000 / n));
// Copies from the end to the front, four vectors of `bytes` at once.
#define FIRN_COPY(bytes, load, store)                                                  \
  2 * static_cast<double>(n) * rate(loops, [&] {                                       \
    size_t left = n;                                                                   \
    asm volatile("1:\n.irp r,1,2,3,4\n\t" load " -\\r*" #bytes "(%1,%0), %%" store     \
                 "\\r\n.endr\n.irp r,1,2,3,4\n\t" load " %%" store "\\r, -\\r*" #bytes \
                 "(%2,%0)\n.endr\n\tsub $4*" #bytes ", %0\n\tjnz 1b"                   \
                 : "+r"(left)                                                          \
                 : "r"(from.get()), "r"(to.get())                                      \
                 : "memory", "cc", "xmm1", "xmm2", "xmm3", "xmm4");                    \
  })
  if (isa == Isa::avx512vnni) return FIRN_COPY(64, "vmovdqu64", "zmm");
  if (isa == Isa::avx2 || isa == Isa::avxvnni) return FIRN_COPY(32, "vmovdqu", "ymm");
#undef FIRN_COPY
#endif
  (void)isa, (void)n;
  return 0;
}

void count_macs(benchmark::State& state, double macs, Isa isa) {
  state.counters["MAC/s"] = benchmark::Counter(macs, benchmark::Counter::kIsIterationInvariantRate);
  if (const double most = peak(isa); most > 0)
    state.counters["of_peak"] =
        benchmark::Counter(macs / most, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace firn::bench
