// SPDX-License-Identifier: Apache-2.0
// Arithmetic of two or more blobs, and with numbers.
#include <algorithm>
#include <optional>

#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

using Kind = Binary::Kind;

// Gives x the dimensions of a blob of `dims`, as ncnn broadcasts: dimensions are added inside, so
// that a vector runs along the channels, unless its length says that it runs along the width.
Result<ValueId> expand(Context& c, std::string_view suffix, ValueId x, ValueId other, int dims) {
  const int own = c.dims(x);
  if (own == dims) return x;
  std::vector<TargetDim> to(static_cast<size_t>(dims), TargetDim::of(1));
  if (own > 1) {
    for (int d = 0; d < own; ++d) to[static_cast<size_t>(d)] = TargetDim::copy(d + 1);
    return c.reshape_blob(suffix, x, to);
  }
  const int32_t length = c.shape(x)[1], channels = c.shape(other)[1];
  const int32_t width = c.shape(other)[dims];
  if ((length < 0 || channels < 0) && length != channels && length != 1) {
    return c.unsupported("which way a vector of " + to_string(c.shape(x)) +
                         " runs along a blob of open shape " + to_string(c.shape(other)));
  }
  const bool along_width = length != channels && (length == width || length == 1);
  to[along_width ? to.size() - 1 : 0] = TargetDim::copy(1);
  return c.reshape_blob(suffix, x, to);
}

Status equal_dims(Context& c, ValueId& a, ValueId& b) {
  const int dims = std::max(c.dims(a), c.dims(b));
  const ValueId whole_a = a, whole_b = b;
  FIRN_ASSIGN(a, expand(c, "expand_a", whole_a, whole_b, dims));
  FIRN_ASSIGN(b, expand(c, "expand_b", whole_b, whole_a, dims));
  return {};
}

// floor(a / b).
Result<ValueId> floor_divide(Context& c, ValueId a, ValueId b) {
  FIRN_ASSIGN(const ValueId quotient, c.binary("quotient", Kind::div, a, b));
  return c.unary("", Unary::Kind::floor, quotient);
}

// a - b * round(a / b), as C's remainder().
Result<ValueId> remainder(Context& c, ValueId a, ValueId b) {
  FIRN_ASSIGN(const ValueId quotient, c.binary("quotient", Kind::div, a, b));
  FIRN_ASSIGN(const ValueId whole, c.unary("whole", Unary::Kind::round, quotient));
  FIRN_ASSIGN(const ValueId part, c.binary("part", Kind::mul, whole, b));
  return c.binary("", Kind::sub, a, part);
}

// log(exp(a) + exp(b)).
Result<ValueId> log_add_exp(Context& c, ValueId a, ValueId b) {
  FIRN_ASSIGN(const ValueId larger, c.binary("larger", Kind::max, a, b));
  FIRN_ASSIGN(const ValueId smaller, c.binary("smaller", Kind::min, a, b));
  FIRN_ASSIGN(const ValueId gap, c.binary("gap", Kind::sub, smaller, larger));
  FIRN_ASSIGN(const ValueId rest, c.unary("rest", Unary::Kind::softplus, gap));
  return c.binary("", Kind::add, larger, rest);
}

// By ncnn's number, the ones with the operands changed over last.
Result<ValueId> numbered(Context& c, int32_t number, ValueId a, ValueId b) {
  switch (number) {
    case 0:
      return c.binary("", Kind::add, a, b);
    case 1:
      return c.binary("", Kind::sub, a, b);
    case 2:
      return c.binary("", Kind::mul, a, b);
    case 3:
      return c.binary("", Kind::div, a, b);
    case 4:
      return c.binary("", Kind::max, a, b);
    case 5:
      return c.binary("", Kind::min, a, b);
    case 6:
      return c.binary("", Kind::pow, a, b);
    case 10:
      return c.binary("", Kind::atan2, a, b);
    case 12:
      return c.binary("", Kind::fmod, a, b);
    case 14:
      return log_add_exp(c, a, b);
    case 15:
      return floor_divide(c, a, b);
    case 17:
      return remainder(c, a, b);
    case 7:
      return c.binary("", Kind::sub, b, a);
    case 8:
      return c.binary("", Kind::div, b, a);
    case 9:
      return c.binary("", Kind::pow, b, a);
    case 11:
      return c.binary("", Kind::atan2, b, a);
    case 13:
      return c.binary("", Kind::fmod, b, a);
    case 16:
      return floor_divide(c, b, a);
    case 18:
      return remainder(c, b, a);
    default:
      return c.unsupported("binary operation " + std::to_string(number));
  }
}

