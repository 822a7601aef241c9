// SPDX-License-Identifier: Apache-2.0
// Functions of single elements: on int8 one table each, conversions, casts.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using Kind = Unary::Kind;

// f(x) with int8 staying int8, integers integers.
Status map(Context& c, const Unary& op) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const Value& value = c.builder.value(x);
  if (value.quant || value.type == DType::f32 || value.type == DType::f16) {
    return c.bind(c.compute(op, {x}));
  }
  return c.bind(c.unary("", op.kind, x, op.alpha, op.beta));
}

template <Kind kKind>
Status map(Context& c) {
  return map(c, Unary{kKind});
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Status relu(Context& c) {
  return map(c, Unary{Kind::clamp, 0, kInfinity});
}
Status relu6(Context& c) {
  return map(c, Unary{Kind::clamp, 0, 6});
}
Status relu_n1_to_1(Context& c) {
  return map(c, Unary{Kind::clamp, -1, 1});
}
Status relu_0_to_1(Context& c) {
  return map(c, Unary{Kind::clamp, 0, 1});
}
Status elu(Context& c) {
  return map(c, Unary{Kind::elu, 1});
}

Status leaky_relu(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::LeakyReluOptions>(wire::BuiltinOptions::LeakyRelu));
  return map(c, Unary{Kind::leaky_relu, options->alpha()});
}

Status gelu(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::GeluOptions>(wire::BuiltinOptions::Gelu));
  const bool approximate = options != nullptr && options->approximate();
  return map(c, Unary{approximate ? Kind::gelu_tanh : Kind::gelu});
}

Status prelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId slope, c.real_input(1));
  return c.bind(c.emit("", PRelu{}, {x, slope}));
}

Status rsqrt(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId root, c.unary("root", Kind::sqrt, x));
  return c.bind(c.unary("", Kind::reciprocal, root));
}

Status square(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  return c.bind(c.binary("", Binary::Kind::mul, x, x));
}

// The output's type and quantization say it all.
Status quantize(Context& c) {
  return c.bind(c.input(0));
}

Status dequantize(Context& c) {
  return c.bind(c.real_input(0));
}

// Of quantized numbers, their integers.
Status cast(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.bare_input(0));
  return c.bind_bare(x);
}

// The real numbers that integers from `narrow` ? 1 : 0 to 2^bits - 1 would stand for.
Status fake_quant(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::FakeQuantOptions>(wire::BuiltinOptions::FakeQuant));
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  const int32_t bits = options->num_bits();
  const float low = options->min(), high = options->max();
  if (bits < 2 || bits > 16 || !(low < high) || !std::isfinite(high - low)) {
    return c.malformed(std::to_string(bits) + " bits from " + std::to_string(low) + " to " +
                       std::to_string(high));
  }
  const float first = options->narrow_range() ? 1 : 0;
  const float last = static_cast<float>((1 << bits) - 1);
  const float scale = (high - low) / (last - first);
  const float zero = std::round(std::clamp(first - low / scale, first, last));
  const float from = (first - zero) * scale, to = (last - zero) * scale;
  FIRN_ASSIGN(const ValueId clamped, c.unary("clamped", Kind::clamp, x, from, to));
  FIRN_ASSIGN(const ValueId origin, c.scalar("from", DType::f32, from));
  FIRN_ASSIGN(const ValueId step, c.scalar("step", DType::f32, scale));
  FIRN_ASSIGN(const ValueId half, c.scalar("half", DType::f32, 0.5));
  FIRN_ASSIGN(const ValueId moved, c.binary("moved", Binary::Kind::sub, clamped, origin));
  FIRN_ASSIGN(const ValueId steps, c.binary("steps", Binary::Kind::div, moved, step));
  FIRN_ASSIGN(const ValueId above, c.binary("above", Binary::Kind::add, steps, half));
  FIRN_ASSIGN(const ValueId whole, c.unary("whole", Kind::floor, above));
  FIRN_ASSIGN(const ValueId back, c.binary("back", Binary::Kind::mul, whole, step));
  return c.bind(c.binary("", Binary::Kind::add, back, origin));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::ABS, map<Kind::abs>},
    {wire::BuiltinOperator::CAST, cast},
    {wire::BuiltinOperator::CEIL, map<Kind::ceil>},
    {wire::BuiltinOperator::COS, map<Kind::cos>},
    {wire::BuiltinOperator::DEQUANTIZE, dequantize},
    {wire::BuiltinOperator::ELU, elu},
    {wire::BuiltinOperator::EXP, map<Kind::exp>},
    {wire::BuiltinOperator::FAKE_QUANT, fake_quant},
    {wire::BuiltinOperator::FLOOR, map<Kind::floor>},
    {wire::BuiltinOperator::GELU, gelu},
    {wire::BuiltinOperator::HARD_SWISH, map<Kind::hard_swish>},
    {wire::BuiltinOperator::LEAKY_RELU, leaky_relu},
    {wire::BuiltinOperator::LOG, map<Kind::log>},
    {wire::BuiltinOperator::LOGICAL_NOT, map<Kind::logical_not>},
    {wire::BuiltinOperator::LOGISTIC, map<Kind::sigmoid>},
    {wire::BuiltinOperator::NEG, map<Kind::neg>},
    {wire::BuiltinOperator::PRELU, prelu},
    {wire::BuiltinOperator::QUANTIZE, quantize},
    {wire::BuiltinOperator::RELU, relu},
    {wire::BuiltinOperator::RELU6, relu6},
    {wire::BuiltinOperator::RELU_0_TO_1, relu_0_to_1},
    {wire::BuiltinOperator::RELU_N1_TO_1, relu_n1_to_1},
    {wire::BuiltinOperator::ROUND, map<Kind::round>},
    {wire::BuiltinOperator::RSQRT, rsqrt},
    {wire::BuiltinOperator::SIGN, map<Kind::sign>},
    {wire::BuiltinOperator::SIN, map<Kind::sin>},
    {wire::BuiltinOperator::SQRT, map<Kind::sqrt>},
    {wire::BuiltinOperator::SQUARE, square},
    {wire::BuiltinOperator::TANH, map<Kind::tanh>},
};

}  // namespace

std::span<const Operator> unary_operators() {
  return kOperators;
}

}  // namespace firn::tflite
