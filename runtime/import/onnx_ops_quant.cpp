// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear and DequantizeLinear: Converts from and to values that carry their quantization.
#include <cmath>
#include <limits>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_quant_arithmetic.h"

namespace firn::onnx {
namespace {

int32_t integer_at(const Value& value, size_t i) {
  switch (value.type) {
    case DType::i8:
      return value.as<int8_t>()[i];
    case DType::u8:
      return value.as<uint8_t>()[i];
    default:
      return value.as<int32_t>()[i];
  }
}

// Scale and zero points of a node whose inputs are x, scale, zero_point; they have to be constant.
// One of each, or one per slice of x along `axis`.
Result<Quant> read_quant(Context& c, ValueId x) {
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{1}));
  Quant quant;
  FIRN_ASSIGN(quant.scale, c.constant_floats(1));
  if (quant.scale.size() != 1) {
    FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
    quant.axis = static_cast<int8_t>(axis);
    if (c.shape(x)[axis] != static_cast<int32_t>(quant.scale.size())) {
      return c.malformed(std::to_string(quant.scale.size()) + " scales, axis " +
                         std::to_string(axis) + " of the input has " +
                         std::to_string(c.shape(x)[axis]));
    }
  }
  for (const float scale : quant.scale) {
    if (!std::isnormal(scale) || scale < 0)
      return c.malformed("a scale is " + std::to_string(scale));
  }
  quant.zero.assign(quant.scale.size(), 0);
  const ValueId zero = c.optional_input(2);
  if (zero == ValueId::none) return quant;
  const Value& points = c.builder.value(zero);
  if (points.constant == nullptr) return c.unsupported("its zero point is computed at run time");
  if (points.shape.elements() != quant.scale.size()) {
    return c.malformed(std::to_string(quant.scale.size()) + " scales, " +
                       std::to_string(points.shape.elements()) + " zero points");
  }
  if (points.type != DType::i8 && points.type != DType::u8 && points.type != DType::i32) {
    return c.unsupported(std::string("zero points of type ") + dtype_name(points.type));
  }
  for (size_t i = 0; i < quant.zero.size(); ++i) quant.zero[i] = integer_at(points, i);
  return quant;
}

// The type that QuantizeLinear writes: its zero point's, or an attribute's, or uint8.
Result<DType> output_type(Context& c) {
  FIRN_ASSIGN(const int64_t stated, c.attr("output_dtype", int64_t{0}));
  const ValueId zero = c.optional_input(2);
  if (zero != ValueId::none) return c.type(zero);
  if (stated == 0) return DType::u8;
  const bool valid = stated > 0 && stated <= std::numeric_limits<int32_t>::max();
  const std::optional<DType> type =
      canonical_type(valid ? static_cast<ElementType>(stated) : ElementType::undefined);
  if (!type) return c.unsupported("output_dtype " + std::to_string(stated));
  return *type;
}

Status quantize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  for (const char* of_float8 : {"saturate", "precision"}) static_cast<void>(c.find(of_float8));
  FIRN_ASSIGN(const DType type, output_type(c));
  FIRN_ASSIGN(const bool computed, needs_arithmetic(c));
  if (computed) return c.bind(quantize_by_arithmetic(c, x, type));
  if (c.type(x) != DType::f32 || (type != DType::i8 && type != DType::u8)) {
    return c.unsupported(std::string("from ") + dtype_name(c.type(x)) + " to " + dtype_name(type));
  }
  FIRN_ASSIGN(Quant quant, read_quant(c, x));
  Result<ValueId> y = c.builder.add_quantize(c.name(), x, type, std::move(quant));
  if (!y.ok()) return c.fail(y.status().code(), y.status().message());
  return c.bind(*y);
}

// (q - zero) * scale of a constant, computed here: weights and biases then are plain floats.
Status dequantize_constant(Context& c, ValueId x, const Quant& quant) {
  const Value value = c.builder.value(x);
  size_t inner = 1;  // elements in a row that share a scale
  for (int d = quant.axis + 1; quant.axis >= 0 && d < value.shape.rank; ++d) {
    inner *= static_cast<size_t>(value.shape[d]);
  }
  const size_t elements = value.shape.elements();
  FIRN_TRY(c.allow(elements * sizeof(float)));
  std::vector<float> real(elements);
  for (size_t i = 0; i < elements; ++i) {
    const size_t s = quant.axis < 0 ? 0 : i / inner % quant.scale.size();
    const int64_t centred = int64_t{integer_at(value, i)} - quant.zero[s];
    real[i] = static_cast<float>(centred) * quant.scale[s];
  }
  return c.bind(c.constant<float>("", value.shape, real));
}

Status dequantize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  static_cast<void>(c.find("output_dtype"));  // f32 here, whichever float it names
  FIRN_ASSIGN(const bool computed, needs_arithmetic(c));
  if (computed) return c.bind(dequantize_by_arithmetic(c, x));
  const DType type = c.type(x);
  if (type != DType::i8 && type != DType::u8 && type != DType::i32) {
    return c.unsupported(std::string("from ") + dtype_name(type));
  }
  FIRN_ASSIGN(const Quant quant, read_quant(c, x));
  if (c.builder.is_constant(x)) return dequantize_constant(c, x, quant);
  if (type == DType::i32) return c.unsupported("of i32 values computed at run time");
  Result<ValueId> y = c.builder.add_dequantize(c.name(), x, quant);
  if (!y.ok()) return c.fail(y.status().code(), y.status().message());
  return c.bind(*y);
}

constexpr Operator kOperators[] = {
    {"DequantizeLinear", dequantize},
    {"QuantizeLinear", quantize},
};

}  // namespace

std::span<const Operator> quant_operators() {
  return kOperators;
}

}  // namespace firn::onnx
