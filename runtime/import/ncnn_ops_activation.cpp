// SPDX-License-Identifier: Apache-2.0
// Functions of one blob, element by element.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

using Kind = Unary::Kind;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The one input, real.
Result<ValueId> only_input(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  return c.input();
}

template <Kind kind>
Status function(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  return c.bind(c.unary("", kind, x));
}

// A slope of 0 is a clamp, which int8 inputs pass as they are.
Status relu(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const float slope, c.param(0, 0.0f));
  if (slope != 0) {
    FIRN_ASSIGN(const ValueId x, c.input());
    return c.bind(c.unary("", Kind::leaky_relu, x, slope));
  }
  FIRN_ASSIGN(const ValueId x, c.raw_input());
  return c.bind(c.emit("", Unary{Kind::clamp, 0, kInfinity}, {x}, c.builder.value(x).quant));
}

Status clip(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  constexpr float kMax = std::numeric_limits<float>::max();
  FIRN_ASSIGN(const float lo, c.param(0, -kMax));
  FIRN_ASSIGN(const float hi, c.param(1, kMax));
  if (lo > hi) {
    return c.malformed("clips to [" + std::to_string(lo) + ", " + std::to_string(hi) + "]");
  }
  return c.bind(
      c.unary("", Kind::clamp, x, lo == -kMax ? -kInfinity : lo, hi == kMax ? kInfinity : hi));
}

Status swish(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  return c.bind(c.unary("", Kind::silu, x, 1));
}

Status hard_sigmoid(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float alpha, c.param(0, 0.2f));
  FIRN_ASSIGN(const float beta, c.param(1, 0.5f));
  return c.bind(c.unary("", Kind::hard_sigmoid, x, alpha, beta));
}

Status hard_swish_layer(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float alpha, c.param(0, 0.2f));
  FIRN_ASSIGN(const float beta, c.param(1, 0.5f));
  return c.bind(hard_swish(c, "", x, alpha, beta));
}

Status gelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const bool fast, c.flag(0, false));
  return c.bind(c.unary("", fast ? Kind::gelu_tanh : Kind::gelu, x));
}

Status elu(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float alpha, c.param(0, 0.1f));
  return c.bind(c.unary("", Kind::elu, x, alpha));
}

Status selu(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float alpha, c.param(0, 1.67326324f));
  FIRN_ASSIGN(const float lambda, c.param(1, 1.050700987f));
  FIRN_ASSIGN(const ValueId y, c.unary("elu", Kind::elu, x, alpha));
  return c.bind(c.with_number("", Binary::Kind::mul, y, lambda));
}

// alpha (exp(x / alpha) - 1) below 0.
Status celu(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float alpha, c.param(0, 1.0f));
  if (alpha == 0) return c.malformed("alpha is 0");
  FIRN_ASSIGN(const ValueId zero, c.number("zero", 0));
  FIRN_ASSIGN(const ValueId above, c.binary("above", Binary::Kind::max, x, zero));
  FIRN_ASSIGN(const ValueId below, c.binary("below", Binary::Kind::min, x, zero));
  FIRN_ASSIGN(const ValueId scaled, c.with_number("scaled", Binary::Kind::div, below, alpha));
  FIRN_ASSIGN(const ValueId curve, c.unary("curve", Kind::elu, scaled, 1));
  FIRN_ASSIGN(const ValueId part, c.with_number("part", Binary::Kind::mul, curve, alpha));
  return c.bind(c.binary("", Binary::Kind::add, above, part));
}

// Towards 0 by `bias` outside of [-lambda, lambda], 0 inside.
Status shrink(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float bias, c.param(0, 0.0f));
  FIRN_ASSIGN(const float lambda, c.param(1, 0.5f));
  FIRN_ASSIGN(const ValueId low, c.number("low", -lambda));
  FIRN_ASSIGN(const ValueId high, c.number("high", lambda));
  FIRN_ASSIGN(const ValueId zero, c.number("zero", 0));
  FIRN_ASSIGN(const ValueId is_low, c.binary("is_low", Binary::Kind::less, x, low));
  FIRN_ASSIGN(const ValueId is_high, c.binary("is_high", Binary::Kind::greater, x, high));
  FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Binary::Kind::add, x, bias));
  FIRN_ASSIGN(const ValueId lowered, c.with_number("lowered", Binary::Kind::sub, x, bias));
  FIRN_ASSIGN(const ValueId upper, c.emit("upper", Where{}, {is_high, lowered, zero}));
  return c.bind(c.emit("", Where{}, {is_low, raised, upper}));
}

// One slope, or one a channel.
Status prelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const int32_t count, c.at_least(1, 0, "the number of slopes", 0));
  FIRN_ASSIGN(ValueId slope, c.weight("slope", {count}, {0.2f, 0.3f}));
  if (count > 1) {
    FIRN_ASSIGN(slope, c.per_channel("slopes", slope, x));
  }
  return c.bind(c.emit("", PRelu{}, {x, slope}));
}

// scale x + shift, ahead of exp, log and powers.
Result<ValueId> affine(Context& c, ValueId x, float scale, float shift) {
  if (scale != 1) {
    FIRN_ASSIGN(x, c.with_number("scaled", Binary::Kind::mul, x, scale));
  }
  if (shift == 0) return x;
  return c.with_number("shifted", Binary::Kind::add, x, shift);
}

