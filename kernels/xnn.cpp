// SPDX-License-Identifier: Apache-2.0
// The one door to XNNPACK.
#include "kernels/xnn.h"

#include <xnnpack.h>

#include <algorithm>
#include <cmath>
#include <new>

namespace firn::kernels {
namespace {

constexpr uint32_t kNone = XNN_INVALID_VALUE_ID;

// Threads gain nothing on less.
constexpr double kWorthThreadsNs = 8000;
// Of one thread, roughly.
constexpr double kMacsPerNs = 60, kElementsPerNs = 4;

size_t sz(int32_t v) {
  return static_cast<size_t>(v);
}
uint32_t u32(int32_t v) {
  return static_cast<uint32_t>(v);
}

std::array<size_t, 4> in_dims(const ConvShape& s) {
  return {sz(s.batch), sz(s.in_h), sz(s.in_w), sz(s.groups) * sz(s.in_c)};
}

std::array<size_t, 4> out_dims(const ConvShape& s) {
  return {sz(s.batch), sz(s.out_h), sz(s.out_w), sz(s.groups) * sz(s.out_c)};
}

double elements_ns(std::span<const size_t> dims, double per_ns = kElementsPerNs) {
  double ns = 1 / per_ns;
  for (const size_t n : dims) ns *= static_cast<double>(n);
  return ns;
}

double elements_ns(std::initializer_list<size_t> dims) {
  return elements_ns(std::span(dims.begin(), dims.size()));
}

// A window of simple work for each element of the output.
double window_ns(const ConvShape& s) {
  return elements_ns(out_dims(s)) * s.kernel_h * s.kernel_w;
}

double product_ns(double rows, double k, double n) {
  return rows * k * n / kMacsPerNs;
}

double conv_ns(const ConvShape& s) {
  if (s.in_c == 1 && s.groups > 1) return window_ns(s);
  const double pixels = double{1} * s.batch * s.out_h * s.out_w * s.groups;
  return product_ns(pixels, double{1} * s.kernel_h * s.kernel_w * s.in_c, s.out_c);
}

double conv_transpose_ns(const ConvShape& s) {
  const double pixels = double{1} * s.batch * s.in_h * s.in_w * s.groups;
  return product_ns(pixels, double{1} * s.kernel_h * s.kernel_w * s.in_c, s.out_c);
}

}  // namespace

// A subgraph of one node: inputs are external values 0, 1, ..., the output is the last external
// one.
class XnnOp::Builder {
 public:
  // `ns`: what it takes one thread, roughly.
  Builder(uint32_t inputs, double ns, const Pool& pool)
      : inputs_(inputs), pool_(ns < kWorthThreadsNs ? nullptr : pool.xnn()) {
    if (xnn_initialize(nullptr) != xnn_status_success) return;
    op_.reset(new (std::nothrow) XnnOp());
    if (op_ != nullptr) keep(xnn_create_subgraph(inputs + 1, 0, &graph_));
  }
  ~Builder() { xnn_delete_subgraph(graph_); }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  void input(uint32_t i, std::span<const size_t> dims) {
    tensor(dims, nullptr, i, XNN_VALUE_FLAG_EXTERNAL_INPUT);
  }
  uint32_t output(std::span<const size_t> dims) {
    return tensor(dims, nullptr, inputs_, XNN_VALUE_FLAG_EXTERNAL_OUTPUT);
  }
  uint32_t constant(std::span<const size_t> dims, const float* data) {
    return data == nullptr ? kNone : tensor(dims, data, kNone, 0);
  }
  // Room for so many floats until the operator is made; null where there is none.
  float* scratch(size_t n) {
    op_->scratch_.reset(new (std::nothrow) float[n]);
    if (op_->scratch_ == nullptr) keep(xnn_status_out_of_memory);
    return op_->scratch_.get();
  }
  xnn_subgraph_t graph() const { return graph_; }
  bool ok() const { return ok_ && op_ != nullptr && graph_ != nullptr; }
  void keep(xnn_status status) {
    ok_ = ok_ && status == xnn_status_success;
    no_memory_ = no_memory_ || status == xnn_status_out_of_memory;
  }

