// SPDX-License-Identifier: Apache-2.0
// Shape rules of the operators on images: convolutions, pools, resizes and their kin.
#include <cmath>

#include "runtime/geometry.h"
#include "runtime/infer_context.h"

namespace firn {
namespace {

// Taps of a pool's window. Its divisors are tabulated, so they are not to come by the billion.
constexpr int64_t kMaxTaps = int64_t{1} << 24;

Status check_window(const InferContext& c, const Window& window) {
  for (size_t a = 0; a < 2; ++a) {
    const std::string where = a == 0 ? " of rows" : " of columns";
    if (window.kernel[a] < 1)
      return c.malformed("kernel" + where + " is " + std::to_string(window.kernel[a]));
    if (window.stride[a] < 1)
      return c.malformed("stride" + where + " is " + std::to_string(window.stride[a]));
    if (window.dilation[a] < 1)
      return c.malformed("dilation" + where + " is " + std::to_string(window.dilation[a]));
    if (window.pad[a] < 0 || window.pad[a + 2] < 0)
      return c.malformed("padding" + where + " is " + std::to_string(window.pad[a]) + " and " +
                         std::to_string(window.pad[a + 2]));
  }
  return {};
}

// Positions in the padded input are counted in 32 bits.
Status check_reach(const InferContext& c, const Window& window) {
  for (size_t a = 0; a < 2; ++a) {
    const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
    const int64_t padded = int64_t{c.shape(0)[static_cast<int>(a) + 1]} + window.pad[a] +
                           window.pad[a + 2] + window.stride[a];
    FIRN_TRY(c.dimension("the window with its padding", reach + padded).status());
  }
  return {};
}

// Weights [Cout,KH,KW,Cin/groups] that fit input, window and groups; bias that fits them.
Status check_filter(const InferContext& c, const Window& window, int32_t groups) {
  FIRN_TRY(c.expect_inputs(2, 3));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_weights(1));
  for (size_t i = 0; i < 2; ++i) FIRN_TRY(c.expect_rank(i, 4));
  FIRN_TRY(check_window(c, window));
  const Shape& x = c.shape(0);
  const Shape& w = c.shape(1);
  if (w.elements() == 0) return c.malformed("weights are " + to_string(w) + ", none at all");
  if (groups < 1) return c.malformed("groups is " + std::to_string(groups));
  if (int64_t{w[3]} * groups != x[3])
    return c.malformed("weight channels " + std::to_string(int64_t{w[3]} * groups) +
                       ", input has " + std::to_string(x[3]));
  if (w[0] % groups != 0)
    return c.malformed("output channels " + std::to_string(w[0]) + " in " + std::to_string(groups) +
                       " groups");
  if (w[1] != window.kernel[0] || w[2] != window.kernel[1])
    return c.malformed("weights are " + to_string(w) + ", kernel is " +
                       std::to_string(window.kernel[0]) + "x" + std::to_string(window.kernel[1]));
  return c.expect_bias(2, w[0]);
}

Status does_not_fit(const InferContext& c, const Window& window) {
  return c.malformed("kernel " + std::to_string(window.kernel[0]) + "x" +
                     std::to_string(window.kernel[1]) + " does not fit input " +
                     to_string(c.shape(0)));
}

}  // namespace

