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

// The result has the base's type; an exponent of another type is converted where that is exact.
Status pow(Context& c) {
  FIRN_ASSIGN(const ValueId base, c.input(0));
  FIRN_ASSIGN(ValueId exponent, c.input(1));
  if (c.type(base) != c.type(exponent)) {
    if (c.type(base) != DType::f32) {
      return c.unsupported(std::string("base ") + dtype_name(c.type(base)) + " with exponent " +
                           dtype_name(c.type(exponent)));
    }
    FIRN_ASSIGN(exponent, c.convert("exponent", exponent, DType::f32));
  }
  return c.bind(c.binary("", Kind::pow, base, exponent));
}

bool is_unsigned(DType type) {
  return type == DType::u8;
}

// a - (a / b) * b with the quotient cut off, which has a's sign (fmod); Python's has b's: b is
// added where the signs differ. Integers only: a float's cut-off quotient is not exact.
Status mod(Context& c) {
  FIRN_ASSIGN(const ValueId a, c.input(0));
  FIRN_ASSIGN(const ValueId b, c.input(1));
  FIRN_ASSIGN(const int64_t fmod, c.attr("fmod", int64_t{0}));
  const DType type = c.type(a);
  if (type == DType::f32) return c.unsupported("the remainder of floats is not supported");
  const bool done = fmod != 0 || is_unsigned(type);
  FIRN_ASSIGN(const ValueId quotient, c.binary("quotient", Kind::div, a, b));
  FIRN_ASSIGN(const ValueId whole, c.binary("whole", Kind::mul, quotient, b));
  FIRN_ASSIGN(const ValueId rest, c.binary(done ? "" : "rest", Kind::sub, a, whole));
  if (done) return c.bind(rest);
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", type, 0));
  FIRN_ASSIGN(const ValueId shifted, c.binary("shifted", Kind::add, rest, b));
  FIRN_ASSIGN(const ValueId rest_below, c.binary("rest_below", Kind::less, rest, zero));
  FIRN_ASSIGN(const ValueId rest_above, c.binary("rest_above", Kind::greater, rest, zero));
  FIRN_ASSIGN(const ValueId b_below, c.binary("b_below", Kind::less, b, zero));
  FIRN_ASSIGN(const ValueId b_above, c.binary("b_above", Kind::greater, b, zero));
  FIRN_ASSIGN(const ValueId down, c.binary("down", Kind::logical_and, rest_below, b_above));
  FIRN_ASSIGN(const ValueId up, c.binary("up", Kind::logical_and, rest_above, b_below));
  FIRN_ASSIGN(const ValueId differ, c.binary("differ", Kind::logical_or, down, up));
  return c.bind(c.emit("", Where{}, {differ, shifted, rest}));
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
