// SPDX-License-Identifier: Apache-2.0
// Convolutions and transposed convolutions over one or two spatial dimensions.
#include <algorithm>
#include <limits>

#include "runtime/import/ncnn_int8.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

// Canonical filters [O,KH,KW,I] of stored ones [O,I,KH,KW].
const std::vector<int32_t> kFilterOrder{0, 2, 3, 1};

// What the parameters say of the filters, before the weights are read.
struct Filters {
  int32_t outputs = 0, groups = 1;
  Shape shape;        // [O, I / groups, KH, KW]
  size_t inputs = 0;  // of one sum
};

Result<Filters> read_filters(const Context& c, const Window& window, bool grouped) {
  Filters filters;
  FIRN_ASSIGN(filters.outputs, c.at_least(1, 0, "the number of outputs", 0));
  FIRN_ASSIGN(const int64_t size, c.at_least(1, 6, "the number of weights", 0));
  if (grouped) {
    FIRN_ASSIGN(filters.groups, c.at_least(1, 7, "the number of groups", 1));
  }
  const int64_t taps = int64_t{window.kernel[0]} * window.kernel[1];
  // Each is below 2^31, of which three need not fit 64 bits.
  const int64_t inputs = taps > size ? 0 : size / (taps * filters.outputs);
  if (inputs < 1 || inputs * taps * filters.outputs != size) {
    return c.malformed(std::to_string(size) + " weights for " + std::to_string(filters.outputs) +
                       " outputs of " + std::to_string(window.kernel[0]) + "x" +
                       std::to_string(window.kernel[1]));
  }
  filters.shape = {filters.outputs, static_cast<int32_t>(inputs), window.kernel[0],
                   window.kernel[1]};
  filters.inputs = static_cast<size_t>(inputs * taps);
  return filters;
}

Result<ValueId> read_bias(Context& c, int32_t outputs) {
  FIRN_ASSIGN(const bool has_bias, c.flag(5, false));
  if (!has_bias) return ValueId::none;
  return c.weight("bias", {outputs}, Spread::of_biases());
}

// Weights that another layer computes: a blob [O,I,KH,KW] (in one dimension [O,I,KW]), and a bias.
struct Operands {
  ValueId weights = ValueId::none, bias = ValueId::none;
};

Result<Operands> dynamic_operands(Context& c, int dims, bool grouped,
                                  std::array<int32_t, 2>& kernel, int32_t& groups) {
  FIRN_ASSIGN(const bool has_bias, c.flag(5, false));
  FIRN_TRY(c.expect_inputs(has_bias ? 3 : 2, has_bias ? 3 : 2));
  FIRN_TRY(c.expect_param(8, "int8_scale_term with dynamic weights", 0));
  if (grouped) {
    FIRN_ASSIGN(groups, c.at_least(1, 7, "the number of groups", 1));
  }
  Operands operands;
  FIRN_ASSIGN(const ValueId w, c.input(1));
  FIRN_TRY(c.expect_dims(w, dims + 2, dims + 2));
  std::vector<TargetDim> to{TargetDim::copy(1), TargetDim::copy(2)};
  if (dims == 1) to.push_back(TargetDim::of(1));
  for (int d = 3; d < c.rank(w); ++d) {
    FIRN_ASSIGN(const int32_t size, c.known_dim(w, d));
    kernel[static_cast<size_t>(d - 1 - dims)] = size;
    to.push_back(TargetDim::copy(d));
  }
  FIRN_ASSIGN(operands.weights, c.reshape("filter", w, to));
  FIRN_ASSIGN(operands.weights, c.transpose("weights", operands.weights, kFilterOrder));
  if (!has_bias) return operands;
  FIRN_ASSIGN(const ValueId bias, c.input(2));
  FIRN_ASSIGN(operands.bias, c.reshape("bias", bias, {TargetDim::rest()}));
  return operands;
}

