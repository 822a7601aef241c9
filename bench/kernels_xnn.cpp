// SPDX-License-Identifier: Apache-2.0
// The same layers through the installed XNNPACK in int8, and int8 addition; the share is that of
// the peak of this machine's best rung.
#include "bench/kernels_bench.h"
#include "bench/xnn_conv.h"

namespace firn::bench {
namespace {

template <typename Run>
void loop(benchmark::State& state, Run&& run) {
  for (auto _ : state) {
    if (!run()) return state.SkipWithError("not in this XNNPACK");
    benchmark::ClobberMemory();
  }
}

void conv(benchmark::State& state, const Layer& layer) {
  XnnConv run(layer);
  loop(state, run);
  if (!run()) return;
  count_macs(state, layer.macs(), kernels::best_isa(), [&] { run(); });
}

void add(benchmark::State& state, size_t n) {
  const auto a = filled<int8_t>(n), b = filled<int8_t>(n), y = filled<int8_t>(n);
  const std::array dims = {size_t{1}, n};
  XnnGraph g;
  g.external(kInput, 0.7f, dims);
  g.external(kOther, 0.4f, dims);
  g.external(kOutput, 1.0f, dims);
  if (g.ok()) g.keep(xnn_define_add2(g.graph(), -INFINITY, INFINITY, kInput, kOther, kOutput, 0));
  const std::array<xnn_external_value, 3> values{
      {{kInput, a.get()}, {kOther, b.get()}, {kOutput, y.get()}}};
  g.bind(values);
  loop(state, [&] { return g.ok() && g.invoke(); });
  state.counters["B/s"] =
      benchmark::Counter(3 * static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

[[maybe_unused]] const bool registered = [] {
  for (const std::span<const Layer> layers : {kConvLayers, kDepthwiseLayers})
    for (const Layer& layer : layers)
      benchmark::RegisterBenchmark((layer.name() + "/xnnpack").c_str(),
                                   [layer](benchmark::State& state) { conv(state, layer); });
  benchmark::RegisterBenchmark("add/8k/xnnpack", add, 8192);
  benchmark::RegisterBenchmark("add/200k/xnnpack", add, 200704);
  return true;
}();

}  // namespace
}  // namespace firn::bench