Status binary_op(Context& c) {
  FIRN_ASSIGN(const int32_t number, c.param(0, 0));
  FIRN_ASSIGN(const bool with_scalar, c.flag(1, false));
  if (with_scalar) {
    FIRN_TRY(c.expect_inputs(1, 1));
    FIRN_ASSIGN(const ValueId x, c.input());
    FIRN_ASSIGN(const float scalar, c.param(2, 0.0f));
    FIRN_ASSIGN(const ValueId b, c.number("scalar", scalar));
    return c.bind(numbered(c, number, x, b));
  }
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(ValueId a, c.input(0));
  FIRN_ASSIGN(ValueId b, c.input(1));
  FIRN_TRY(equal_dims(c, a, b));
  return c.bind(numbered(c, number, a, b));
}

// Products, sums with coefficients, or maxima of blobs of one shape.
Status eltwise(Context& c) {
  FIRN_ASSIGN(const int32_t number, c.param(0, 0));
  FIRN_ASSIGN(const std::vector<float> coefficients, c.floats(1));
  if (number < 0 || number > 2) {
    return c.malformed("operation is " + std::to_string(number) + ", expected 0 to 2");
  }
  FIRN_TRY(c.expect_inputs(2, c.input_count()));
  const Kind kind = number == 0 ? Kind::mul : number == 1 ? Kind::add : Kind::max;
  const bool weighted = kind == Kind::add && !coefficients.empty();
  if (weighted && coefficients.size() < c.input_count()) {
    return c.malformed(std::to_string(coefficients.size()) + " coefficients for " +
                       std::to_string(c.input_count()) + " inputs");
  }
  ValueId sum = ValueId::none;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(ValueId x, c.input(i));
    if (weighted && coefficients[i] != 1) {
      FIRN_ASSIGN(x, c.with_number("weighted_" + std::to_string(i), Kind::mul, x, coefficients[i]));
    }
    if (i == 0) {
      sum = x;
      continue;
    }
    const bool last = i + 1 == c.input_count();
    FIRN_ASSIGN(sum, c.binary(last ? "" : "part_" + std::to_string(i), kind, sum, x));
  }
  return c.bind(sum);
}

// Per channel: by stored factors, or with -233 of them by the second input.
Status scale(Context& c) {
  FIRN_ASSIGN(const int32_t count, c.param(0, 0));
  FIRN_ASSIGN(const bool has_bias, c.flag(1, false));
  const bool by_input = count == -233;
  FIRN_TRY(c.expect_inputs(by_input ? 2 : 1, by_input ? 2 : 1));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  int32_t channels = count;
  ValueId factors = ValueId::none;
  if (by_input) {
    FIRN_ASSIGN(const ValueId second, c.input(1));
    FIRN_ASSIGN(factors, c.reshape("factors", second, {TargetDim::rest()}));
    if (has_bias) {
      return c.unsupported("a bias beside factors that another layer computes");
    }
  } else {
    FIRN_ASSIGN(channels, c.at_least(1, 0, "the number of factors", 0));
    FIRN_ASSIGN(factors, c.weight("factors", {channels}, Spread::of_factors()));
  }
  FIRN_ASSIGN(const ValueId along, c.per_channel("scale", factors, x));
  FIRN_ASSIGN(ValueId y, c.binary("", Kind::mul, x, along));
  if (!has_bias) return c.bind(y);
  FIRN_ASSIGN(const ValueId bias, c.weight("bias", {channels}, Spread::of_biases()));
  FIRN_ASSIGN(const ValueId offsets, c.per_channel("offsets", bias, x));
  return c.bind(c.binary("add", Kind::add, y, offsets));
}

Status bias(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t count, c.at_least(1, 0, "the number of offsets", 0));
  FIRN_TRY(c.expect_dims(x, count == 1 ? 1 : 3, 4));
  FIRN_ASSIGN(const ValueId values, c.weight("bias", {count}, Spread::of_biases()));
  FIRN_ASSIGN(const ValueId offsets, c.per_channel("offsets", values, x));
  return c.bind(c.binary("", Kind::add, x, offsets));
}

constexpr Operator kOperators[] = {
    {"Bias", bias},
    {"BinaryOp", binary_op},
    {"Eltwise", eltwise},
    {"Scale", scale},
};

}  // namespace

std::span<const Operator> arithmetic_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
