// SPDX-License-Identifier: Apache-2.0
// The same layers through the installed XNNPACK in int8, weights quantized per channel, and int8
// addition; the share is that of the peak of this machine's best rung.
#include <xnnpack.h>

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "bench/kernels_bench.h"

namespace firn::bench {
namespace {

constexpr uint32_t kInput = 0, kOther = 1, kOutput = 2;

size_t sz(int32_t v) {
  return static_cast<size_t>(v);
}
uint32_t u32(int32_t v) {
  return static_cast<uint32_t>(v);
}

// A graph of one node.
class Graph {
 public:
  Graph() { keep(xnn_initialize(nullptr)), keep(xnn_create_subgraph(3, 0, &graph_)); }
  ~Graph() { xnn_delete_runtime(runtime_), xnn_delete_subgraph(graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void external(uint32_t id, float scale, std::span<const size_t> dims) {
    uint32_t same = 0;
    if (ok_)
      keep(xnn_define_quantized_tensor_value(
          graph_, xnn_datatype_qint8, 1, scale, dims.size(), dims.data(), nullptr, id,
          id == kOutput ? XNN_VALUE_FLAG_EXTERNAL_OUTPUT : XNN_VALUE_FLAG_EXTERNAL_INPUT, &same));
  }
  uint32_t weights(xnn_datatype type, const std::vector<float>& scale, size_t channel_axis,
                   std::span<const size_t> dims, const void* data) {
    uint32_t id = 0;
    if (ok_)
      keep(xnn_define_channelwise_quantized_tensor_value(graph_, type, scale.data(), dims.size(),
                                                         channel_axis, dims.data(), data,
                                                         XNN_INVALID_VALUE_ID, 0, &id));
    return id;
  }
  void keep(xnn_status status) { ok_ = ok_ && status == xnn_status_success; }
  bool ok() const { return ok_; }
  xnn_subgraph_t graph() const { return graph_; }

  // Ready to be invoked.
  bool bind(std::span<const xnn_external_value> values) {
    if (ok_) keep(xnn_create_runtime_v2(graph_, nullptr, 0, &runtime_));
    if (ok_) keep(xnn_setup_runtime(runtime_, values.size(), values.data()));
    return ok_;
  }
  bool invoke() { return xnn_invoke_runtime(runtime_) == xnn_status_success; }

 private:
  xnn_subgraph_t graph_ = nullptr;
  xnn_runtime_t runtime_ = nullptr;
  bool ok_ = true;
};

void loop(benchmark::State& state, Graph& g, std::span<const xnn_external_value> values) {
  if (!g.bind(values)) return state.SkipWithError("not in this XNNPACK");
  for (auto _ : state) {
    if (!g.invoke()) return state.SkipWithError("xnn_invoke_runtime");
    benchmark::ClobberMemory();
  }
}

void conv(benchmark::State& state, const Layer& layer) {
  const kernels::ConvShape s = layer.shape();
  const std::array in = {size_t{1}, sz(s.in_h), sz(s.in_w), sz(s.groups * s.in_c)};
  const std::array out = {size_t{1}, sz(s.out_h), sz(s.out_w), sz(s.groups * s.out_c)};
  const size_t channels = out[3], taps = sz(s.kernel_h * s.kernel_w);
  const auto input = filled<int8_t>(in[1] * in[2] * in[3]);
  const auto output = filled<int8_t>(out[1] * out[2] * channels);
  const auto weights = filled<int8_t>(channels * taps * sz(s.in_c));
  const std::vector<int32_t> bias(channels);
  const std::vector<float> weight_scale(channels, 0.01f), bias_scale(channels, 0.001f);

  Graph g;
  g.external(kInput, 0.1f, in);
  g.external(kOutput, 1.0f, out);
  const uint32_t b =
      g.weights(xnn_datatype_qcint32, bias_scale, 0, std::array{channels}, bias.data());
  const uint32_t bottom =
                     u32(std::max(0, (s.out_h - 1) * s.stride_h + s.kernel_h - s.in_h) - s.pad_top),
                 right = u32(std::max(0, (s.out_w - 1) * s.stride_w + s.kernel_w - s.in_w) -
                             s.pad_left);
  if (layer.depthwise()) {
    const std::array dims = {size_t{1}, sz(s.kernel_h), sz(s.kernel_w), channels};
    const uint32_t w = g.weights(xnn_datatype_qcint8, weight_scale, 3, dims, weights.get());
    if (g.ok())
      g.keep(xnn_define_depthwise_convolution_2d(
          g.graph(), u32(s.pad_top), right, bottom, u32(s.pad_left), u32(s.kernel_h),
          u32(s.kernel_w), u32(s.stride_h), u32(s.stride_w), 1, 1, 1, channels, -INFINITY, INFINITY,
          kInput, w, b, kOutput, 0));
  } else {
    const std::array dims = {channels, sz(s.kernel_h), sz(s.kernel_w), sz(s.in_c)};
    const uint32_t w = g.weights(xnn_datatype_qcint8, weight_scale, 0, dims, weights.get());
    if (g.ok())
      g.keep(xnn_define_convolution_2d(g.graph(), u32(s.pad_top), right, bottom, u32(s.pad_left),
                                       u32(s.kernel_h), u32(s.kernel_w), u32(s.stride_h),
                                       u32(s.stride_w), 1, 1, 1, sz(s.in_c), channels, -INFINITY,
                                       INFINITY, kInput, w, b, kOutput, 0));
  }
  loop(state, g,
       std::array<xnn_external_value, 2>{{{kInput, input.get()}, {kOutput, output.get()}}});
  count_macs(state, layer.macs(), kernels::best_isa());
}

void add(benchmark::State& state, size_t n) {
  const auto a = filled<int8_t>(n), b = filled<int8_t>(n), y = filled<int8_t>(n);
  const std::array dims = {size_t{1}, n};
  Graph g;
  g.external(kInput, 0.7f, dims);
  g.external(kOther, 0.4f, dims);
  g.external(kOutput, 1.0f, dims);
  if (g.ok()) g.keep(xnn_define_add2(g.graph(), -INFINITY, INFINITY, kInput, kOther, kOutput, 0));
  loop(state, g,
       std::array<xnn_external_value, 3>{
           {{kInput, a.get()}, {kOther, b.get()}, {kOutput, y.get()}}});
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
