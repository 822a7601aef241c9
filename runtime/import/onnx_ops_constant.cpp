// SPDX-License-Identifier: Apache-2.0
// Operators that make tensors from nothing, and casts.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

// One of the attributes value, value_float, value_floats, value_int, value_ints.
Status constant(Context& c) {
  if (const AttributeProto* value = c.find("value"); value != nullptr) {
    if (!value->tensor) return c.malformed("attribute 'value' is not a tensor");
    FIRN_ASSIGN(Value tensor, c.tensors.read(*value->tensor, "node '" + c.name() + "'"));
    tensor.name = c.builder.unique_name(c.name());
    c.builder.raise_budget(tensor.constant->bytes().size());
    return c.bind(c.builder.add_constant(std::move(tensor)));
  }
  if (c.find("value_float") != nullptr) {
    FIRN_ASSIGN(const float number, c.attr("value_float", 0.0f));
    return c.bind(c.constant<float>("", {}, std::span(&number, 1)));
  }
  if (c.find("value_int") != nullptr) {
    FIRN_ASSIGN(const int64_t number, c.attr("value_int", int64_t{0}));
    return c.bind(c.constant<int64_t>("", {}, std::span(&number, 1)));
  }
  if (c.find("value_floats") != nullptr) {
    FIRN_ASSIGN(const std::vector<float> numbers, c.attr_floats("value_floats"));
    return c.bind(c.constant<float>("", {static_cast<int32_t>(numbers.size())}, numbers));
  }
  if (c.find("value_ints") != nullptr) {
    FIRN_ASSIGN(const std::vector<int64_t> numbers, c.attr_ints("value_ints"));
    return c.bind(c.constant<int64_t>("", {static_cast<int32_t>(numbers.size())}, numbers));
  }
  return c.unsupported("its value is not a number or a tensor of numbers");
}

// A constant's only element, exact in a double.
Result<double> only_element(const Context& c, const Value& value) {
  if (value.shape.elements() != 1) {
    return c.malformed("the value has shape " + to_string(value.shape) + ", expected one element");
  }
  switch (value.type) {
    case DType::f32:
      return static_cast<double>(value.as<float>()[0]);
    case DType::i8:
      return static_cast<double>(value.as<int8_t>()[0]);
    case DType::u8:
      return static_cast<double>(value.as<uint8_t>()[0]);
    case DType::i16:
      return static_cast<double>(value.as<int16_t>()[0]);
    case DType::i32:
      return static_cast<double>(value.as<int32_t>()[0]);
    case DType::boolean:
      return value.constant->bytes()[0] != std::byte{0} ? 1.0 : 0.0;
    case DType::i64: {
      constexpr int64_t kExact = int64_t{1} << 53;
      const int64_t number = value.as<int64_t>()[0];
      if (number < -kExact || number > kExact) {
        return c.unsupported("filling with " + std::to_string(number));
      }
      return static_cast<double>(number);
    }
    default:
      return c.unsupported(std::string("filling with type ") + dtype_name(value.type));
  }
}

Status constant_of_shape(Context& c) {
  FIRN_ASSIGN(const ValueId shape, c.input(0));
  Fill op;
  if (const AttributeProto* value = c.find("value"); value != nullptr) {
    if (!value->tensor) return c.malformed("attribute 'value' is not a tensor");
    FIRN_ASSIGN(const Value tensor, c.tensors.read(*value->tensor, "node '" + c.name() + "'"));
    op.type = tensor.type;
    FIRN_ASSIGN(op.value, only_element(c, tensor));
  }
  return c.bind(c.emit("", op, {shape}));
}

Status range(Context& c) {
  FIRN_ASSIGN(const ValueId start, c.input(0));
  FIRN_ASSIGN(const ValueId limit, c.input(1));
  FIRN_ASSIGN(const ValueId delta, c.input(2));
  return c.bind(c.emit("", Range{}, {start, limit, delta}));
}

Status cast(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t to, c.attr("to", int64_t{0}));
  for (const char* ignored : {"saturate", "round_mode"}) static_cast<void>(c.find(ignored));
  const bool valid = to > 0 && to <= std::numeric_limits<int32_t>::max();
  const ElementType element = valid ? static_cast<ElementType>(to) : ElementType::undefined;
  const std::optional<DType> type = canonical_type(element);
  if (!type) return c.unsupported("to type " + element_name(element));
  if (*type == c.type(x)) return c.bind(x);
  return c.bind(c.convert("", x, *type));
}

Status cast_like(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId like, c.input(1));
  for (const char* ignored : {"saturate", "round_mode"}) static_cast<void>(c.find(ignored));
  if (c.type(like) == c.type(x)) return c.bind(x);
  return c.bind(c.convert("", x, c.type(like)));
}

constexpr Operator kOperators[] = {
    {"Cast", cast},         {"CastLike", cast_like},
    {"Constant", constant}, {"ConstantOfShape", constant_of_shape},
    {"Range", range},
};

}  // namespace

std::span<const Operator> constant_operators() {
  return kOperators;
}

}  // namespace firn::onnx
