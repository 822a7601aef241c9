// SPDX-License-Identifier: Apache-2.0
// ConvInteger and MatMulInteger: exact int32 sums of 8-bit products, computed in floats that hold
// them exactly.
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

// Integers up to here, and sums of integers whose absolute values stay below, are exact in f32.
constexpr int64_t kExact = int64_t{1} << 24;
constexpr int64_t kLargest = 255;  // distance of an 8-bit number to its zero point
// A number n is 16 * high + low with |high| <= 16 and |low| <= 8.
constexpr int64_t kDigit = 16;

struct Digits {
  ValueId high = ValueId::none, low = ValueId::none;
};

Result<Digits> digits_of(Context& c, const std::string& suffix, ValueId x) {
  FIRN_ASSIGN(const ValueId base, c.scalar(suffix + "_base", DType::f32, kDigit));
  FIRN_ASSIGN(const ValueId ratio, c.binary(suffix + "_ratio", Kind::div, x, base));
  Digits digits;
  FIRN_ASSIGN(digits.high, c.unary(suffix + "_high", Unary::Kind::round, ratio));
  FIRN_ASSIGN(const ValueId whole, c.binary(suffix + "_whole", Kind::mul, digits.high, base));
  FIRN_ASSIGN(digits.low, c.binary(suffix + "_low", Kind::sub, x, whole));
  return digits;
}

// high * 16 + low in int32.
Result<ValueId> joined(Context& c, const std::string& suffix, ValueId high, ValueId low) {
  FIRN_ASSIGN(const ValueId base, c.scalar(suffix + "_base", DType::i32, kDigit));
  FIRN_ASSIGN(high, c.binary(suffix + "_high", Kind::mul, high, base));
  return c.binary(suffix, Kind::add, high, low);
}

using Product = Result<ValueId> (*)(Context&, ValueId, ValueId);

Result<ValueId> integer_product(Context& c, const std::string& suffix, Product product, ValueId a,
                                ValueId b) {
  FIRN_ASSIGN(const ValueId real, product(c, a, b));
  return c.convert(suffix, real, DType::i32);
}

// Sums of `count` products each. Operands are cut into digits until those sums are exact.
Result<ValueId> exact_product(Context& c, Product product, ValueId a, ValueId b, int64_t count) {
  if (count * kLargest * kLargest < kExact) return integer_product(c, "", product, a, b);
  if (count >= kExact / (kDigit * kDigit))
    return c.unsupported("sums of " + std::to_string(count) + " products");
  FIRN_ASSIGN(const Digits of_a, digits_of(c, "a", a));
  std::vector<ValueId> sums;
  for (const ValueId digit : {of_a.high, of_a.low}) {
    const std::string suffix = sums.empty() ? "high" : "low";
    if (count * kDigit * kLargest < kExact) {
      FIRN_ASSIGN(sums.emplace_back(), integer_product(c, suffix, product, digit, b));
      continue;
    }
    FIRN_ASSIGN(const Digits of_b, digits_of(c, "b", b));
    FIRN_ASSIGN(const ValueId high, integer_product(c, suffix + "_h", product, digit, of_b.high));
    FIRN_ASSIGN(const ValueId low, integer_product(c, suffix + "_l", product, digit, of_b.low));
    FIRN_ASSIGN(sums.emplace_back(), joined(c, suffix, high, low));
  }
  return joined(c, "", sums[0], sums[1]);
}

// Input i as floats, minus the zero point in input i + 2. Several zero points lie along `axis`.
Result<ValueId> centred(Context& c, const char* suffix, size_t i, int64_t axis) {
  FIRN_ASSIGN(const ValueId x, c.input(i));
  const DType type = c.type(x);
  if (type != DType::i8 && type != DType::u8)
    return c.unsupported(std::string("of ") + dtype_name(type));
  FIRN_ASSIGN(const ValueId integers, bare_integers(c, suffix, x));
  ValueId zero = c.optional_input(i + 2);
  if (zero == ValueId::none) return integers;
  if (c.type(zero) != type)
    return c.malformed(std::string("a zero point of type ") + dtype_name(c.type(zero)) + " for " +
                       dtype_name(type));
  const std::string name = suffix;
  FIRN_ASSIGN(zero, c.convert(name + "_zero", zero, DType::f32));
  if (c.rank(zero) == 1 && c.shape(zero)[0] != 1) {
    FIRN_ASSIGN(const int32_t along, c.axis(axis, c.rank(x)));
    std::vector<TargetDim> to(static_cast<size_t>(c.rank(x)), TargetDim::of(1));
    to[static_cast<size_t>(along)] = TargetDim::copy(0);
    FIRN_ASSIGN(zero, c.reshape(name + "_zeros", zero, to));
  }
  return c.binary(name + "_centred", Kind::sub, integers, zero);
}

Status conv_integer(Context& c) {
  FIRN_ASSIGN(const ValueId x, centred(c, "x", 0, 1));
  FIRN_ASSIGN(const ValueId w, centred(c, "w", 1, 0));
  const Shape& filter = c.shape(w);
  if (!filter.known() || filter.rank < 3 || filter[0] < 1)
    return c.unsupported("weights " + to_string(filter));
  const int64_t count = static_cast<int64_t>(filter.elements()) / filter[0];
  const Product conv = [](Context& on, ValueId a, ValueId b) {
    return emit_conv(on, a, b, ValueId::none);
  };
  return c.bind(exact_product(c, conv, x, w, count));
}

Status matmul_integer(Context& c) {
  FIRN_ASSIGN(const ValueId a_bits, c.input(0));
  FIRN_ASSIGN(const ValueId a, centred(c, "a", 0, c.rank(a_bits) > 1 ? -2 : -1));
  FIRN_ASSIGN(const ValueId b, centred(c, "b", 1, -1));
  const Shape& shape = c.shape(b);
  if (shape.rank == 0) return c.malformed("an input is a scalar");
  const int64_t count = shape[shape.rank == 1 ? 0 : shape.rank - 2];
  if (count < 0) return c.unsupported("an open number of products: " + to_string(shape));
  return c.bind(exact_product(c, emit_matmul, a, b, count));
}

constexpr Operator kOperators[] = {
    {"ConvInteger", conv_integer},
    {"MatMulInteger", matmul_integer},
};

}  // namespace

std::span<const Operator> integer_operators() {
  return kOperators;
}

}  // namespace firn::onnx