// The input as [1,h,w,c], and how many dimensions it has. A vector is an image of one pixel, for
// kernels of one.
Result<ValueId> image_of(Context& c, ValueId x, int dims, const Window& window) {
  const bool pixel = window.kernel == std::array<int32_t, 2>{1, 1} && c.dims(x) == 1;
  if (!pixel) FIRN_TRY(c.expect_dims(x, dims + 1, dims + 1));
  return to_nhwc(c, x);
}

Status convolve(Context& c, int dims, bool grouped) {
  FIRN_ASSIGN(const bool dynamic, c.flag(19, false));
  FIRN_ASSIGN(const Activation activation, read_activation(c));
  FIRN_ASSIGN(const ValueId x, c.raw_input());

  Conv2d op;
  op.clamp = activation.clamp();
  Operands operands;
  std::optional<Int8Scales> int8;
  WindowParams params;
  if (dynamic) {
    std::array<int32_t, 2> kernel{1, 1};
    FIRN_ASSIGN(operands, dynamic_operands(c, dims, grouped, kernel, op.groups));
    FIRN_ASSIGN(params, read_window(c, kConvIds, dims, kernel));
  } else {
    FIRN_TRY(c.expect_inputs(1, 1));
    FIRN_ASSIGN(params, read_window(c, kConvIds, dims));
    FIRN_ASSIGN(const Filters filters, read_filters(c, params.window, grouped));
    op.groups = filters.groups;
    FIRN_ASSIGN(Value weights, c.tagged_value(filters.shape, Spread::of_weights(filters.inputs)));
    FIRN_ASSIGN(operands.bias, read_bias(c, filters.outputs));
    if (dims == 2) {
      ScaleCounts counts{.channels = filters.outputs, .inputs = filters.inputs};
      if (grouped) counts.groups = filters.groups;
      FIRN_ASSIGN(int8, read_int8_scales(c, counts));
    }
    if (int8) {
      FIRN_ASSIGN(const Int8Operands quantized,
                  quantize_operands(c, std::move(weights), operands.bias, kFilterOrder, *int8));
      operands = {quantized.weights, quantized.bias};
    } else if (weights.type != DType::f32) {
      return c.malformed("its weights are int8, and it states no scales");
    } else {
      FIRN_ASSIGN(operands.weights, c.add_constant("filters", std::move(weights)));
      FIRN_ASSIGN(operands.weights, c.transpose("weights", operands.weights, kFilterOrder));
    }
  }

  FIRN_ASSIGN(const ValueId source, int8 ? Result<ValueId>(x) : c.input());
  const int blob_dims = c.dims(source);
  FIRN_ASSIGN(ValueId image, image_of(c, source, dims, params.window));
  FIRN_TRY(resolve_same(c, image, params));
  FIRN_ASSIGN(image, pad_ahead(c, image, params));
  op.window = params.window;
  if (int8) {
    FIRN_ASSIGN(image, quantize_input(c, image, int8->bottom));
  }
  const bool quantizes_itself = int8 && activation.is_clamp();
  FIRN_ASSIGN(ValueId y, c.emit("", op, {image, operands.weights, operands.bias},
                                quantizes_itself ? output_quant(*int8) : std::nullopt));
  FIRN_ASSIGN(y, activate(c, y, activation));
  if (int8 && int8->top && !quantizes_itself) {
    FIRN_ASSIGN(y, quantize_input(c, y, *int8->top));
  }
  return c.bind(from_nhwc(c, y, blob_dims));
}

// How much of the full result is cut off on one axis to leave `wanted`, or added where too little.
struct Cut {
  int32_t before = 0, after = 0, added = 0;
};

