// SPDX-License-Identifier: Apache-2.0
// Speed of every int8 convolution and depthwise variant over the layers of common networks, one
// thread: MAC/s, and the share of what the rung's dot instruction can do at most on this machine.
#include "bench/kernels_bench.h"

namespace firn::bench {
namespace {

template <class Variant>
void run(benchmark::State& state, const Variant& variant, const Layer& layer) {
  ConvRun conv(variant, layer);
  for (auto _ : state) {
    conv();
    benchmark::ClobberMemory();
  }
  count_macs(state, layer.macs(), variant.isa, [&] { conv(); });
}

void register_table(std::span<const kernels::GemmS8> table, std::span<const Layer> layers) {
  for (const Layer& layer : layers)
    for (const kernels::GemmS8& variant : table)
      if (runs_here(variant.isa))
        benchmark::RegisterBenchmark(
            (layer.name() + "/" + variant.name).c_str(),
            [&variant, layer](benchmark::State& state) { run(state, variant, layer); });
}

void register_winograd() {
  for (const Layer& layer : kConvLayers)
    for (const kernels::WinogradS8* variant : kernels::winograd_s8_table())
      if (runs_here(variant->isa) && layer.kernel == 3 && layer.stride == 1)
        benchmark::RegisterBenchmark(
            (layer.name() + "/" + variant->name).c_str(),
            [variant, layer](benchmark::State& state) { run(state, *variant, layer); });
}

[[maybe_unused]] const bool registered =
    (register_table(kernels::gemm_s8_table(), kConvLayers),
     register_table(kernels::dwconv_s8_table(), kDepthwiseLayers), register_winograd(), true);

}  // namespace
}  // namespace firn::bench
