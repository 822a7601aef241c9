// SPDX-License-Identifier: Apache-2.0
// XNNPACK's int8 operators, each as a graph of one node.
#ifndef FIRN_BENCH_XNN_CONV_H_
#define FIRN_BENCH_XNN_CONV_H_

#include <xnnpack.h>

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "bench/conv_layer.h"

namespace firn::bench {

inline constexpr uint32_t kInput = 0, kOther = 1, kOutput = 2;

inline size_t sz(int32_t v) {
  return static_cast<size_t>(v);
}
inline uint32_t u32(int32_t v) {
  return static_cast<uint32_t>(v);
}

// A graph of one node.
class XnnGraph {
 public:
  XnnGraph() { keep(xnn_initialize(nullptr)), keep(xnn_create_subgraph(3, 0, &graph_)); }
  ~XnnGraph() { xnn_delete_runtime(runtime_), xnn_delete_subgraph(graph_); }
  XnnGraph(const XnnGraph&) = delete;
  XnnGraph& operator=(const XnnGraph&) = delete;

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

// The layer with weights quantized per channel, all of it at each call.
class XnnConv {
 public:
  explicit XnnConv(const Layer& layer) {
    const kernels::ConvShape s = layer.shape();
    const std::array in = {size_t{1}, sz(s.in_h), sz(s.in_w), sz(s.groups * s.in_c)};
    const std::array out = {size_t{1}, sz(s.out_h), sz(s.out_w), sz(s.groups * s.out_c)};
    const size_t channels = out[3], taps = sz(s.kernel_h * s.kernel_w);
    input_ = filled<int8_t>(in[1] * in[2] * in[3]);
    output_ = filled<int8_t>(out[1] * out[2] * channels);
    weights_ = filled<int8_t>(channels * taps * sz(s.in_c));
    bias_.resize(channels);
    weight_scale_.assign(channels, 0.01f);
    bias_scale_.assign(channels, 0.001f);
    XnnGraph& g = graph_;
    g.external(kInput, 0.1f, in);
    g.external(kOutput, 1.0f, out);
    const uint32_t b =
        g.weights(xnn_datatype_qcint32, bias_scale_, 0, std::array{channels}, bias_.data());
    const uint32_t bottom = u32(std::max(0, (s.out_h - 1) * s.stride_h + s.kernel_h - s.in_h) -
                                s.pad_top),
                   right = u32(std::max(0, (s.out_w - 1) * s.stride_w + s.kernel_w - s.in_w) -
                               s.pad_left);
    if (layer.depthwise()) {
      const std::array dims = {size_t{1}, sz(s.kernel_h), sz(s.kernel_w), channels};
      const uint32_t w = g.weights(xnn_datatype_qcint8, weight_scale_, 3, dims, weights_.get());
      if (g.ok())
        g.keep(xnn_define_depthwise_convolution_2d(
            g.graph(), u32(s.pad_top), right, bottom, u32(s.pad_left), u32(s.kernel_h),
            u32(s.kernel_w), u32(s.stride_h), u32(s.stride_w), 1, 1, 1, channels, -INFINITY,
            INFINITY, kInput, w, b, kOutput, 0));
    } else {
      const std::array dims = {channels, sz(s.kernel_h), sz(s.kernel_w), sz(s.in_c)};
      const uint32_t w = g.weights(xnn_datatype_qcint8, weight_scale_, 0, dims, weights_.get());
      if (g.ok())
        g.keep(xnn_define_convolution_2d(g.graph(), u32(s.pad_top), right, bottom, u32(s.pad_left),
                                         u32(s.kernel_h), u32(s.kernel_w), u32(s.stride_h),
                                         u32(s.stride_w), 1, 1, 1, sz(s.in_c), channels, -INFINITY,
                                         INFINITY, kInput, w, b, kOutput, 0));
    }
    const std::array<xnn_external_value, 2> values{
        {{kInput, input_.get()}, {kOutput, output_.get()}}};
    ok_ = g.bind(values);
  }
  // False where this XNNPACK cannot.
  bool operator()() { return ok_ && graph_.invoke(); }

 private:
  Aligned<int8_t> input_, output_, weights_;
  std::vector<int32_t> bias_;
  std::vector<float> weight_scale_, bias_scale_;
  XnnGraph graph_;
  bool ok_ = false;
};

}  // namespace firn::bench

#endif  // FIRN_BENCH_XNN_CONV_H_
