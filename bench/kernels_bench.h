// SPDX-License-Identifier: Apache-2.0
// What the kernel benchmarks share: the layers of common networks, buffers, and what this machine
// can do at most.
#ifndef FIRN_BENCH_KERNELS_BENCH_H_
#define FIRN_BENCH_KERNELS_BENCH_H_

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "kernels/gemm_s8.h"

namespace firn::bench {

inline bool runs_here(kernels::Isa isa) {
  return (kernels::supported_isas() & bit(isa)) != 0;
}

struct FreeDelete {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
using Aligned = std::unique_ptr<T[], FreeDelete>;

// n elements and what kernels may read behind them, of many values.
template <typename T>
Aligned<T> filled(size_t n) {
  const size_t bytes = (n * sizeof(T) + 2 * kernels::kReadSlack) / 64 * 64;
  Aligned<T> out(static_cast<T*>(std::aligned_alloc(64, bytes)));
  for (size_t i = 0; i < bytes / sizeof(T); ++i) out[i] = static_cast<T>(i * 37 % 251);
  return out;
}

// A square picture of `size` (0: 16 x 8 rows of a matrix) and a square kernel, padded so that
// ceil(size / stride) remains. Depthwise where out_c is 0.
struct Layer {
  int32_t size, in_c, out_c, kernel, stride;

  bool depthwise() const { return out_c == 0; }
  std::string name() const;  // "3x3s2/224x3x32", "3x3/112x96"
  kernels::ConvShape shape() const;
  double macs() const;
};
// ResNet-50, MobileNetV1 to V3, EfficientNet-B0, SqueezeNet, YOLO stems, a transformer's product.
extern const std::span<const Layer> kConvLayers, kDepthwiseLayers;

// MAC/s that a loop of nothing but the rung's dot instruction reaches, measured once; 0 for rungs
// that have none here.
double peak(kernels::Isa);
// Bytes/s, read and written, of copying n bytes in the rung's vectors; 0 as above.
double copy_peak(kernels::Isa, size_t n);

// An iteration's MACs, and what share of peak(isa) that is.
void count_macs(benchmark::State&, double macs, kernels::Isa);

}  // namespace firn::bench

#endif  // FIRN_BENCH_KERNELS_BENCH_H_
