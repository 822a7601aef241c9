// SPDX-License-Identifier: Apache-2.0
// What the kernel benchmarks share: the layers of common networks, and counting by the machine's
// peak.
#ifndef FIRN_BENCH_KERNELS_BENCH_H_
#define FIRN_BENCH_KERNELS_BENCH_H_

#include <benchmark/benchmark.h>

#include <functional>
#include <span>

#include "bench/conv_layer.h"
#include "bench/peak.h"

namespace firn::bench {

inline bool runs_here(kernels::Isa isa) {
  return (kernels::supported_isas() & bit(isa)) != 0;
}

// ResNet-50, MobileNetV1 to V3, EfficientNet-B0, SqueezeNet, YOLO stems, a transformer's product.
extern const std::span<const Layer> kConvLayers, kDepthwiseLayers;

// An iteration's MACs, and what share of the peak that is: the median of both, measured in turn, as
// the clocks of machines change from one moment to the next, and for as long (see peak_now()).
void count_macs(benchmark::State&, double macs, kernels::Isa, const std::function<void()>& run);

}  // namespace firn::bench

#endif  // FIRN_BENCH_KERNELS_BENCH_H_