Result<Inferred> infer_op(const InferContext& c, const Conv2d& op) {
  FIRN_TRY(check_filter(c, op.window, op.groups));
  FIRN_TRY(check_reach(c, op.window));
  const Shape& x = c.shape(0);
  Shape y{x[0], 0, 0, c.shape(1)[0]};
  for (int a = 0; a < 2; ++a) {
    const int64_t size = window_output(x[a + 1], op.window, a, false);
    if (size < 1) return does_not_fit(c, op.window);
    FIRN_ASSIGN(y[a + 1], c.dimension(a == 0 ? "output height" : "output width", size));
  }
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const ConvTranspose2d& op) {
  FIRN_TRY(check_filter(c, op.window, op.groups));
  const Shape& x = c.shape(0);
  Shape y{x[0], 0, 0, c.shape(1)[0]};
  for (int a = 0; a < 2; ++a) {
    const size_t i = static_cast<size_t>(a);
    if (op.output_pad[i] < 0)
      return c.malformed("output padding is " + std::to_string(op.output_pad[i]));
    const int64_t size = transposed_output(x[a + 1], op, a);
    if (x[a + 1] < 1 || size < 1)
      return c.malformed("padding leaves nothing of the output, input is " + to_string(x));
    FIRN_ASSIGN(y[a + 1], c.dimension(a == 0 ? "output height" : "output width", size));
  }
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const Pool2d& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_rank(0, 4));
  FIRN_TRY(check_window(c, op.window));
  FIRN_TRY(check_reach(c, op.window));
  const Shape& x = c.shape(0);
  Shape y = x;
  for (int a = 0; a < 2; ++a) {
    const size_t i = static_cast<size_t>(a);
    const int64_t reach = int64_t{op.window.dilation[i]} * (op.window.kernel[i] - int64_t{1}) + 1;
    if (op.window.pad[i] >= reach || op.window.pad[i + 2] >= reach)
      return c.malformed("padding " + std::to_string(op.window.pad[i]) + " and " +
                         std::to_string(op.window.pad[i + 2]) + ", the window reaches over " +
                         std::to_string(reach));
    const int64_t size = window_output(x[a + 1], op.window, a, op.ceil);
    if (x[a + 1] < 1 || size < 1) return does_not_fit(c, op.window);
    FIRN_ASSIGN(y[a + 1], c.dimension(a == 0 ? "output height" : "output width", size));
  }
  const int64_t taps = int64_t{op.window.kernel[0]} * op.window.kernel[1];
  if (taps > kMaxTaps) return c.unsupported("a window of " + std::to_string(taps) + " elements");
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const Resize2d& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  if (op.kind == Resize2d::Kind::bilinear) FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_rank(0, 4));
  const Shape& x = c.shape(0);
  Shape y = x;
  for (int a = 0; a < 2; ++a) {
    const size_t i = static_cast<size_t>(a);
    if (op.size[i] < 0) return c.malformed("size is " + std::to_string(op.size[i]));
    if (op.size[i] == 0 && !(op.scale[i] > 0 && std::isfinite(op.scale[i])))
      return c.malformed("scale is " + std::to_string(op.scale[i]));
    const int64_t size = resize_output(x[a + 1], op, a);
    if (x[a + 1] < 1 || size < 1)
      return c.malformed("input " + to_string(x) + " would be resized to nothing");
    FIRN_ASSIGN(y[a + 1], c.dimension(a == 0 ? "output height" : "output width", size));
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const LocalResponseNorm& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_rank(0, 4));
  if (op.size < 1) return c.malformed("size is " + std::to_string(op.size));
  return Inferred{DType::f32, c.shape(0)};
}

Result<Inferred> infer_op(const InferContext& c, const InstanceNorm& op) {
  FIRN_TRY(c.expect_inputs(3, 3));
  for (size_t i = 0; i < 3; ++i) FIRN_TRY(c.expect_real(i));
  const Shape& x = c.shape(0);
  if (x.rank < 3)
    return c.malformed("input " + c.name(0) + " is " + to_string(x) +
                       ", expected at least 3 dimensions");
  if (!(op.epsilon >= 0)) return c.malformed("epsilon is " + std::to_string(op.epsilon));
  for (size_t i = 1; i < 3; ++i)
    if (c.shape(i) != Shape{x[x.rank - 1]})
      return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) + ", input has " +
                         std::to_string(x[x.rank - 1]) + " channels");
  return Inferred{DType::f32, x};
}

Result<Inferred> infer_op(const InferContext& c, const LayerNorm& op) {
  FIRN_TRY(c.expect_inputs(1, 3));
  for (size_t i = 0; i < 3; ++i) FIRN_TRY(c.expect_real(i));
  const Shape& x = c.shape(0);
  if (x.rank < 1) return c.malformed("input " + c.name(0) + " is a scalar");
  if (!(op.epsilon >= 0)) return c.malformed("epsilon is " + std::to_string(op.epsilon));
  for (size_t i = 1; i < 3; ++i)
    if (c.in(i) != nullptr && c.shape(i) != Shape{x[x.rank - 1]})
      return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) + ", input has " +
                         std::to_string(x[x.rank - 1]) + " channels");
  return Inferred{DType::f32, x};
}

Result<Inferred> infer_op(const InferContext& c, const DepthToSpace& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(c.expect_rank(0, 4));
  const Shape& x = c.shape(0);
  if (op.block < 1) return c.malformed("block is " + std::to_string(op.block));
  const int64_t square = int64_t{op.block} * op.block;
  if (x[3] % square != 0)
    return c.malformed(std::to_string(x[3]) + " channels in blocks of " + std::to_string(square));
  FIRN_ASSIGN(const int32_t height, c.dimension("output height", int64_t{x[1]} * op.block));
  FIRN_ASSIGN(const int32_t width, c.dimension("output width", int64_t{x[2]} * op.block));
  return Inferred{c.in(0)->type, Shape{x[0], height, width, static_cast<int32_t>(x[3] / square)}};
}

}  // namespace firn
