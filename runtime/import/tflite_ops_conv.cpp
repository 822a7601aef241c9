// SPDX-License-Identifier: Apache-2.0
// Convolutions: plain and grouped, depthwise, transposed.
#include "runtime/import/tflite_layer.h"
#include "runtime/import/tflite_ops.h"
#include "runtime/import/tflite_window.h"

namespace firn::tflite {
namespace {

Status expect_filter(const Context& c, ValueId w) {
  if (c.rank(w) == 4) return {};
  return c.malformed("its weights are " + to_string(c.shape(w)) + ", expected 4 dimensions");
}

// Groups follow from how many input channels a filter reads.
Status conv(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::Conv2DOptions>(wire::BuiltinOptions::Conv2D));
  FIRN_ASSIGN(const LayerInputs in, layer_inputs(c, 0, 1, 2, true));
  FIRN_TRY(expect_image(c, in.x));
  FIRN_TRY(expect_filter(c, in.w));
  const Shape& w = c.shape(in.w);
  WindowOptions window = window_options(*options, {w[1], w[2]});
  window.dilation = {options->dilation_h(), options->dilation_w()};
  Conv2d op;
  FIRN_ASSIGN(op.window, window_over(c, in.x, window));
  const int32_t channels = c.shape(in.x)[3];
  if (channels > 0 && w[3] > 0) {
    if (channels % w[3] != 0) {
      return c.malformed("weights of " + std::to_string(w[3]) + " channels, input has " +
                         std::to_string(channels));
    }
    op.groups = channels / w[3];
  }
  return c.bind(emit_layer(c, op, in, options->activation()));
}

// Weights [1, H, W, channels * multiplier].
Status depthwise_conv(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::DepthwiseConv2DOptions>(wire::BuiltinOptions::DepthwiseConv2D));
  FIRN_ASSIGN(const ValueId file_weights, c.input(1));
  FIRN_TRY(expect_filter(c, file_weights));
  const Shape w = c.shape(file_weights);
  if (w[0] != 1) return c.malformed("its weights are " + to_string(w) + ", expected 1 first");
  FIRN_ASSIGN(const LayerInputs in, layer_inputs(c, 0, 1, 2, true, {3, 1, 2, 0}));
  FIRN_TRY(expect_image(c, in.x));
  WindowOptions window = window_options(*options, {w[1], w[2]});
  window.dilation = {options->dilation_h(), options->dilation_w()};
  Conv2d op;
  FIRN_ASSIGN(op.window, window_over(c, in.x, window));
  op.groups = c.shape(in.x)[3];
  if (op.groups < 1 || w[3] % op.groups != 0) {
    return c.malformed("weights of " + std::to_string(w[3]) + " channels, input has " +
                       std::to_string(op.groups));
  }
  return c.bind(emit_layer(c, op, in, options->activation()));
}

// The stated output size tells how much of the spread-out input is cropped, or added behind.
Status transpose_conv(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::TransposeConvOptions>(wire::BuiltinOptions::TransposeConv));
  FIRN_ASSIGN(const std::vector<int64_t> size, c.ints(0));
  FIRN_ASSIGN(const LayerInputs in, layer_inputs(c, 2, 1, 3, false));
  FIRN_TRY(expect_image(c, in.x));
  FIRN_TRY(expect_filter(c, in.w));
  if (size.size() != 4) return c.malformed("its output shape has not 4 dimensions");
  const Shape& x = c.shape(in.x);
  const Shape& w = c.shape(in.w);
  ConvTranspose2d op;
  op.window.kernel = {w[1], w[2]};
  op.window.stride = {options->stride_h(), options->stride_w()};
  for (size_t a = 0; a < 2; ++a) {
    const int64_t in_size = x[static_cast<int>(a) + 1], kernel = op.window.kernel[a],
                  stride = op.window.stride[a], out = size[a + 1];
    if (stride < 1 || kernel < 1) {
      return c.malformed("a stride of " + std::to_string(stride) + ", a window of " +
                         std::to_string(kernel));
    }
    if (in_size < 1) return c.unsupported("an open or empty dimension");
    const int64_t full = (in_size - 1) * stride + kernel;
    const bool same = options->padding() == wire::Padding::same;
    const int64_t crop = same ? std::max<int64_t>(0, full - out) : 0;
    if (out < 1 || crop > kernel || out > full + stride) {
      return c.malformed("an output size of " + std::to_string(out) + " from " +
                         std::to_string(in_size) + " pixels, stride " + std::to_string(stride) +
                         " and window " + std::to_string(kernel));
    }
    op.window.pad[a] = static_cast<int32_t>(crop / 2);
    op.window.pad[a + 2] = static_cast<int32_t>(full - out - crop / 2);
    if (full < out) {
      op.window.pad[a + 2] = 0;
      op.output_pad[a] = static_cast<int32_t>(out - full);
    }
  }
  return c.bind(emit_layer(c, op, in, options->activation()));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::CONV_2D, conv},
    {wire::BuiltinOperator::DEPTHWISE_CONV_2D, depthwise_conv},
    {wire::BuiltinOperator::TRANSPOSE_CONV, transpose_conv},
};

}  // namespace

std::span<const Operator> conv_operators() {
  return kOperators;
}

}  // namespace firn::tflite
