// SPDX-License-Identifier: Apache-2.0
// Shape rules of matrix products, elementwise arithmetic, reductions and choices.
#include <algorithm>

#include "runtime/geometry.h"
#include "runtime/infer_context.h"

namespace firn {
namespace {

bool is_integer(DType type) {
  return type == DType::i32 || type == DType::i64;
}

Status mismatch(const InferContext& c, const std::string& what, size_t a, size_t b) {
  return c.malformed(what + ": " + c.name(a) + " is " + to_string(c.shape(a)) + ", " + c.name(b) +
                     " is " + to_string(c.shape(b)));
}

Result<Shape> common_shape(const InferContext& c, const Shape& a, size_t ia, size_t ib) {
  const std::optional<Shape> common = broadcast(a, c.shape(ib));
  if (!common) return mismatch(c, "shapes do not broadcast", ia, ib);
  return *common;
}

Status expect_type(const InferContext& c, size_t i, DType type) {
  if (c.in(i)->type == type) return {};
  return c.malformed("input " + c.name(i) + " is " + dtype_name(c.in(i)->type) + ", expected " +
                     dtype_name(type));
}

}  // namespace

Result<Inferred> infer_op(const InferContext& c, const Dense&) {
  FIRN_TRY(c.expect_inputs(2, 3));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_weights(1));
  FIRN_TRY(c.expect_rank(1, 2));
  const Shape& x = c.shape(0);
  const Shape& w = c.shape(1);
  if (x.rank < 1) return c.malformed("input " + c.name(0) + " is a scalar");
  if (x[x.rank - 1] != w[1])
    return c.malformed("weight columns " + std::to_string(w[1]) + ", input has " +
                       std::to_string(x[x.rank - 1]));
  FIRN_TRY(c.expect_bias(2, w[0]));
  Shape y = x;
  y[y.rank - 1] = w[0];
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const MatMul&) {
  FIRN_TRY(c.expect_inputs(2, 2));
  for (size_t i = 0; i < 2; ++i) {
    FIRN_TRY(c.expect_real(i));
    if (c.shape(i).rank < 2)
      return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) +
                         ", expected at least 2 dimensions");
  }
  Shape a = c.shape(0), b = c.shape(1);
  const int32_t m = a[a.rank - 2], n = b[b.rank - 1];
  if (a[a.rank - 1] != b[b.rank - 2]) return mismatch(c, "inner dimensions differ", 0, 1);
  a[a.rank - 1] = a[a.rank - 2] = b[b.rank - 1] = b[b.rank - 2] = 1;
  const std::optional<Shape> common = broadcast(a, b);
  if (!common) return mismatch(c, "shapes do not broadcast", 0, 1);
  Shape y = *common;
  y[y.rank - 2] = m;
  y[y.rank - 1] = n;
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const Binary& op) {
  using Kind = Binary::Kind;
  FIRN_TRY(c.expect_inputs(2, 2));
  const bool logical = op.kind == Kind::logical_and || op.kind == Kind::logical_or;
  const bool compares = op.kind == Kind::equal || op.kind == Kind::less || op.kind == Kind::greater;
  const bool bitwise =
      op.kind == Kind::bitwise_and || op.kind == Kind::bitwise_or || op.kind == Kind::bitwise_xor;
  const DType type = c.in(0)->type;
  if (bitwise && !is_integer(type))
    return c.malformed("input " + c.name(0) + " is " + dtype_name(type) + ", expected i32 or i64");
  if (op.kind == Kind::atan2 && is_integer(type)) FIRN_TRY(c.expect_real(0));
  if (logical || (op.kind == Kind::equal && type == DType::boolean)) {
    FIRN_TRY(expect_type(c, 0, DType::boolean));
    FIRN_TRY(expect_type(c, 1, DType::boolean));
  } else if (is_integer(type)) {
    FIRN_TRY(expect_type(c, 1, type));
  } else {
    FIRN_TRY(c.expect_real(0));
    FIRN_TRY(c.expect_real(1));
  }
  FIRN_ASSIGN(const Shape y, common_shape(c, c.shape(0), 0, 1));
  if (logical || compares) return Inferred{DType::boolean, y};
  return Inferred{is_integer(type) ? type : DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const Unary& op) {
  using Kind = Unary::Kind;
  FIRN_TRY(c.expect_inputs(1, 1));
  const DType type = c.in(0)->type;
  if (op.kind == Kind::logical_not) {
    FIRN_TRY(expect_type(c, 0, DType::boolean));
    return Inferred{DType::boolean, c.shape(0)};
  }
  const bool on_integers = op.kind == Kind::clamp || op.kind == Kind::abs || op.kind == Kind::neg ||
                           op.kind == Kind::sign;
  if (on_integers && is_integer(type)) return Inferred{type, c.shape(0)};
  FIRN_TRY(c.expect_real(0));
  return Inferred{op.kind == Kind::is_nan ? DType::boolean : DType::f32, c.shape(0)};
}

Result<Inferred> infer_op(const InferContext& c, const PRelu&) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_real(1));
  if (broadcast(c.shape(0), c.shape(1)) != c.shape(0))
    return mismatch(c, "slope does not broadcast to the input", 0, 1);
  return Inferred{DType::f32, c.shape(0)};
}

