// SPDX-License-Identifier: Apache-2.0
// Speed of every int8 convolution variant over the layers of common networks, one thread, as GMAC/s
// and as a share of what the variant's dot instruction can do at most on this machine.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <string>

#include "kernels/gemm_s8.h"

namespace {

using namespace firn::kernels;

struct Layer {
  const char* name;
  int size, in_c, out_c, kernel, stride;
};

// Named as input size, channels, kernel. size is a side of the square input.
constexpr Layer kLayers[] = {
    {"1x1_56x56_64_256", 56, 64, 256, 1, 1},    {"1x1_14x14_1024_256", 14, 1024, 256, 1, 1},
    {"1x1_7x7_512_2048", 7, 512, 2048, 1, 1},   {"3x3_56x56_64_64", 56, 64, 64, 3, 1},
    {"3x3_28x28_128_128", 28, 128, 128, 3, 1},  {"3x3_14x14_256_256", 14, 256, 256, 3, 1},
    {"3x3_7x7_512_512", 7, 512, 512, 3, 1},     {"3x3s2_224x224_3_32", 224, 3, 32, 3, 2},
    {"7x7s2_224x224_3_64", 224, 3, 64, 7, 2},   {"6x6s2_320x320_3_16", 320, 3, 16, 6, 2},
    {"3x3s2_160x160_16_32", 160, 16, 32, 3, 2}, {"1x1_112x112_32_16", 112, 32, 16, 1, 1},
    {"1x1_112x112_16_96", 112, 16, 96, 1, 1},   {"1x1_56x56_96_24", 56, 96, 24, 1, 1},
    {"1x1_56x56_24_144", 56, 24, 144, 1, 1},    {"1x1_28x28_144_32", 28, 144, 32, 1, 1},
    {"1x1_28x28_32_192", 28, 32, 192, 1, 1},    {"1x1_14x14_96_576", 14, 96, 576, 1, 1},
    {"1x1_14x14_576_96", 14, 576, 96, 1, 1},    {"1x1_7x7_960_320", 7, 960, 320, 1, 1},
    {"1x1_7x7_320_1280", 7, 320, 1280, 1, 1},   {"1x1_80x80_48_48", 80, 48, 48, 1, 1},
    {"dense_1_1280_1000", 1, 1280, 1000, 1, 1}, {"dense_16x8_384_1536", 0, 384, 1536, 1, 1},
};

ConvShape shape_of(const Layer& l) {
  ConvShape s;
  s.in_h = l.size != 0 ? l.size : 16;
  s.in_w = l.size != 0 ? l.size : 8;
  s.in_c = s.in_pixel_stride = l.in_c;
  s.out_c = s.out_pixel_stride = l.out_c;
  s.kernel_h = s.kernel_w = l.kernel;
  s.stride_h = s.stride_w = l.stride;
  s.pad_top = s.pad_left = (l.kernel - 1) / 2;
  s.out_h = (s.in_h + l.stride - 1) / l.stride;
  s.out_w = (s.in_w + l.stride - 1) / l.stride;
  return s;
}

template <typename T>
using Aligned = std::unique_ptr<T[], void (*)(T*)>;

template <typename T>
Aligned<T> aligned(size_t count) {
  auto* p = static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{64}));
  std::fill_n(p, count, T(1));
  return {p, [](T* q) { ::operator delete (q, std::align_val_t{64}); }};
}

// What a variant's dot instruction can do at most: GMAC/s of a loop of 12 independent ones; 0 where
// nobody has written that loop.
template <typename Dots>
double measure(double macs, Dots dots) {
  constexpr int kLoops = 5000;
  double best = 0;
  for (int attempt = 0; attempt < 30; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kLoops; ++i) dots();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, kLoops * macs / seconds.count() * 1e-9);
  }
  return best;
}

double peak(Isa isa) {
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
      return measure(48 * 64, FIRN_DOTS("vpdpbusd %%zmm0, %%zmm1, %%zmm\\r"));
    case Isa::avxvnni:
      return measure(48 * 32, FIRN_DOTS("%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm\\r"));
    case Isa::avx2:
      return measure(48 * 16, FIRN_DOTS("vpmaddwd %%ymm0, %%ymm1, %%ymm15\n\t"
                                        "vpaddd %%ymm15, %%ymm\\r, %%ymm\\r"));
    default:
      break;
  }
#undef FIRN_DOTS
#endif
  (void)isa;
  return 0;
}

void run(benchmark::State& state, const GemmS8& variant, const ConvShape& s, double peak_gmacs) {
  const auto input = aligned<int8_t>(size_t(s.in_h) * s.in_w * s.in_pixel_stride + kReadSlack);
  const auto zero_row = aligned<int8_t>(s.in_c + kReadSlack);
  const auto weights = aligned<int8_t>(size_t(s.out_c) * s.kernel_h * s.kernel_w * s.in_c);
  const auto output = aligned<int8_t>(size_t(s.out_h) * s.out_w * s.out_pixel_stride);
  const auto packed = aligned<uint8_t>(variant.packed_bytes(s));
  const auto scale = aligned<float>(s.out_c);
  std::fill_n(scale.get(), s.out_c, 0.01f);
  variant.pack(s, weights.get(), nullptr, 0, packed.get());
  ConvS8Args args;
  args.input = input.get();
  args.zero_row = zero_row.get();
  args.packed = packed.get();
  args.scale = scale.get();
  args.output = output.get();
  const size_t units = variant.units(s);
  for (auto _ : state) {
    variant.run(s, args, 0, units);
    benchmark::ClobberMemory();
  }
  const double gmacs = 1e-9 * s.out_h * s.out_w * s.out_c * s.kernel_h * s.kernel_w * s.in_c;
  const double total = gmacs * static_cast<double>(state.iterations());
  state.counters["GMAC/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  if (peak_gmacs > 0)
    state.counters["of_peak"] = benchmark::Counter(total / peak_gmacs, benchmark::Counter::kIsRate);
}

[[maybe_unused]] const bool registered = [] {
  for (const GemmS8& variant : gemm_s8_table()) {
    if ((supported_isas() & bit(variant.isa)) == 0) continue;
    const double peak_gmacs = peak(variant.isa);
    for (const Layer& layer : kLayers) {
      const ConvShape s = shape_of(layer);
      benchmark::RegisterBenchmark((std::string(variant.name) + "/" + layer.name).c_str(),
                                   [&variant, s, peak_gmacs](benchmark::State& state) {
                                     run(state, variant, s, peak_gmacs);
                                   });
    }
  }
  return true;
}();

}  // namespace