  std::unique_ptr<XnnOp> finish() {
    // Workers spin until the next operator, or Pool::rest().
    if (ok()) keep(xnn_create_runtime_v2(graph_, pool_, 0, &op_->runtime_));
    if (op_ == nullptr) return nullptr;
    op_->scratch_ = nullptr;  // packed by now
    op_->threads_ = pool_ != nullptr;
    return ok() || no_memory_ ? std::move(op_) : nullptr;
  }

 private:
  uint32_t tensor(std::span<const size_t> dims, const float* data, uint32_t external,
                  uint32_t flags) {
    uint32_t id = kNone;
    if (ok())
      keep(xnn_define_tensor_value(graph_, xnn_datatype_fp32, dims.size(), dims.data(), data,
                                   external, flags, &id));
    return id;
  }

  uint32_t inputs_;
  pthreadpool* pool_;
  std::unique_ptr<XnnOp> op_;
  xnn_subgraph_t graph_ = nullptr;
  bool ok_ = true, no_memory_ = false;
};

XnnOp::~XnnOp() {
  xnn_delete_runtime(runtime_);
}

bool XnnOp::run(std::span<const float* const> in, float* out) {
  std::array<const void*, 3> now{};
  std::copy(in.begin(), in.end(), now.begin());
  now[in.size()] = out;
  if (now != bound_) {
    std::array<xnn_external_value, 3> values{};
    for (uint32_t i = 0; i <= in.size(); ++i) values[i] = {i, const_cast<void*>(now[i])};
    if (xnn_setup_runtime(runtime_, in.size() + 1, values.data()) != xnn_status_success)
      return false;
    bound_ = now;
  }
  return xnn_invoke_runtime(runtime_) == xnn_status_success;
}

std::unique_ptr<XnnOp> XnnOp::conv2d(const ConvShape& s, int32_t pad_bottom, int32_t pad_right,
                                     const float* weights, const float* bias, Range clamp,
                                     const Pool& pool) {
  Builder b(1, conv_ns(s), pool);
  if (!b.ok()) return b.finish();
  b.input(0, in_dims(s));
  const uint32_t out = b.output(out_dims(s));
  const size_t channels = sz(s.groups) * sz(s.out_c);
  const uint32_t bias_id = b.constant(std::array{channels}, bias);
  if (s.groups > 1 && s.in_c == 1) {
    // Depthwise filters are [1][kernel_h][kernel_w][channels].
    const size_t taps = sz(s.kernel_h) * sz(s.kernel_w);
    float* const filters = b.scratch(taps * channels);
    if (filters == nullptr) return b.finish();
    for (size_t c = 0; c < channels; ++c)
      for (size_t t = 0; t < taps; ++t) filters[t * channels + c] = weights[c * taps + t];
    const uint32_t w =
        b.constant(std::array{size_t{1}, sz(s.kernel_h), sz(s.kernel_w), channels}, filters);
    if (b.ok())
      b.keep(xnn_define_depthwise_convolution_2d(
          b.graph(), u32(s.pad_top), u32(pad_right), u32(pad_bottom), u32(s.pad_left),
          u32(s.kernel_h), u32(s.kernel_w), u32(s.stride_h), u32(s.stride_w), u32(s.dilation_h),
          u32(s.dilation_w), u32(s.out_c), sz(s.groups), clamp.lo, clamp.hi, 0, w, bias_id, out,
          0));
  } else {
    const uint32_t w =
        b.constant(std::array{channels, sz(s.kernel_h), sz(s.kernel_w), sz(s.in_c)}, weights);
    if (b.ok())
      b.keep(xnn_define_convolution_2d(b.graph(), u32(s.pad_top), u32(pad_right), u32(pad_bottom),
                                       u32(s.pad_left), u32(s.kernel_h), u32(s.kernel_w),
                                       u32(s.stride_h), u32(s.stride_w), u32(s.dilation_h),
                                       u32(s.dilation_w), u32(s.groups), sz(s.in_c), sz(s.out_c),
                                       clamp.lo, clamp.hi, 0, w, bias_id, out, 0));
  }
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::conv_transpose2d(const ConvShape& s, int32_t pad_bottom,
                                               int32_t pad_right, int32_t adjust_h,
                                               int32_t adjust_w, const float* weights,
                                               const float* bias, Range clamp, const Pool& pool) {
  Builder b(1, conv_transpose_ns(s), pool);
  if (!b.ok()) return b.finish();
  b.input(0, in_dims(s));
  const uint32_t out = b.output(out_dims(s));
  const size_t channels = sz(s.groups) * sz(s.out_c);
  const uint32_t bias_id = b.constant(std::array{channels}, bias);
  const uint32_t w =
      b.constant(std::array{channels, sz(s.kernel_h), sz(s.kernel_w), sz(s.in_c)}, weights);
  if (b.ok())
    b.keep(xnn_define_deconvolution_2d(
        b.graph(), u32(s.pad_top), u32(pad_right), u32(pad_bottom), u32(s.pad_left), u32(adjust_h),
        u32(adjust_w), u32(s.kernel_h), u32(s.kernel_w), u32(s.stride_h), u32(s.stride_w),
        u32(s.dilation_h), u32(s.dilation_w), u32(s.groups), sz(s.in_c), sz(s.out_c), clamp.lo,
        clamp.hi, 0, w, bias_id, out, 0));
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::dense(size_t rows, size_t k, size_t n, const float* weights,
                                    const float* bias, Range clamp, const Pool& pool) {
  Builder b(1, elements_ns(std::array{rows, k, n}, kMacsPerNs), pool);
  if (!b.ok()) return b.finish();
  b.input(0, std::array{rows, k});
  const uint32_t out = b.output(std::array{rows, n});
  const uint32_t w = b.constant(std::array{n, k}, weights);
  const uint32_t bias_id = b.constant(std::array{n}, bias);
  if (b.ok())
    b.keep(xnn_define_fully_connected(b.graph(), clamp.lo, clamp.hi, 0, w, bias_id, out, 0));
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::max_pool(const ConvShape& s, int32_t pad_bottom, int32_t pad_right,
                                       const Pool& pool) {
  Builder b(1, window_ns(s), pool);
  if (!b.ok()) return b.finish();
  b.input(0, in_dims(s));
  const uint32_t out = b.output(out_dims(s));
  if (b.ok())
    b.keep(xnn_define_max_pooling_2d(b.graph(), u32(s.pad_top), u32(pad_right), u32(pad_bottom),
                                     u32(s.pad_left), u32(s.kernel_h), u32(s.kernel_w),
                                     u32(s.stride_h), u32(s.stride_w), u32(s.dilation_h),
                                     u32(s.dilation_w), -INFINITY, INFINITY, 0, out, 0));
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::average_pool(const ConvShape& s, int32_t pad_bottom,
                                           int32_t pad_right, const Pool& pool) {
  Builder b(1, window_ns(s), pool);
  if (!b.ok()) return b.finish();
  b.input(0, in_dims(s));
  const uint32_t out = b.output(out_dims(s));
  if (b.ok())
    b.keep(xnn_define_average_pooling_2d(b.graph(), u32(s.pad_top), u32(pad_right), u32(pad_bottom),
                                         u32(s.pad_left), u32(s.kernel_h), u32(s.kernel_w),
                                         u32(s.stride_h), u32(s.stride_w), -INFINITY, INFINITY, 0,
                                         out, 0));
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::global_average_pool(size_t batch, size_t pixels, size_t c,
                                                  const Pool& pool) {
  Builder b(1, elements_ns({batch, pixels, c}), pool);
  if (!b.ok()) return b.finish();
  b.input(0, std::array{batch, pixels, size_t{1}, c});
  const uint32_t out = b.output(std::array{batch, size_t{1}, size_t{1}, c});
  if (b.ok())
    b.keep(xnn_define_global_average_pooling_2d(b.graph(), -INFINITY, INFINITY, 0, out, 0));
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::binary(Binary kind, std::span<const size_t> a_dims,
                                     std::span<const size_t> b_dims,
                                     std::span<const size_t> out_dims, Range clamp,
                                     const Pool& pool) {
  Builder b(2, elements_ns(out_dims), pool);
  if (!b.ok()) return b.finish();
  b.input(0, a_dims);
  b.input(1, b_dims);
  const uint32_t out = b.output(out_dims);
  if (!b.ok()) return b.finish();
  const bool clamped = clamp.lo != -INFINITY || clamp.hi != INFINITY;
  switch (kind) {
    case Binary::add:
      b.keep(xnn_define_add2(b.graph(), clamp.lo, clamp.hi, 0, 1, out, 0));
      break;
    case Binary::sub:
      b.keep(xnn_define_subtract(b.graph(), clamp.lo, clamp.hi, 0, 1, out, 0));
      break;
    case Binary::mul:
      b.keep(xnn_define_multiply2(b.graph(), clamp.lo, clamp.hi, 0, 1, out, 0));
      break;
    case Binary::div:
      b.keep(xnn_define_divide(b.graph(), clamp.lo, clamp.hi, 0, 1, out, 0));
      break;
    case Binary::max:
      if (clamped) return nullptr;
      b.keep(xnn_define_maximum2(b.graph(), 0, 1, out, 0));
      break;
    case Binary::min:
      if (clamped) return nullptr;
      b.keep(xnn_define_minimum2(b.graph(), 0, 1, out, 0));
      break;
  }
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::unary(Unary kind, size_t n, float alpha, Range clamp,
                                    const Pool& pool) {
  Builder b(1, elements_ns({n}), pool);
  if (!b.ok()) return b.finish();
  const std::array<size_t, 2> dims{n, 1};
  b.input(0, dims);
  const uint32_t out = b.output(dims);
  if (!b.ok()) return b.finish();
  xnn_subgraph_t g = b.graph();
  switch (kind) {
    case Unary::clamp:
      b.keep(xnn_define_clamp(g, clamp.lo, clamp.hi, 0, out, 0));
      break;
    case Unary::sigmoid:
      b.keep(xnn_define_sigmoid(g, 0, out, 0));
      break;
    case Unary::hard_swish:
      b.keep(xnn_define_hardswish(g, 0, out, 0));
      break;
    case Unary::elu:
      b.keep(xnn_define_elu(g, alpha, 0, out, 0));
      break;
    case Unary::leaky_relu:
      b.keep(xnn_define_leaky_relu(g, alpha, 0, out, 0));
      break;
    case Unary::abs:
      b.keep(xnn_define_abs(g, 0, out, 0));
      break;
    case Unary::neg:
      b.keep(xnn_define_negate(g, 0, out, 0));
      break;
    case Unary::floor:
      b.keep(xnn_define_floor(g, 0, out, 0));
      break;
    case Unary::ceil:
      b.keep(xnn_define_ceiling(g, 0, out, 0));
      break;
    case Unary::round:
      b.keep(xnn_define_bankers_rounding(g, 0, out, 0));
      break;
    case Unary::square:
      b.keep(xnn_define_square(g, 0, out, 0));
      break;
    case Unary::sqrt:
      b.keep(xnn_define_square_root(g, 0, out, 0));
      break;
  }
  return b.finish();
}

std::unique_ptr<XnnOp> XnnOp::resize_bilinear(const ConvShape& s, bool align_corners,
                                              const Pool& pool) {
  Builder b(1, window_ns(s), pool);
  if (!b.ok()) return b.finish();
  b.input(0, in_dims(s));
  const uint32_t out = b.output(out_dims(s));
  if (b.ok())
    b.keep(xnn_define_static_resize_bilinear_2d(b.graph(), sz(s.out_h), sz(s.out_w), 0, out,
                                                align_corners ? XNN_FLAG_ALIGN_CORNERS : 0));
  return b.finish();
}

}  // namespace firn::kernels
