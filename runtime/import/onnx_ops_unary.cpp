// SPDX-License-Identifier: Apache-2.0
// Element-wise operators of one input.
#include <algorithm>
#include <limits>
#include <optional>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Unary::Kind;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <Kind kind>
Status plain(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(c.unary("", kind, x));
}

// Operators with an attribute alpha, and perhaps beta.
Status with_alpha(Context& c, Kind kind, float alpha) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(alpha, c.attr("alpha", alpha));
  return c.bind(c.unary("", kind, x, alpha));
}

Status hard_sigmoid(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 0.2f));
  FIRN_ASSIGN(const float beta, c.attr("beta", 0.5f));
  return c.bind(c.unary("", Kind::hard_sigmoid, x, alpha, beta));
}

Status relu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.type(x) == DType::f32) return c.bind(c.unary("", Kind::clamp, x, 0, kInfinity));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", c.type(x), 0));
  return c.bind(c.binary("", Binary::Kind::max, x, zero));
}

// A bound of a Clip, where it is a float that is known.
std::optional<float> constant_bound(const Context& c, ValueId id, float missing) {
  if (id == ValueId::none) return missing;
  const Value& value = c.builder.value(id);
  if (value.constant == nullptr || value.type != DType::f32 || value.shape.elements() != 1) {
    return std::nullopt;
  }
  return value.as<float>()[0];
}

Status clip(Context& c) {
  FIRN_ASSIGN(ValueId x, c.input(0));
  if (c.opset < 11) {
    FIRN_ASSIGN(const float lo, c.attr("min", -kInfinity));
    FIRN_ASSIGN(const float hi, c.attr("max", kInfinity));
    return c.bind(c.unary("", Kind::clamp, x, std::min(lo, hi), hi));
  }
  const ValueId min = c.optional_input(1), max = c.optional_input(2);
  const std::optional<float> lo = constant_bound(c, min, -kInfinity);
  const std::optional<float> hi = constant_bound(c, max, kInfinity);
  if (c.type(x) == DType::f32 && lo && hi) {
    return c.bind(c.unary("", Kind::clamp, x, std::min(*lo, *hi), *hi));  // max wins over min
  }
  // The bounds are scalars, whatever shape they are written in.
  for (const auto& [bound, kind] : {std::pair{min, Binary::Kind::max}, {max, Binary::Kind::min}}) {
    if (bound == ValueId::none) continue;
    if (c.type(bound) != c.type(x)) return c.malformed("the types of input and bounds differ");
    const bool last = kind == Binary::Kind::min || max == ValueId::none;
    FIRN_ASSIGN(const ValueId scalar, c.emit("bound", Reshape{}, {bound}));
    FIRN_ASSIGN(x, c.binary(last ? "" : "min", kind, x, scalar));
  }
  return c.bind(x);
}

Status gelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const std::string approximate, c.attr("approximate", "none"));
  if (approximate != "none" && approximate != "tanh") {
    return c.malformed("approximate is '" + approximate + "', expected none or tanh");
  }
  return c.bind(c.unary("", approximate == "tanh" ? Kind::gelu_tanh : Kind::gelu, x));
}

// gamma * elu(x).
Status selu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.67326319217681884765625f));
  FIRN_ASSIGN(const float gamma, c.attr("gamma", 1.05070102214813232421875f));
  FIRN_ASSIGN(const ValueId elu, c.unary("elu", Kind::elu, x, alpha));
  FIRN_ASSIGN(const ValueId scale, c.scalar("gamma", DType::f32, gamma));
  return c.bind(c.binary("", Binary::Kind::mul, elu, scale));
}

// alpha * elu(x / alpha), which is x above 0.
Status celu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.0f));
  if (alpha == 0) return c.malformed("alpha is 0");
  FIRN_ASSIGN(const ValueId scale, c.scalar("alpha", DType::f32, alpha));
  FIRN_ASSIGN(const ValueId scaled, c.binary("scaled", Binary::Kind::div, x, scale));
  FIRN_ASSIGN(const ValueId elu, c.unary("elu", Kind::elu, scaled, 1));
  return c.bind(c.binary("", Binary::Kind::mul, elu, scale));
}

Status thresholded_relu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.0f));
  FIRN_ASSIGN(const ValueId threshold, c.scalar("alpha", DType::f32, alpha));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", DType::f32, 0));
  FIRN_ASSIGN(const ValueId above, c.binary("above", Binary::Kind::greater, x, threshold));
  return c.bind(c.emit("", Where{}, {above, x, zero}));
}

Status prelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId slope, c.input(1));
  return c.bind(c.emit("", PRelu{}, {x, slope}));
}

Status identity(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(x);
}

// At inference nothing is dropped, unless training_mode asks for it.
Status dropout(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  for (const char* ignored : {"ratio", "seed"}) static_cast<void>(c.find(ignored));
  if (c.wanted(1)) return c.unsupported("its mask output is not supported");
  const ValueId training = c.optional_input(2);
  if (training != ValueId::none) {
    const Value& value = c.builder.value(training);
    if (value.constant == nullptr || value.type != DType::boolean || value.shape.elements() != 1 ||
        value.constant->bytes()[0] != std::byte{0}) {
      return c.unsupported("training mode is not supported");
    }
  }
  return c.bind(x);
}

constexpr Operator kOperators[] = {
    {"Abs", plain<Kind::abs>},
    {"Acos", plain<Kind::acos>},
    {"Acosh", plain<Kind::acosh>},
    {"Asin", plain<Kind::asin>},
    {"Asinh", plain<Kind::asinh>},
    {"Atan", plain<Kind::atan>},
    {"Atanh", plain<Kind::atanh>},
    {"Ceil", plain<Kind::ceil>},
    {"Celu", celu},
    {"Clip", clip},
    {"Cos", plain<Kind::cos>},
    {"Cosh", plain<Kind::cosh>},
    {"Dropout", dropout},
    {"Elu", [](Context& c) { return with_alpha(c, Kind::elu, 1.0f); }},
    {"Erf", plain<Kind::erf>},
    {"Exp", plain<Kind::exp>},
    {"Floor", plain<Kind::floor>},
    {"Gelu", gelu},
    {"HardSigmoid", hard_sigmoid},
    {"HardSwish", plain<Kind::hard_swish>},
    {"Identity", identity},
    {"IsNaN", plain<Kind::is_nan>},
    {"LeakyRelu", [](Context& c) { return with_alpha(c, Kind::leaky_relu, 0.01f); }},
    {"Log", plain<Kind::log>},
    {"Mish", plain<Kind::mish>},
    {"Neg", plain<Kind::neg>},
    {"Not", plain<Kind::logical_not>},
    {"PRelu", prelu},
    {"Reciprocal", plain<Kind::reciprocal>},
    {"Relu", relu},
    {"Round", plain<Kind::round>},
    {"Selu", selu},
    {"Sigmoid", plain<Kind::sigmoid>},
    {"Sign", plain<Kind::sign>},
    {"Sin", plain<Kind::sin>},
    {"Sinh", plain<Kind::sinh>},
    {"Softplus", plain<Kind::softplus>},
    {"Softsign", plain<Kind::softsign>},
    {"Sqrt", plain<Kind::sqrt>},
    {"Swish", [](Context& c) { return with_alpha(c, Kind::silu, 1.0f); }},
    {"Tan", plain<Kind::tan>},
    {"Tanh", plain<Kind::tanh>},
    {"ThresholdedRelu", thresholded_relu},
};

}  // namespace

std::span<const Operator> unary_operators() {
  return kOperators;
}

}  // namespace firn::onnx
