// SPDX-License-Identifier: Apache-2.0
// The checks that the shape rules of all operators share.
#include "runtime/infer_context.h"

#include "runtime/geometry.h"
#include "runtime/int8_ops.h"
#include "runtime/packed.h"

namespace firn {

const Value* InferContext::in(size_t i) const {
  if (i >= node.in.size() || node.in[i] == ValueId::none) return nullptr;
  return &graph.value(node.in[i]);
}

Status InferContext::malformed(const std::string& what) const {
  return {Code::malformed, node.name + ": " + what};
}

Status InferContext::unsupported(const std::string& what) const {
  return {Code::unsupported, describe(node) + ": " + what};
}

Status InferContext::expect_inputs(size_t least, size_t most) const {
  if (node.in.size() < least || node.in.size() > most) {
    std::string expected = std::to_string(least);
    if (most > least) expected += most == SIZE_MAX ? " or more" : " to " + std::to_string(most);
    return malformed("has " + std::to_string(node.in.size()) + " inputs, " + op_name(node.op) +
                     " takes " + expected);
  }
  for (size_t i = 0; i < node.in.size(); ++i) {
    const Value* value = in(i);
    if (value == nullptr) {
      if (i < least) return malformed("input " + std::to_string(i) + " is left out");
      continue;
    }
    if (!value->shape.known())
      return {Code::failed_precondition, node.name + ": the shape of input " + value->name +
                                             " is not known: " + to_string(value->shape)};
  }
  return {};
}

Status InferContext::expect_rank(size_t i, int rank) const {
  if (shape(i).rank == rank) return {};
  return malformed("input " + name(i) + " is " + to_string(shape(i)) + ", expected " +
                   std::to_string(rank) + " dimensions");
}

Status InferContext::expect_real(size_t i) const {
  const Value* value = in(i);
  if (value == nullptr || value->type == DType::f32) return {};
  if (value->quant && (value->type == DType::i8 || value->type == DType::u8)) return {};
  if (is_wide(*value)) return {};
  return unsupported("input " + value->name + " is " + dtype_name(value->type) +
                     ", expected f32 or quantized");
}

Status InferContext::expect_weights(size_t i) const {
  const Value* value = in(i);
  return value != nullptr && is_stored_weights(*value) ? Status() : expect_real(i);
}

Status InferContext::expect_bias(size_t i, int64_t channels) const {
  if (in(i) == nullptr) return {};
  const auto has_scale_each = [&](const Value& v, int axis) {
    return v.quant && v.quant->block == 0 && v.quant->axis <= axis;
  };
  const bool accumulators =
      in(i)->type == DType::i32 && has_scale_each(*in(0), -1) && has_scale_each(*in(1), 0);
  if (!accumulators) FIRN_TRY(expect_real(i));
  if (shape(i).rank != 1 || shape(i)[0] != channels)
    return malformed("bias is " + to_string(shape(i)) + ", expected " + std::to_string(channels));
  return {};
}

Result<int> InferContext::axis(int32_t axis, int rank) const {
  const std::optional<int> normal = normalize_axis(axis, rank);
  if (!normal)
    return malformed("axis " + std::to_string(axis) + ", input has " + std::to_string(rank) +
                     " dimensions");
  return *normal;
}

Result<int32_t> InferContext::dimension(const char* what, int64_t size) const {
  if (size < 0 || size > INT32_MAX)
    return malformed(std::string(what) + " would be " + std::to_string(size));
  return static_cast<int32_t>(size);
}

Result<Shape> InferContext::shape_from(const std::vector<int64_t>& dims) const {
  Result<Shape> shape = Shape::from(dims);
  if (!shape.ok()) return malformed(shape.status().message());
  if (!shape->known()) return malformed("shape " + to_string(*shape));
  return shape;
}

Status InferContext::expect_indices(size_t i) const {
  const DType type = in(i)->type;
  if (type == DType::i64 || type == DType::i32) return {};
  return malformed("indices " + name(i) + " are " + dtype_name(type) + ", expected i64 or i32");
}

Result<Tensor> InferContext::constant_tensor(size_t i) const {
  const Value& value = *in(i);
  if (value.constant == nullptr)
    return unsupported("depends on the values of " + value.name + ", which is not constant");
  const std::span<const std::byte> bytes = value.constant->bytes();
  if (bytes.size() != constant_bytes(value))
    return malformed("constant " + value.name + " is not as large as its shape " +
                     to_string(value.shape));
  return Tensor{value.type, value.shape, const_cast<std::byte*>(bytes.data())};
}

Result<std::vector<int64_t>> InferContext::constant_ints(size_t i) const {
  FIRN_ASSIGN(const Tensor tensor, constant_tensor(i));
  if (tensor.type != DType::i64 && tensor.type != DType::i32)
    return malformed("input " + name(i) + " is " + dtype_name(tensor.type) +
                     ", expected i64 or i32");
  if (tensor.shape.rank > 1)
    return malformed("input " + name(i) + " is " + to_string(tensor.shape) + ", expected a vector");
  if (tensor.type == DType::i32) {
    const auto values = tensor.as<int32_t>();
    return std::vector<int64_t>(values.begin(), values.end());
  }
  const auto values = tensor.as<int64_t>();
  return std::vector<int64_t>(values.begin(), values.end());
}

Result<std::vector<float>> InferContext::constant_floats(size_t i) const {
  FIRN_ASSIGN(const Tensor tensor, constant_tensor(i));
  if (tensor.type != DType::f32 || tensor.shape.rank > 1)
    return malformed("input " + name(i) + " is " + dtype_name(tensor.type) + " " +
                     to_string(tensor.shape) + ", expected a vector of f32");
  const auto values = tensor.as<float>();
  return std::vector<float>(values.begin(), values.end());
}

Result<float> InferContext::constant_number(size_t i) const {
  const Value& value = *in(i);
  if (value.constant == nullptr)
    return unsupported("depends on the value of " + value.name + ", which is not constant");
  const size_t bytes = value.constant->bytes().size();
  if (value.shape.elements() != 1 || bytes != dtype_bytes(value.type))
    return malformed("input " + value.name + " is " + to_string(value.shape) +
                     ", expected a scalar");
  switch (value.type) {
    case DType::f32:
      return value.as<float>()[0];
    case DType::i32:
      return static_cast<float>(value.as<int32_t>()[0]);
    case DType::i64:
      return static_cast<float>(value.as<int64_t>()[0]);
    case DType::u8:
      return static_cast<float>(value.as<uint8_t>()[0]);
    case DType::i8:
      return static_cast<float>(value.as<int8_t>()[0]);
    default:
      return malformed("input " + value.name + " is " + dtype_name(value.type) +
                       ", expected a number");
  }
}

}  // namespace firn
