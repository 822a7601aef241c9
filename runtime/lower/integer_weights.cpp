// SPDX-License-Identifier: Apache-2.0
// Convolutions and fully connected layers whose weights stay in few bits: rows of activations are
// gathered, quantized and multiplied in integers.
#include <algorithm>
#include <cstring>

#include "runtime/lower/lower.h"
#include "runtime/lower/weight_product.h"
#include "runtime/packed.h"

namespace firn {
namespace {

using kernels::ConvShape;
using Products = std::vector<std::unique_ptr<WeightProduct>>;  // one a group

bool floats_around(const LowerContext& context, const Node& node) {
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  return context.integer_weights && is_plain(context.value(node.in[0]), DType::f32) &&
         is_plain(context.value(node.out[0]), DType::f32) &&
         (!biased || (context.graph.is_constant(node.in[2]) &&
                      is_plain(context.value(node.in[2]), DType::f32)));
}

// Of `columns`, that is the weights of one group, and of those behind it.
Result<Products> make_products(const LowerContext& context, const Node& node, WeightColumns columns,
                               size_t groups, const Clamp& clamp, size_t rows) {
  const Value& weights = context.value(node.in[1]);
  std::span<const float> bias;
  if (node.in.size() > 2 && node.in[2] != ValueId::none)
    bias = context.value(node.in[2]).as<float>();
  Products products;
  for (size_t g = 0; g < groups; ++g, columns.first += columns.n) {
    FIRN_ASSIGN(auto made,
                WeightProduct::create(
                    weights, columns, bias.empty() ? bias : bias.subspan(columns.first, columns.n),
                    clamp.lo, clamp.hi, rows, kernels::pick(kernels::gemm_wn_table(), context.isa),
                    context.pool.threads()));
    products.push_back(std::move(made));
  }
  context.release(node.in[1]);
  return products;
}

// gather(x, group) gives what WeightProduct::run() takes.
template <typename Gather>
void push_products(const LowerContext& context, const Node& node, Products products, size_t rows,
                   size_t columns, ptrdiff_t y_stride, const Gather& gather,
                   std::vector<LoweredStep>& steps) {
  size_t bytes = 0, scratch = 0;
  double ns = 0;
  for (const auto& product : products) {
    bytes += product->weight_bytes();
    scratch += product->scratch_bytes();
    ns += product->nanoseconds(rows);
  }
  const char* kernel = products[0]->kernel_name();
  const ValueId x = node.in[0], y = node.out[0];
  LoweredStep lowered = describe_step(
      context, node, make_step([=, products = std::move(products)](const Frame& frame) -> Status {
        for (size_t g = 0; g < products.size(); ++g)
          products[g]->run(rows, gather(frame.at<const float>(x), g),
                           frame.at<float>(y) + g * columns, y_stride, frame.pool);
        return {};
      }),
      kernel);
  lowered.reads = {x};
  lowered.exact_reads = true;
  lowered.weight_bytes = bytes;
  lowered.scratch_bytes = scratch;
  lowered.shared_ns = ns;
  steps.push_back(std::move(lowered));
}

// What the sum of an output pixel reads, in the filter's order.
struct Patch {
  ConvShape s;

  const float* operator()(const float* x, size_t group, size_t row, float* buffer) const {
    const auto at = static_cast<int32_t>(row);
    const int32_t ox = at % s.out_w, oy = at / s.out_w % s.out_h, n = at / s.out_w / s.out_h;
    const auto channels = static_cast<size_t>(s.in_c);
    const int32_t left = ox * s.stride_w - s.pad_left;
    float* to = buffer;
    for (int32_t ky = 0; ky < s.kernel_h; ++ky) {
      const int32_t iy = oy * s.stride_h - s.pad_top + ky * s.dilation_h;
      const bool inside = iy >= 0 && iy < s.in_h;
      const float* line = x +
                          (static_cast<size_t>(n * s.in_h + (inside ? iy : 0)) *
                           static_cast<size_t>(s.in_w * s.in_pixel_stride)) +
                          group * channels;
      for (int32_t kx = 0; kx < s.kernel_w; ++kx, to += channels) {
        const int32_t ix = left + kx * s.dilation_w;
        if (inside && ix >= 0 && ix < s.in_w)
          std::copy_n(line + static_cast<size_t>(ix * s.in_pixel_stride), channels, to);
        else
          std::fill_n(to, channels, 0.0f);
      }
    }
    return buffer;
  }
};

}  // namespace

Lowered lower_dense_in_integers(const LowerContext& context, const Node& node, const Dense& op,
                                std::vector<LoweredStep>& steps) {
  const Value& w = context.value(node.in[1]);
  const WeightColumns columns{0, static_cast<size_t>(w.shape[0]), static_cast<size_t>(w.shape[1])};
  if (!floats_around(context, node) || !takes_integer_product(w, columns)) return false;
  const size_t rows = context.value(node.in[0]).shape.elements() / columns.k;
  FIRN_ASSIGN(Products products, make_products(context, node, columns, 1, op.clamp, rows));
  const auto gather = [k = columns.k](const float* x, size_t) {
    return [=](size_t row, float*) { return x + row * k; };
  };
  push_products(context, node, std::move(products), rows, columns.n,
                static_cast<ptrdiff_t>(columns.n), gather, steps);
  return true;
}

Lowered lower_conv_in_integers(const LowerContext& context, const Node& node, const Conv2d& op,
                               std::vector<LoweredStep>& steps) {
  const ConvShape s = window_shape(context, op.window, op.groups, node.in[0], node.out[0]);
  const auto pixel_columns = static_cast<size_t>(s.out_c);
  const WeightColumns columns{
      0, pixel_columns, static_cast<size_t>(s.kernel_h * s.kernel_w) * static_cast<size_t>(s.in_c)};
  if (!floats_around(context, node) || !takes_integer_product(context.value(node.in[1]), columns))
    return false;
  const size_t rows =
      static_cast<size_t>(s.batch) * static_cast<size_t>(s.out_h) * static_cast<size_t>(s.out_w);
  FIRN_ASSIGN(Products products,
              make_products(context, node, columns, static_cast<size_t>(s.groups), op.clamp, rows));
  const auto y_stride = static_cast<ptrdiff_t>(s.out_pixel_stride);
  const bool pixels = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                      s.pad_top == 0 && s.pad_left == 0 && s.in_h == s.out_h && s.in_w == s.out_w;
  if (pixels) {
    const auto gather = [step = static_cast<size_t>(s.in_pixel_stride), k = columns.k](
                            const float* x, size_t group) {
      return [=](size_t row, float*) { return x + row * step + group * k; };
    };
    push_products(context, node, std::move(products), rows, columns.n, y_stride, gather, steps);
  } else {
    const auto gather = [patch = Patch{s}](const float* x, size_t group) {
      return [=](size_t row, float* buffer) { return patch(x, group, row, buffer); };
    };
    push_products(context, node, std::move(products), rows, columns.n, y_stride, gather, steps);
  }
  return true;
}

}  // namespace firn
