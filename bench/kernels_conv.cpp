// SPDX-License-Identifier: Apache-2.0
// Speed of every int8 convolution and depthwise variant over the layers of common networks, one
// thread: MAC/s, and the share of what the rung's dot instruction can do at most on this machine.
#include "bench/kernels_bench.h"
#include "kernels/dwconv_s8.h"
#include "kernels/winograd_s8.h"

namespace firn::bench {
namespace {

// Variants differ in whether they need scratch memory.
size_t workspace_bytes(const kernels::GemmS8&, const kernels::ConvShape&) {
  return 0;
}
size_t workspace_bytes(const kernels::WinogradS8& variant, const kernels::ConvShape& s) {
  return variant.workspace_bytes(s);
}
void call(const kernels::GemmS8& variant, const kernels::ConvShape& s,
          const kernels::ConvS8Args& args, void*, size_t units) {
  variant.run(s, args, 0, units);
}
void call(const kernels::WinogradS8& variant, const kernels::ConvShape& s,
          const kernels::ConvS8Args& args, void* workspace, size_t units) {
  variant.run(s, args, workspace, 0, units);
}

template <class Variant>
void run(benchmark::State& state, const Variant& variant, const Layer& layer) {
  const kernels::ConvShape s = layer.shape();
  const auto in = static_cast<size_t>(s.in_h * s.in_w),
             out = static_cast<size_t>(s.out_h * s.out_w);
  const auto in_c = static_cast<size_t>(s.groups * s.in_c);
  const auto out_c = static_cast<size_t>(s.groups * s.out_c);
  const auto taps = static_cast<size_t>(s.kernel_h * s.kernel_w * s.in_c);
  const auto input = filled<int8_t>(in * in_c), weights = filled<int8_t>(out_c * taps);
  const auto zero_row = filled<int8_t>(in_c), output = filled<int8_t>(out * out_c);
  const auto packed = filled<uint8_t>(variant.packed_bytes(s));
  const auto scale = filled<float>(out_c);
  std::fill_n(scale.get(), out_c, 1e-3f);
  variant.pack(s, weights.get(), nullptr, 3, packed.get());
  const kernels::ConvS8Args args = {.input = input.get(),
                                    .zero_row = zero_row.get(),
                                    .packed = packed.get(),
                                    .scale = scale.get(),
                                    .clamp = {.zero = 1},
                                    .output = output.get()};
  const auto workspace = filled<uint8_t>(workspace_bytes(variant, s));
  const size_t units = variant.units(s);
  for (auto _ : state) {
    call(variant, s, args, workspace.get(), units);
    benchmark::ClobberMemory();
  }
  count_macs(state, layer.macs(), variant.isa);
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
