// SPDX-License-Identifier: Apache-2.0
// Emits the arithmetic of quantization.
#include "runtime/import/onnx_quant_arithmetic.h"

#include <vector>

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

// A scale or zero point, as floats that broadcast to x: one, one per slice along the axis, or one
// per block of an axis.
Result<ValueId> aligned(Context& c, std::string_view suffix, ValueId parameter, ValueId x) {
  FIRN_ASSIGN(const int64_t block, c.attr("block_size", int64_t{0}));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{1}));
  if (c.type(parameter) != DType::f32) {
    FIRN_ASSIGN(parameter, c.convert(std::string(suffix) + "_real", parameter, DType::f32));
  }
  const Shape& shape = c.shape(parameter);
  if (block == 0 && (shape.rank == 0 || shape == Shape{1}))
    return c.emit(suffix, Reshape{}, {parameter});
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  if (block == 0) {
    if (shape.rank != 1)
      return c.malformed(std::string(suffix) + " is " + to_string(shape) + ", expected a vector");
    std::vector<TargetDim> to(static_cast<size_t>(c.rank(x)), TargetDim::of(1));
    to[static_cast<size_t>(axis)] = TargetDim::copy(0);
    return c.reshape(suffix, parameter, to);
  }
  const int32_t dim = c.shape(x)[axis];
  if (block < 0) return c.malformed("block_size is " + std::to_string(block));
  if (shape.rank != c.rank(x) || dim < 0)
    return c.unsupported("blocks of " + to_string(c.shape(x)) + ", " + std::string(suffix) +
                         " is " + to_string(shape));
  FIRN_TRY(c.allow(static_cast<size_t>(dim) * sizeof(int64_t)));
  std::vector<int64_t> blocks(static_cast<size_t>(dim));
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int64_t>(i) / block;
  FIRN_ASSIGN(const ValueId indices,
              c.constant<int64_t>(std::string(suffix) + "_blocks", {dim}, blocks));
  return c.emit(suffix, Gather{axis}, {parameter, indices});
}

std::pair<float, float> bounds(DType type) {
  if (type == DType::i8) return {-128.0f, 127.0f};
  if (type == DType::u8) return {0.0f, 255.0f};
  return {-32768.0f, 32767.0f};
}

}  // namespace

Result<bool> needs_arithmetic(Context& c) {
  FIRN_ASSIGN(const int64_t block, c.attr("block_size", int64_t{0}));
  FIRN_ASSIGN(const ValueId scale, c.input(1));
  const ValueId zero = c.optional_input(2);
  return block != 0 || !c.builder.is_constant(scale) ||
         (zero != ValueId::none && !c.builder.is_constant(zero));
}

Result<ValueId> quantize_by_arithmetic(Context& c, ValueId x, DType type) {
  if (c.type(x) != DType::f32 || (type != DType::i8 && type != DType::u8 && type != DType::i16))
    return c.unsupported(std::string("from ") + dtype_name(c.type(x)) + " to " + dtype_name(type));
  FIRN_ASSIGN(const ValueId given, c.input(1));
  FIRN_ASSIGN(const ValueId scale, aligned(c, "scale", given, x));
  FIRN_ASSIGN(ValueId y, c.binary("scaled", Kind::div, x, scale));
  FIRN_ASSIGN(y, c.unary("rounded", Unary::Kind::round, y));
  if (c.has(2)) {
    FIRN_ASSIGN(const ValueId point, c.input(2));
    FIRN_ASSIGN(const ValueId zero, aligned(c, "zero", point, x));
    FIRN_ASSIGN(y, c.binary("shifted", Kind::add, y, zero));
  }
  const auto [lo, hi] = bounds(type);
  FIRN_ASSIGN(y, c.unary("saturated", Unary::Kind::clamp, y, lo, hi));
  return c.convert("", y, type);
}

Result<ValueId> dequantize_by_arithmetic(Context& c, ValueId x) {
  if (c.builder.value(x).quant)
    return c.unsupported("what was quantized with one scale is dequantized with another");
  if (c.type(x) == DType::f32 || c.type(x) == DType::boolean)
    return c.unsupported(std::string("from ") + dtype_name(c.type(x)));
  FIRN_ASSIGN(ValueId y, c.convert("real", x, DType::f32));
  if (c.has(2)) {
    FIRN_ASSIGN(const ValueId point, c.input(2));
    FIRN_ASSIGN(const ValueId zero, aligned(c, "zero", point, x));
    FIRN_ASSIGN(y, c.binary("centred", Kind::sub, y, zero));
  }
  FIRN_ASSIGN(const ValueId given, c.input(1));
  FIRN_ASSIGN(const ValueId scale, aligned(c, "scale", given, x));
  return c.binary("", Kind::mul, y, scale);
}

}  // namespace firn::onnx
