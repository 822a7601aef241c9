// SPDX-License-Identifier: Apache-2.0
// Element-wise operators of two and more inputs, broadcast as in NumPy.
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

template <Kind kind>
Status plain(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  return c.bind(c.binary("", kind, a, b));
}

// Not the negation of the opposite: that would say true where one is NaN.
template <Kind kind>
Status or_equal(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  FIRN_ASSIGN(const ValueId strict, c.binary("strict", kind, a, b));
  FIRN_ASSIGN(const ValueId equal, c.binary("equal", Kind::equal, a, b));
  return c.bind(c.binary("", Kind::logical_or, strict, equal));
}

// Either, but not both.
Status logical_xor(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  FIRN_ASSIGN(const ValueId either, c.binary("either", Kind::logical_or, a, b));
  FIRN_ASSIGN(const ValueId both, c.binary("both", Kind::logical_and, a, b));
  FIRN_ASSIGN(const ValueId not_both, c.unary("not_both", Unary::Kind::logical_not, both));
  return c.bind(c.binary("", Kind::logical_and, either, not_both));
}

// A chain of `kind` over all inputs; the last link is called `last`.
Result<ValueId> chain(Context& c, Kind kind, std::string_view last) {
  if (c.input_count() == 0) return c.malformed("it has no inputs");
  FIRN_ASSIGN(ValueId y, c.input(0));
  for (size_t i = 1; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.input(i));
    const bool is_last = i + 1 == c.input_count();
    FIRN_ASSIGN(y, c.binary(is_last ? last : std::to_string(i), kind, y, x));
  }
  return y;
}

template <Kind kind>
Status variadic(Context& c) {
  return c.bind(chain(c, kind, ""));
}

Status mean(Context& c) {
  FIRN_ASSIGN(const ValueId sum, chain(c, Kind::add, "sum"));
  if (c.input_count() == 1) return c.bind(sum);
  FIRN_ASSIGN(const ValueId count,
              c.scalar("count", c.type(sum), static_cast<double>(c.input_count())));
  return c.bind(c.binary("", Kind::div, sum, count));
}

// The result has the base's type. Where the two differ, both are made floats.
Status pow(Context& c) {
  FIRN_ASSIGN(ValueId base, c.input(0));
  FIRN_ASSIGN(ValueId exponent, c.input(1));
  const DType type = c.type(base);
  if (type == c.type(exponent)) return c.bind(c.binary("", Kind::pow, base, exponent));
  for (ValueId* x : {&base, &exponent}) {
    if (c.type(*x) == DType::f32) continue;
    FIRN_ASSIGN(*x, c.convert(x == &base ? "base" : "exponent", *x, DType::f32));
  }
  FIRN_ASSIGN(const ValueId y,
              c.binary(type == DType::f32 ? "" : "real", Kind::pow, base, exponent));
  if (type == DType::f32) return c.bind(y);
  return c.bind(c.convert("", y, type));
}

// The remainder has a's sign (fmod), or Python's, which is b's.
Status mod(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  FIRN_ASSIGN(const int64_t fmod, c.attr("fmod", int64_t{0}));
  return c.bind(c.binary("", fmod != 0 ? Kind::fmod : Kind::mod, a, b));
}

Status where(Context& c) {
  FIRN_ASSIGN(const ValueId condition, c.input(0));
  FIRN_ASSIGN(const ValueId a, c.input(1));
  FIRN_ASSIGN(const ValueId b, c.input(2));
  return c.bind(c.emit("", Where{}, {condition, a, b}));
}

constexpr Operator kOperators[] = {
    {"Add", plain<Kind::add>},
    {"And", plain<Kind::logical_and>},
    {"BitwiseAnd", plain<Kind::bitwise_and>},
    {"BitwiseOr", plain<Kind::bitwise_or>},
    {"BitwiseXor", plain<Kind::bitwise_xor>},
    {"Div", plain<Kind::div>},
    {"Equal", plain<Kind::equal>},
    {"Greater", plain<Kind::greater>},
    {"GreaterOrEqual", or_equal<Kind::greater>},
    {"Less", plain<Kind::less>},
    {"LessOrEqual", or_equal<Kind::less>},
    {"Max", variadic<Kind::max>},
    {"Mean", mean},
    {"Min", variadic<Kind::min>},
    {"Mod", mod},
    {"Mul", plain<Kind::mul>},
    {"Or", plain<Kind::logical_or>},
    {"Pow", pow},
    {"Sub", plain<Kind::sub>},
    {"Sum", variadic<Kind::add>},
    {"Where", where},
    {"Xor", logical_xor},
};

}  // namespace

std::span<const Operator> binary_operators() {
  return kOperators;
}

}  // namespace firn::onnx
