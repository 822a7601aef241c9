// SPDX-License-Identifier: Apache-2.0
// Convolutions and transposed convolutions.
#include <algorithm>

#include "runtime/import/onnx_conv_3d.h"
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

// The spatial dimensions of weights [., ., spatial...]; they have to be known.
Result<std::vector<int32_t>> kernel_of(const Context& c, ValueId w, int rank) {
  const Shape& shape = c.shape(w);
  if (rank < 3) {
    return c.malformed("the input has rank " + std::to_string(rank) + ", expected 3 to 5");
  }
  if (shape.rank != rank) {
    return c.malformed("weights are " + to_string(shape) + ", the input has rank " +
                       std::to_string(rank));
  }
  std::vector<int32_t> kernel(shape.dims().begin() + 2, shape.dims().end());
  if (!shape.known()) return c.unsupported("the weights' shape is open: " + to_string(shape));
  return kernel;
}

// Weights [O,I,W] as [O,I,1,W].
Result<ValueId> as_image_filter(Context& c, ValueId w) {
  if (c.rank(w) == 4) return w;
  return c.reshape("filter", w,
                   {TargetDim::copy(0), TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)});
}

Status conv(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId w, c.input(1));
  return c.bind(emit_conv(c, x, w, c.optional_input(2)));
}

// Pads and output padding of a ConvTranspose from output_shape or SAME_*; both fix the output size,
// and padding is what takes the full result down to it.
Status resolve_output(Context& c, ValueId x, const std::vector<int64_t>& output_shape,
                      WindowAttributes& attributes, ConvTranspose2d& op) {
  const Window& window = attributes.window;
  for (size_t a = 2 - static_cast<size_t>(attributes.dims); a < 2; ++a) {
    const int64_t size = c.shape(x)[c.rank(x) - 2 + static_cast<int>(a)];
    const int64_t stride = window.stride[a];
    const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
    int64_t total = 0;
    if (output_shape.empty()) {  // size * stride, whatever the size is
      total = reach + op.output_pad[a] - stride;
    } else if (size < 0) {
      return c.unsupported("output_shape needs the size of input '" + c.builder.value(x).name +
                           "', which is " + to_string(c.shape(x)));
    } else {
      total = (size - 1) * stride + reach + op.output_pad[a] - output_shape[a];
    }
    if (total < 0) {  // nothing to take away: rows are missing at the end
      FIRN_ASSIGN(op.output_pad[a], to_int32(c, "output padding", op.output_pad[a] - total));
      total = 0;
    }
    FIRN_TRY(to_int32(c, "padding", total).status());
    split_padding(attributes, a, total);
  }
  return {};
}

Status conv_transpose(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(ValueId w, c.input(1));
  const int rank = c.rank(x);
  if (rank == 5) return c.bind(conv_transpose_3d(c, x, w, c.optional_input(2)));
  FIRN_ASSIGN(const std::vector<int32_t> kernel, kernel_of(c, w, rank));
  FIRN_ASSIGN(WindowAttributes attributes, read_window(c, rank, kernel));
  FIRN_ASSIGN(const int64_t group, c.attr("group", int64_t{1}));
  FIRN_ASSIGN(std::vector<int64_t> output_padding, c.attr_ints("output_padding"));
  FIRN_ASSIGN(std::vector<int64_t> output_shape, c.attr_ints("output_shape"));
  const size_t dims = static_cast<size_t>(attributes.dims);
  if (output_shape.size() == dims + 2)
    output_shape.erase(output_shape.begin(), output_shape.begin() + 2);
  for (const auto* list : {&output_padding, &output_shape}) {
    if (!list->empty() && list->size() != dims) {
      return c.malformed("output_padding and output_shape have one entry per spatial dimension");
    }
  }
  output_padding = two_dims(std::move(output_padding), 0);
  output_shape = two_dims(std::move(output_shape), 1);

  ConvTranspose2d op;
  FIRN_ASSIGN(op.groups, to_int32(c, "group", group));
  for (size_t a = 0; a < output_padding.size(); ++a) {
    FIRN_ASSIGN(op.output_pad[a], to_int32(c, "output_padding", output_padding[a]));
  }
  if (attributes.same || !output_shape.empty()) {
    // Without SAME_UPPER, the standard puts the odd row of padding first.
    if (!attributes.same) attributes.same_lower = true;
    FIRN_TRY(resolve_output(c, x, output_shape, attributes, op));
  }
  op.window = attributes.window;
  FIRN_ASSIGN(w, as_image_filter(c, w));
  FIRN_ASSIGN(w, transposed_filter(c, w, op.groups));
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc, w, c.optional_input(2)}));
  return c.bind(from_nhwc(c, y, rank));
}

constexpr Operator kOperators[] = {
    {"Conv", conv},
    {"ConvTranspose", conv_transpose},
};

}  // namespace

Result<ValueId> emit_conv(Context& c, ValueId x, ValueId w, ValueId bias) {
  const int rank = c.rank(x);
  if (rank == 5) return conv_3d(c, x, w, bias);
  FIRN_ASSIGN(const std::vector<int32_t> kernel, kernel_of(c, w, rank));
  FIRN_ASSIGN(WindowAttributes attributes, read_window(c, rank, kernel));
  FIRN_TRY(resolve_same(c, x, attributes));
  FIRN_ASSIGN(const int64_t group, c.attr("group", int64_t{1}));
  Conv2d op;
  op.window = attributes.window;
  FIRN_ASSIGN(op.groups, to_int32(c, "group", group));
  FIRN_ASSIGN(w, as_image_filter(c, w));
  FIRN_ASSIGN(w, c.transpose("weights", w, {0, 2, 3, 1}));
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc, w, bias}));
  return from_nhwc(c, y, rank);
}

Result<ValueId> transposed_filter(Context& c, ValueId w, int32_t groups) {
  const Shape shape = c.shape(w);
  if (groups == 1) return c.transpose("weights", w, {1, 2, 3, 0});
  if (groups < 1 || shape[0] % groups != 0) {
    return c.malformed("weights are " + to_string(shape) + ", groups " + std::to_string(groups));
  }
  const auto of = [](int64_t number) { return TargetDim::of(number); };
  FIRN_ASSIGN(
      w, c.reshape("grouped", w,
                   {of(groups), of(shape[0] / groups), of(shape[1]), of(shape[2]), of(shape[3])}));
  FIRN_ASSIGN(w, c.transpose("grouped_weights", w, {0, 2, 3, 4, 1}));
  const int64_t outputs = int64_t{shape[1]} * groups;
  FIRN_TRY(to_int32(c, "the number of output channels", outputs).status());
  return c.reshape("weights", w, {of(outputs), of(shape[2]), of(shape[3]), of(shape[0] / groups)});
}

std::span<const Operator> conv_operators() {
  return kOperators;
}

}  // namespace firn::onnx