Result<Inferred> infer_op(const InferContext& c, const Reduce& op) {
  using Kind = Reduce::Kind;
  FIRN_TRY(c.expect_inputs(1, 1));
  const Shape& x = c.shape(0);
  for (size_t i = 0; i < op.axes.size(); ++i) {
    if (op.axes[i] < 0 || op.axes[i] >= x.rank)
      return c.malformed("axis " + std::to_string(op.axes[i]) + ", input is " + to_string(x));
    if (i > 0 && op.axes[i] <= op.axes[i - 1]) return c.malformed("axes are not in order");
  }
  const DType type = c.in(0)->type;
  const bool on_integers = op.kind == Kind::sum || op.kind == Kind::max || op.kind == Kind::min ||
                           op.kind == Kind::prod || op.kind == Kind::sum_square ||
                           op.kind == Kind::l1;
  if (!(on_integers && is_integer(type))) FIRN_TRY(c.expect_real(0));
  // Of no floats, the largest is -infinity, the mean NaN; integers have no such values.
  const bool empty = x.elements() == 0 && is_integer(type);
  if (empty && (op.kind == Kind::max || op.kind == Kind::min || op.kind == Kind::mean))
    return c.malformed("reduces input " + c.name(0) + " of no elements: " + to_string(x));
  Shape y;
  for (int i = 0; i < x.rank; ++i) {
    const bool reduced = std::ranges::binary_search(op.axes, i);
    if (!reduced || op.keep) y[y.rank++] = reduced ? 1 : x[i];
  }
  return Inferred{is_integer(type) ? type : DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const Softmax& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.axis(op.axis, c.shape(0).rank).status());
  return Inferred{DType::f32, c.shape(0)};
}

Result<Inferred> infer_op(const InferContext& c, const Where&) {
  FIRN_TRY(c.expect_inputs(3, 3));
  FIRN_TRY(expect_type(c, 0, DType::boolean));
  FIRN_TRY(expect_type(c, 2, c.in(1)->type));
  FIRN_ASSIGN(const Shape condition_and_a, common_shape(c, c.shape(0), 0, 1));
  FIRN_ASSIGN(const Shape y, common_shape(c, condition_and_a, 0, 2));
  return Inferred{c.in(1)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const ArgMax& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  if (!is_integer(c.in(0)->type)) FIRN_TRY(c.expect_real(0));
  const Shape& x = c.shape(0);
  FIRN_ASSIGN(const int axis, c.axis(op.axis, x.rank));
  if (x[axis] < 1)
    return c.malformed("axis " + std::to_string(axis) + " of input " + to_string(x) + " is empty");
  Shape y;
  for (int i = 0; i < x.rank; ++i)
    if (i != axis || op.keep) y[y.rank++] = i == axis ? 1 : x[i];
  return Inferred{DType::i64, y};
}

}  // namespace firn
