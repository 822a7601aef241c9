// SPDX-License-Identifier: Apache-2.0
// Matrix products: Dense where the right side is constant, MatMul otherwise; and Einsum.
#include <algorithm>
#include <vector>

#include "runtime/import/einsum.h"
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

// x [..., K] times a constant b [K, N].
Result<ValueId> dense(Context& c, std::string_view suffix, ValueId x, ValueId b, ValueId bias) {
  FIRN_ASSIGN(const ValueId w, c.transpose("weights", b, {1, 0}));
  return c.emit(suffix, Dense{}, {x, w, bias});
}

// x times a factor, unless it is one.
Result<ValueId> scaled(Context& c, std::string_view suffix, ValueId x, float factor) {
  if (factor == 1.0f) return x;
  FIRN_ASSIGN(const ValueId by, c.scalar(suffix, c.type(x), factor));
  return c.binary(std::string(suffix) + "_times", Binary::Kind::mul, x, by);
}

// Gemm's c as the bias [n] of a Dense; none where it is another for each row, or not constant.
Result<ValueId> as_bias(Context& c, ValueId bias, int32_t n) {
  const Shape& shape = c.shape(bias);
  if (!c.builder.is_constant(bias) || c.type(bias) != DType::f32) return ValueId::none;
  if (shape == Shape{n}) return bias;
  if (shape == Shape{1, n}) return c.reshape("bias", bias, {TargetDim::of(n)});
  if (shape.elements() != 1) return ValueId::none;
  FIRN_TRY(c.allow(static_cast<size_t>(n) * sizeof(float)));  // weights [n, 0] take no room
  const std::vector<float> values(static_cast<size_t>(n), c.builder.value(bias).as<float>()[0]);
  return c.constant<float>("bias", {n}, values);
}

Status matmul(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  return c.bind(emit_matmul(c, a, b));
}

Status gemm(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  return c.bind(emit_gemm(c, a, b, c.optional_input(2)));
}

Status einsum(Context& c) {
  FIRN_ASSIGN(const std::string equation, c.attr("equation", ""));
  std::vector<ValueId> in;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.input(i));
    in.push_back(x);
  }
  if (in.empty()) return c.malformed("it has no inputs");
  return c.bind(imports::einsum(c, equation, in));
}

constexpr Operator kOperators[] = {
    {"Einsum", einsum},
    {"Gemm", gemm},
    {"MatMul", matmul},
};

}  // namespace

// Vectors count as a row (left) or a column (right), which then leaves the result again.
Result<ValueId> emit_matmul(Context& c, ValueId a, ValueId b) {
  const bool row = c.rank(a) == 1, column = c.rank(b) == 1;
  if (c.rank(a) == 0 || c.rank(b) == 0) return c.malformed("an input is a scalar");
  if (row) {
    FIRN_ASSIGN(a, c.reshape("row", a, {TargetDim::of(1), TargetDim::copy(0)}));
  }
  if (column) {
    FIRN_ASSIGN(b, c.reshape("column", b, {TargetDim::copy(0), TargetDim::of(1)}));
  }
  ValueId y = ValueId::none;
  if (c.builder.is_constant(b) && !c.builder.is_constant(a) && c.rank(b) == 2) {
    FIRN_ASSIGN(y, dense(c, "", a, b, ValueId::none));
  } else {
    FIRN_ASSIGN(y, c.emit("", MatMul{}, {a, b}));
  }
  if (!row && !column) return y;
  std::vector<TargetDim> to;
  const int rank = c.rank(y);
  for (int d = 0; d < rank; ++d) {
    const bool added = (row && d == rank - 2) || (column && d == rank - 1);
    if (!added) to.push_back(TargetDim::copy(d));
  }
  return c.reshape("vector", y, to);
}

// alpha * a' * b' + beta * c, a' and b' transposed on request.
Result<ValueId> emit_gemm(Context& c, ValueId a, ValueId b, ValueId bias) {
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.0f));
  FIRN_ASSIGN(const float beta, c.attr("beta", 1.0f));
  FIRN_ASSIGN(const int64_t transpose_a, c.attr("transA", int64_t{0}));
  FIRN_ASSIGN(const int64_t transpose_b, c.attr("transB", int64_t{0}));
  if (c.rank(a) != 2 || c.rank(b) != 2) {
    return c.malformed("inputs are " + to_string(c.shape(a)) + " and " + to_string(c.shape(b)) +
                       ", expected matrices");
  }
  if (transpose_a != 0) {
    FIRN_ASSIGN(a, c.transpose("a", a, {1, 0}));
  }
  FIRN_ASSIGN(b, scaled(c, "alpha", b, alpha));
  if (bias != ValueId::none) {
    FIRN_ASSIGN(bias, scaled(c, "beta", bias, beta));
  }

  ValueId y = ValueId::none;
  if (c.builder.is_constant(b)) {
    FIRN_ASSIGN(const ValueId w,
                transpose_b != 0 ? Result<ValueId>(b) : c.transpose("weights", b, {1, 0}));
    ValueId vector = ValueId::none;
    if (bias != ValueId::none) {
      FIRN_ASSIGN(vector, as_bias(c, bias, c.shape(w)[0]));
    }
    if (vector != ValueId::none) bias = ValueId::none;
    FIRN_ASSIGN(y, c.emit(bias == ValueId::none ? "" : "product", Dense{}, {a, w, vector}));
  } else {
    if (transpose_b != 0) {
      FIRN_ASSIGN(b, c.transpose("b", b, {1, 0}));
    }
    FIRN_ASSIGN(y, c.emit(bias == ValueId::none ? "" : "product", MatMul{}, {a, b}));
  }
  if (bias == ValueId::none) return y;
  return c.binary("", Binary::Kind::add, y, bias);
}

std::span<const Operator> matrix_operators() {
  return kOperators;
}

}  // namespace firn::onnx