// base^(scale x + shift); a base of -1 stands for e.
Status exponential(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float base, c.param(0, -1.0f));
  FIRN_ASSIGN(const float scale, c.param(1, 1.0f));
  FIRN_ASSIGN(const float shift, c.param(2, 0.0f));
  FIRN_ASSIGN(const ValueId power, affine(c, x, scale, shift));
  if (base == -1) return c.bind(c.unary("", Kind::exp, power));
  FIRN_ASSIGN(const ValueId number, c.number("base", base));
  return c.bind(c.binary("", Binary::Kind::pow, number, power));
}

Status logarithm(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float base, c.param(0, -1.0f));
  FIRN_ASSIGN(const float scale, c.param(1, 1.0f));
  FIRN_ASSIGN(const float shift, c.param(2, 0.0f));
  FIRN_ASSIGN(const ValueId inner, affine(c, x, scale, shift));
  FIRN_ASSIGN(const ValueId natural, c.unary("", Kind::log, inner));
  if (base == -1) return c.bind(natural);
  return c.bind(c.with_number("rebased", Binary::Kind::div, natural, std::log(base)));
}

Status power(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float exponent, c.param(0, 1.0f));
  FIRN_ASSIGN(const float scale, c.param(1, 1.0f));
  FIRN_ASSIGN(const float shift, c.param(2, 0.0f));
  FIRN_ASSIGN(const ValueId inner, affine(c, x, scale, shift));
  if (exponent == 1) return c.bind(inner);
  return c.bind(c.with_number("", Binary::Kind::pow, inner, exponent));
}

Status threshold(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const float limit, c.param(0, 0.0f));
  FIRN_ASSIGN(const ValueId above, c.with_number("above", Binary::Kind::greater, x, limit));
  return c.bind(c.convert("", above, DType::f32));
}

// Of UnaryOp, by number.
Result<ValueId> numbered_function(Context& c, ValueId x, int32_t number) {
  switch (number) {
    case 0:
      return c.unary("", Kind::abs, x);
    case 1:
      return c.unary("", Kind::neg, x);
    case 2:
      return c.unary("", Kind::floor, x);
    case 3:
      return c.unary("", Kind::ceil, x);
    case 4:
      return c.binary("", Binary::Kind::mul, x, x);
    case 5:
      return c.unary("", Kind::sqrt, x);
    case 6: {
      FIRN_ASSIGN(const ValueId root, c.unary("root", Kind::sqrt, x));
      return c.unary("", Kind::reciprocal, root);
    }
    case 7:
      return c.unary("", Kind::exp, x);
    case 8:
      return c.unary("", Kind::log, x);
    case 9:
      return c.unary("", Kind::sin, x);
    case 10:
      return c.unary("", Kind::cos, x);
    case 11:
      return c.unary("", Kind::tan, x);
    case 12:
      return c.unary("", Kind::asin, x);
    case 13:
      return c.unary("", Kind::acos, x);
    case 14:
      return c.unary("", Kind::atan, x);
    case 15:
      return c.unary("", Kind::reciprocal, x);
    case 16:
      return c.unary("", Kind::tanh, x);
    case 17: {
      FIRN_ASSIGN(const ValueId natural, c.unary("natural", Kind::log, x));
      return c.with_number("", Binary::Kind::mul, natural, std::numbers::log10e_v<float>);
    }
    case 18:
      return c.unary("", Kind::round, x);
    case 19:
      return c.unary("", Kind::trunc, x);
    case 20:
      return c.unary("", Kind::sign, x);
    case 21: {
      FIRN_ASSIGN(const ValueId power, c.unary("power", Kind::exp, x));
      return c.with_number("", Binary::Kind::sub, power, 1);
    }
    case 22:
      return c.unary("", Kind::sinh, x);
    case 23:
      return c.unary("", Kind::asinh, x);
    case 24:
      return c.unary("", Kind::cosh, x);
    case 25:
      return c.unary("", Kind::acosh, x);
    case 26:
      return c.unary("", Kind::atanh, x);
    case 27: {
      FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Binary::Kind::add, x, 1));
      return c.unary("", Kind::log, raised);
    }
    default:
      return c.unsupported("unary operation " + std::to_string(number));
  }
}

Status unary_op(Context& c) {
  FIRN_ASSIGN(const ValueId x, only_input(c));
  FIRN_ASSIGN(const int32_t number, c.param(0, 0));
  return c.bind(numbered_function(c, x, number));
}

constexpr Operator kOperators[] = {
    {"AbsVal", function<Kind::abs>},
    {"BNLL", function<Kind::softplus>},
    {"CELU", celu},
    {"Clip", clip},
    {"ELU", elu},
    {"Erf", function<Kind::erf>},
    {"Exp", exponential},
    {"GELU", gelu},
    {"HardSigmoid", hard_sigmoid},
    {"HardSwish", hard_swish_layer},
    {"Log", logarithm},
    {"Mish", function<Kind::mish>},
    {"PReLU", prelu},
    {"Power", power},
    {"ReLU", relu},
    {"SELU", selu},
    {"Shrink", shrink},
    {"Sigmoid", function<Kind::sigmoid>},
    {"Softplus", function<Kind::softplus>},
    {"Swish", swish},
    {"TanH", function<Kind::tanh>},
    {"Threshold", threshold},
    {"UnaryOp", unary_op},
};

}  // namespace

std::span<const Operator> activation_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
