// SPDX-License-Identifier: Apache-2.0
// Arithmetic, comparisons and logic of two tensors that broadcast.
#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using Kind = Binary::Kind;

bool is_real(Context& c, ValueId id) {
  const Value& value = c.builder.value(id);
  return value.quant || value.type == DType::f32 || value.type == DType::f16;
}

// A constant of one element is a float: int8 with such a one is a look-up table.
Result<ValueId> operand(Context& c, size_t i) {
  FIRN_ASSIGN(const ValueId id, c.input(i));
  const Value& value = c.builder.value(id);
  const bool scalar = value.constant != nullptr && value.shape.elements() == 1;
  return scalar && value.quant ? c.real(id) : id;
}

Status arithmetic(Context& c, Kind kind, wire::BuiltinOptions options_type) {
  FIRN_ASSIGN(const auto* const options, c.optional_options<wire::ActivationOptions>(options_type));
  const auto activation = options == nullptr ? wire::Activation::none : options->activation();
  FIRN_ASSIGN(ValueId a, operand(c, 0));
  FIRN_ASSIGN(ValueId b, operand(c, 1));
  if (!is_real(c, a) || !is_real(c, b)) {
    if (activation != wire::Activation::none) {
      return c.unsupported("an activation of integers");
    }
    return c.bind(c.binary("", kind, a, b));
  }
  Binary op{kind, {}};
  const bool clamps = activation != wire::Activation::tanh;
  if (clamps) {
    FIRN_ASSIGN(op.clamp, c.clamp_of(activation));
  }
  const std::optional<Quant> out = c.int8_output();
  // What the int8 kernels compute: sums and products, and tables of one operand.
  const auto stays = [&](ValueId id, ValueId other) {
    return c.is_int8(id) && (c.is_int8(other) ? kind != Kind::div : c.builder.is_constant(other));
  };
  const bool int8 = out && (stays(a, b) || stays(b, a));
  if (!int8) {
    FIRN_ASSIGN(a, c.real(a));
    FIRN_ASSIGN(b, c.real(b));
  }
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {a, b}, int8 ? out : std::nullopt));
  return c.bind(clamps ? y : c.activate(y, activation));
}

Status add_n(Context& c) {
  FIRN_ASSIGN(ValueId sum, c.number(0));
  for (size_t i = 1; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.number(i));
    FIRN_ASSIGN(sum, c.binary("sum" + std::to_string(i), Kind::add, sum, x));
  }
  return c.bind(sum);
}

Status add(Context& c) {
  return arithmetic(c, Kind::add, wire::BuiltinOptions::Add);
}
Status sub(Context& c) {
  return arithmetic(c, Kind::sub, wire::BuiltinOptions::Sub);
}
Status mul(Context& c) {
  return arithmetic(c, Kind::mul, wire::BuiltinOptions::Mul);
}
Status div(Context& c) {
  return arithmetic(c, Kind::div, wire::BuiltinOptions::Div);
}

// On plain numbers; comparisons give booleans.
template <Kind kKind>
Status plain(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.number(0));
  FIRN_ASSIGN(const ValueId b, c.number(1));
  return c.bind(c.binary("", kKind, a, b));
}

Status not_equal(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.number(0));
  FIRN_ASSIGN(const ValueId b, c.number(1));
  FIRN_ASSIGN(const ValueId same, c.binary("same", Kind::equal, a, b));
  return c.bind(c.unary("", Unary::Kind::logical_not, same));
}

// Both comparisons, so that nothing is said of NaN.
template <Kind kKind>
Status or_equal(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.number(0));
  FIRN_ASSIGN(const ValueId b, c.number(1));
  FIRN_ASSIGN(const ValueId strict, c.binary("strict", kKind, a, b));
  FIRN_ASSIGN(const ValueId same, c.binary("same", Kind::equal, a, b));
  return c.bind(c.binary("", Kind::logical_or, strict, same));
}

Status squared_difference(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.number(0));
  FIRN_ASSIGN(const ValueId b, c.number(1));
  FIRN_ASSIGN(const ValueId difference, c.binary("difference", Kind::sub, a, b));
  return c.bind(c.binary("", Kind::mul, difference, difference));
}

Status floor_div(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.number(0));
  FIRN_ASSIGN(const ValueId b, c.number(1));
  if (c.type(a) != DType::f32) {
    // Without the remainder of the divisor's sign, the truncated quotient is the floor.
    FIRN_ASSIGN(const ValueId rest, c.binary("rest", Kind::mod, a, b));
    FIRN_ASSIGN(const ValueId whole, c.binary("whole", Kind::sub, a, rest));
    return c.bind(c.binary("", Kind::div, whole, b));
  }
  FIRN_ASSIGN(const ValueId quotient, c.binary("quotient", Kind::div, a, b));
  return c.bind(c.unary("", Unary::Kind::floor, quotient));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::ADD, add},
    {wire::BuiltinOperator::ADD_N, add_n},
    {wire::BuiltinOperator::ATAN2, plain<Kind::atan2>},
    {wire::BuiltinOperator::BITWISE_XOR, plain<Kind::bitwise_xor>},
    {wire::BuiltinOperator::DIV, div},
    {wire::BuiltinOperator::EQUAL, plain<Kind::equal>},
    {wire::BuiltinOperator::FLOOR_DIV, floor_div},
    {wire::BuiltinOperator::FLOOR_MOD, plain<Kind::mod>},
    {wire::BuiltinOperator::GREATER, plain<Kind::greater>},
    {wire::BuiltinOperator::GREATER_EQUAL, or_equal<Kind::greater>},
    {wire::BuiltinOperator::LESS, plain<Kind::less>},
    {wire::BuiltinOperator::LESS_EQUAL, or_equal<Kind::less>},
    {wire::BuiltinOperator::LOGICAL_AND, plain<Kind::logical_and>},
    {wire::BuiltinOperator::LOGICAL_OR, plain<Kind::logical_or>},
    {wire::BuiltinOperator::MAXIMUM, plain<Kind::max>},
    {wire::BuiltinOperator::MINIMUM, plain<Kind::min>},
    {wire::BuiltinOperator::MUL, mul},
    {wire::BuiltinOperator::NOT_EQUAL, not_equal},
    {wire::BuiltinOperator::POW, plain<Kind::pow>},
    {wire::BuiltinOperator::SQUARED_DIFFERENCE, squared_difference},
    {wire::BuiltinOperator::SUB, sub},
};

}  // namespace

std::span<const Operator> binary_operators() {
  return kOperators;
}

}  // namespace firn::tflite
