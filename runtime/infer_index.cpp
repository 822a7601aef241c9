// SPDX-License-Identifier: Apache-2.0
// Shape rules of the operators that read, write, sort or find elements by their positions.
#include <algorithm>

#include "runtime/geometry.h"
#include "runtime/infer_context.h"
#include "runtime/positions.h"

namespace firn {
namespace {

// Indices that reach along `axis` only, and lie within `x` along all others.
Status expect_aligned(const InferContext& c, int axis) {
  const Shape& x = c.shape(0);
  const Shape& indices = c.shape(1);
  bool fits = indices.rank == x.rank;
  for (int i = 0; fits && i < x.rank; ++i) fits = i == axis || indices[i] <= x[i];
  if (fits) return {};
  return c.malformed("indices " + c.name(1) + " are " + to_string(indices) + ", input is " +
                     to_string(x) + ", axis " + std::to_string(axis));
}

// How many dimensions of x, behind the first `batch`, an index names: the last dimension of the
// indices.
Result<int> index_length(const InferContext& c, int batch) {
  const Shape& x = c.shape(0);
  const Shape& indices = c.shape(1);
  if (indices.rank < 1) return c.malformed("indices " + c.name(1) + " are a scalar");
  const int length = indices[indices.rank - 1];
  if (length > x.rank - batch)
    return c.malformed("indices of " + std::to_string(length) + " dimensions, input is " +
                       to_string(x) + " with " + std::to_string(batch) + " batch dimensions");
  return length;
}

Status expect_elements(const InferContext& c, const Shape& y) {
  if (c.shape(0).elements() > 0 || y.elements() == 0) return {};
  return c.malformed("takes elements of input " + c.name(0) +
                     ", which is empty: " + to_string(c.shape(0)));
}

}  // namespace

Result<Inferred> infer_op(const InferContext& c, const GatherElements& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_TRY(c.expect_indices(1));
  FIRN_ASSIGN(const int axis, c.axis(op.axis, c.shape(0).rank));
  FIRN_TRY(expect_aligned(c, axis));
  FIRN_TRY(expect_elements(c, c.shape(1)));
  return Inferred{c.in(0)->type, c.shape(1)};
}

Result<Inferred> infer_op(const InferContext& c, const GatherNd& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_TRY(c.expect_indices(1));
  const Shape& x = c.shape(0);
  const Shape& indices = c.shape(1);
  if (op.batch < 0 || op.batch >= std::min<int>(indices.rank, x.rank))
    return c.malformed(std::to_string(op.batch) + " batch dimensions, input is " + to_string(x) +
                       ", indices are " + to_string(indices));
  for (int i = 0; i < op.batch; ++i)
    if (x[i] != indices[i])
      return c.malformed("batch dimension " + std::to_string(i) + " of input " + to_string(x) +
                         " and indices " + to_string(indices));
  FIRN_ASSIGN(const int length, index_length(c, op.batch));
  std::vector<int64_t> dims(indices.dims().begin(), indices.dims().end() - 1);
  dims.insert(dims.end(), x.dims().begin() + op.batch + length, x.dims().end());
  FIRN_ASSIGN(const Shape y, c.shape_from(dims));
  FIRN_TRY(expect_elements(c, y));
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Scatter& op) {
  FIRN_TRY(c.expect_inputs(3, 3));
  FIRN_TRY(c.expect_indices(1));
  const Value& x = *c.in(0);
  if (c.in(2)->type != x.type)
    return c.malformed("updates " + c.name(2) + " are " + dtype_name(c.in(2)->type) +
                       ", input is " + dtype_name(x.type));
  if (op.reduction != Scatter::Reduction::none && x.type == DType::boolean)
    return c.unsupported("computes with booleans");
  const Shape& indices = c.shape(1);
  Shape expected = indices;
  if (op.kind == Scatter::Kind::elements) {
    FIRN_ASSIGN(const int axis, c.axis(op.axis, x.shape.rank));
    FIRN_TRY(expect_aligned(c, axis));
  } else {
    FIRN_ASSIGN(const int length, index_length(c, 0));
    std::vector<int64_t> dims(indices.dims().begin(), indices.dims().end() - 1);
    dims.insert(dims.end(), x.shape.dims().begin() + length, x.shape.dims().end());
    FIRN_ASSIGN(expected, c.shape_from(dims));
  }
  if (c.shape(2) != expected)
    return c.malformed("updates " + c.name(2) + " are " + to_string(c.shape(2)) + ", expected " +
                       to_string(expected));
  return Inferred{x.type, x.shape};
}

Result<Inferred> infer_op(const InferContext& c, const CumSum& op) {
  FIRN_TRY(c.expect_inputs(1, 2));
  const Value& x = *c.in(0);
  if (x.type != DType::i64 && x.type != DType::i32) FIRN_TRY(c.expect_real(0));
  if (c.in(1) == nullptr) {
    FIRN_TRY(c.axis(op.axis, x.shape.rank).status());
  } else {
    FIRN_TRY(c.expect_indices(1));
    if (c.shape(1).elements() != 1)
      return c.malformed("axis " + c.name(1) + " is " + to_string(c.shape(1)) +
                         ", expected a scalar");
  }
  return Inferred{x.quant ? DType::f32 : x.type, x.shape};
}

Result<Inferred> infer_op(const InferContext& c, const NonZero&) {
  FIRN_TRY(c.expect_inputs(1, 1));
  const Value& x = *c.in(0);
  if (x.quant) return c.unsupported("input " + x.name + " is quantized");
  FIRN_ASSIGN(const Tensor tensor, c.constant_tensor(0));
  FIRN_ASSIGN(const int32_t found,
              c.dimension("the number of elements found", count_nonzero(tensor)));
  return Inferred{DType::i64, Shape{x.shape.rank, found}};
}

Result<std::vector<Inferred>> infer_op(const InferContext& c, const TopK& op) {
  FIRN_TRY(c.expect_inputs(1, 2));
  Shape y = c.shape(0);
  FIRN_ASSIGN(const int axis, c.axis(op.axis, y.rank));
  int64_t k = op.k;
  if (c.in(1) != nullptr) {
    FIRN_ASSIGN(const std::vector<int64_t> given, c.constant_ints(1));
    if (given.size() != 1) return c.malformed("k " + c.name(1) + " is " + to_string(c.shape(1)));
    k = given[0];
  }
  if (k < 0 || k > y[axis])
    return c.malformed("k is " + std::to_string(k) + ", axis " + std::to_string(axis) +
                       " of input " + to_string(y) + " has " + std::to_string(y[axis]));
  y[axis] = static_cast<int32_t>(k);
  return std::vector<Inferred>{{c.in(0)->type, y}, {DType::i64, y}};
}

}  // namespace firn
