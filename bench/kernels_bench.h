// SPDX-License-Identifier: Apache-2.0
// What the kernel benchmarks share: the layers of common networks, and what this machine can do at
// most.
#ifndef FIRN_BENCH_KERNELS_BENCH_H_
#define FIRN_BENCH_KERNELS_BENCH_H_

#include <benchmark/benchmark.h>

#include <span>

#include "bench/conv_layer.h"

namespace firn::bench {

inline bool runs_here(kernels::Isa isa) {
  return (kernels::supported_isas() & bit(isa)) != 0;
}

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