Result<Cut> cut_to(const Context& c, int64_t full, int64_t wanted, bool lower) {
  const int64_t excess = full - wanted;
  if (std::abs(excess) > std::numeric_limits<int32_t>::max()) {
    return c.malformed("output size " + std::to_string(wanted) + " of " + std::to_string(full));
  }
  if (excess < 0) {
    return c.malformed("output size " + std::to_string(wanted) + ", the result has " +
                       std::to_string(full));
  }
  const auto half = static_cast<int32_t>(excess / 2), rest = static_cast<int32_t>(excess - half);
  return lower ? Cut{rest, half} : Cut{half, rest};
}

// A stated output size decides the padding.
Status resolve_output(const Context& c, ValueId image, int dims, bool lower, ConvTranspose2d& op) {
  std::array<int32_t, 2> wanted{1, 0};
  FIRN_ASSIGN(wanted[1], c.at_least(0, 20, "output width", 0));
  if (dims == 2) {
    FIRN_ASSIGN(wanted[0], c.at_least(0, 21, "output height", wanted[1]));
  }
  if (wanted[0] == 0 || wanted[1] == 0) return {};
  Window& window = op.window;
  for (size_t a = 2 - static_cast<size_t>(dims); a < 2; ++a) {
    FIRN_ASSIGN(const int64_t size, c.known_dim(image, static_cast<int>(a) + 1));
    const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
    const int64_t full = (size - 1) * window.stride[a] + reach + op.output_pad[a];
    FIRN_ASSIGN(const Cut cut, cut_to(c, full, wanted[a], lower));
    window.pad[a] = cut.before;
    window.pad[a + 2] = cut.after;
  }
  return {};
}

Status deconvolve(Context& c, int dims, bool grouped) {
  FIRN_TRY(c.expect_param(28, "dynamic_weight", 0));
  FIRN_TRY(c.expect_param(8, "int8_scale_term", 0));
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const Activation activation, read_activation(c));
  FIRN_ASSIGN(const WindowParams params, read_window(c, kDeconvIds, dims));
  FIRN_ASSIGN(const Filters filters, read_filters(c, params.window, grouped));
  FIRN_ASSIGN(ValueId weights,
              c.tagged_weight("filters", filters.shape, Spread::of_weights(filters.inputs)));
  FIRN_ASSIGN(const ValueId bias, read_bias(c, filters.outputs));

  ConvTranspose2d op;
  op.groups = filters.groups;
  op.window = params.window;
  op.clamp = activation.clamp();
  FIRN_ASSIGN(op.output_pad[1], c.at_least(0, 18, "output padding", 0));
  if (dims == 2) {
    FIRN_ASSIGN(op.output_pad[0], c.at_least(0, 19, "output padding", op.output_pad[1]));
  }
  FIRN_ASSIGN(const ValueId image, image_of(c, x, dims, op.window));
  if (params.same != Same::no) {
    FIRN_TRY(resolve_output(c, image, dims, params.same == Same::lower, op));
  }
  FIRN_ASSIGN(weights, c.transpose("weights", weights, kFilterOrder));
  FIRN_ASSIGN(ValueId y, c.emit("", op, {image, weights, bias}));
  FIRN_ASSIGN(y, activate(c, y, activation));
  return c.bind(from_nhwc(c, y, c.dims(x)));
}

constexpr Operator kOperators[] = {
    {"Convolution", [](Context& c) { return convolve(c, 2, false); }},
    {"Convolution1D", [](Context& c) { return convolve(c, 1, false); }},
    {"ConvolutionDepthWise", [](Context& c) { return convolve(c, 2, true); }},
    {"ConvolutionDepthWise1D", [](Context& c) { return convolve(c, 1, true); }},
    {"Deconvolution", [](Context& c) { return deconvolve(c, 2, false); }},
    {"Deconvolution1D", [](Context& c) { return deconvolve(c, 1, false); }},
    {"DeconvolutionDepthWise", [](Context& c) { return deconvolve(c, 2, true); }},
    {"DeconvolutionDepthWise1D", [](Context& c) { return deconvolve(c, 1, true); }},
};

}  // namespace

std::span<const Operator> conv_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
