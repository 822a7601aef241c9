// SPDX-License-Identifier: Apache-2.0
// Checks a tensor's type, shape, quantization and data, and brings them into canonical form.
#include "runtime/import/tflite_tensor.h"

#include <algorithm>
#include <cstring>

#include "runtime/quant_check.h"

namespace firn::tflite {
namespace {

using wire::TensorType;

std::optional<DType> canonical_type(TensorType type) {
  switch (type) {
    case TensorType::float32:
      return DType::f32;
    case TensorType::float16:
      return DType::f16;
    case TensorType::int32:
      return DType::i32;
    case TensorType::uint8:
      return DType::u8;
    case TensorType::int64:
      return DType::i64;
    case TensorType::boolean:
      return DType::boolean;
    case TensorType::int16:
      return DType::i16;
    case TensorType::int8:
    case TensorType::int4:
      return DType::i8;
    default:
      return std::nullopt;
  }
}

std::string type_name(TensorType type) {
  const std::string name = wire::EnumNameTensorType(type);
  return name.empty() ? "type " + std::to_string(static_cast<int>(type)) : name;
}

// The shape that the file leaves open where it has a signature.
Result<Shape> shape_of(const wire::Tensor& tensor, bool closed) {
  const auto* shape = tensor.shape();
  const auto* signature = tensor.shape_signature();
  std::vector<int64_t> dims;
  for (uint32_t i = 0; shape != nullptr && i < shape->size(); ++i) {
    const int64_t dim = shape->Get(i);
    if (dim < 0) return Status(Code::malformed, "a dimension is " + std::to_string(dim));
    const bool open = !closed && signature != nullptr && signature->size() == shape->size() &&
                      signature->Get(i) == -1;
    dims.push_back(open ? -1 : dim);
  }
  if (dims.size() > kMaxRank) {
    return Status(Code::unsupported, "rank " + std::to_string(dims.size()) + ", at most " +
                                         std::to_string(kMaxRank) + " is supported");
  }
  FIRN_ASSIGN(const Shape result, Shape::from(dims));
  if (result.known()) FIRN_TRY(checked_elements(result).status());
  return result;
}

// Quantization of 8 and 16 bits. That of biases follows from their layers, and float tensors may
// carry the ranges of a training.
Result<std::optional<Quant>> quant_of(const wire::Tensor& tensor, DType type) {
  const auto* wire = tensor.quantization();
  const bool quantized_type = type == DType::i8 || type == DType::u8 || type == DType::i16;
  if (wire == nullptr || !quantized_type) return std::optional<Quant>();
  if (wire->details_type() != 0) {
    return Status(
        Code::unsupported,
        "quantization of kind " + std::to_string(wire->details_type()) + " is not supported");
  }
  if (wire->scale() == nullptr || wire->scale()->size() == 0) return std::optional<Quant>();
  Quant quant;
  quant.bits = type == DType::i16 ? 16 : 8;
  quant.scale.assign(wire->scale()->begin(), wire->scale()->end());
  if (wire->zero_point() == nullptr || wire->zero_point()->size() == 0) {
    quant.zero.assign(quant.scale.size(), 0);
  } else {
    quant.zero.reserve(wire->zero_point()->size());
    for (uint32_t i = 0; i < wire->zero_point()->size(); ++i) {
      int64_t zero = 0;  // copied, as the verifier lets them lie at any multiple of 4
      std::memcpy(&zero, wire->zero_point()->Data() + i * sizeof(zero), sizeof(zero));
      zero = flatbuffers::EndianScalar(zero);
      if (zero < INT16_MIN || zero > INT16_MAX) {
        return Status(Code::malformed, "quantization: zero point " + std::to_string(zero));
      }
      quant.zero.push_back(static_cast<int32_t>(zero));
    }
  }
  if (quant.scale.size() > 1) {
    if (wire->quantized_dimension() < 0 || wire->quantized_dimension() >= kMaxRank) {
      return Status(Code::malformed,
                    "quantization: of dimension " + std::to_string(wire->quantized_dimension()));
    }
    quant.axis = static_cast<int8_t>(wire->quantized_dimension());
  }
  return std::optional<Quant>(std::move(quant));
}

// Two elements a byte, the lower four bits first.
void unpack_int4(std::span<const std::byte> from, std::span<std::byte> to) {
  for (size_t i = 0; i < to.size(); ++i) {
    const auto byte = std::to_integer<uint8_t>(from[i / 2]);
    const int32_t nibble = i % 2 == 0 ? byte & 15 : byte >> 4;
    to[i] = static_cast<std::byte>(nibble < 8 ? nibble : nibble - 16);
  }
}

}  // namespace

std::string TensorReader::name(size_t i) const {
  const auto* tensor = graph_.tensors()->Get(static_cast<uint32_t>(i));
  const auto* name = tensor == nullptr ? nullptr : tensor->name();
  return name == nullptr || name->size() == 0 ? "tensor_" + std::to_string(i) : name->str();
}

std::string TensorReader::describe(size_t i) const {
  return "tensor " + std::to_string(i) + " '" + name(i) + "'";
}

Result<std::span<const std::byte>> TensorReader::data(const wire::Tensor& tensor) const {
  using Bytes = std::span<const std::byte>;
  if (tensor.buffer() == 0) return Bytes();  // by convention the empty one
  const size_t count = model_.buffers() == nullptr ? 0 : model_.buffers()->size();
  if (tensor.buffer() >= count) {
    return Status(Code::malformed,
                  "buffer " + std::to_string(tensor.buffer()) + " of " + std::to_string(count));
  }
  const wire::Buffer& buffer = *model_.buffers()->Get(tensor.buffer());
  if (buffer.offset() > 1) {
    if (buffer.offset() > bytes_.size() || buffer.size() > bytes_.size() - buffer.offset()) {
      return Status(Code::malformed, "buffer " + std::to_string(tensor.buffer()) + " has " +
                                         std::to_string(buffer.size()) + " bytes at offset " +
                                         std::to_string(buffer.offset()) + ", the file " +
                                         std::to_string(bytes_.size()));
    }
    return bytes_.subspan(buffer.offset(), buffer.size());
  }
  if (buffer.data() == nullptr) return Bytes();
  return std::as_bytes(std::span(buffer.data()->data(), buffer.data()->size()));
}

Result<FileTensor> TensorReader::read(size_t i) const {
  const auto fail = [&](Code code, const std::string& what) {
    return Status(code, describe(i) + ": " + what);
  };
  const auto* wire = graph_.tensors()->Get(static_cast<uint32_t>(i));
  FileTensor tensor;
  tensor.name = name(i);
  tensor.variable = wire->is_variable();
  const std::optional<DType> type = canonical_type(wire->type());
  if (!type) return fail(Code::unsupported, type_name(wire->type()) + " is not supported");
  if (wire->sparsity() != nullptr) return fail(Code::unsupported, "sparse data is not supported");
  tensor.file_type = tensor.type = *type;
  Result<Shape> shape = shape_of(*wire, closed_);
  if (!shape.ok()) return fail(shape.status().code(), shape.status().message());
  tensor.shape = *shape;
  Result<std::optional<Quant>> quant = quant_of(*wire, *type);
  if (!quant.ok()) return fail(quant.status().code(), quant.status().message());
  tensor.quant = *std::move(quant);
  if (const Status status = check_quant({tensor.name, *type, tensor.shape, tensor.quant, nullptr},
                                        tensor.shape.known());
      !status.ok()) {
    return Status(status.code(), "tensor " + std::to_string(i) + " " + status.message());
  }
  if ((*type == DType::i32 || *type == DType::i64) && wire->quantization() != nullptr &&
      wire->quantization()->scale() != nullptr) {
    const auto& scale = *wire->quantization()->scale();
    tensor.integer_scales = scale.size();
    if (scale.size() > 0) tensor.integer_scale = scale[0];
  }
  const bool shifted = tensor.quant && *type == DType::u8;
  if (shifted) {
    tensor.type = DType::i8;
    for (int32_t& zero : tensor.quant->zero) zero -= 128;
  }

  Result<std::span<const std::byte>> found = data(*wire);
  if (!found.ok()) return fail(found.status().code(), found.status().message());
  const std::span<const std::byte> bytes = *found;
  if (bytes.empty()) {
    if (wire->type() == TensorType::int4) {
      return fail(Code::unsupported, "int4 is supported for constants alone");
    }
    return tensor;
  }
  if (!tensor.shape.known()) return fail(Code::malformed, "a constant of an open shape");
  const size_t elements = tensor.shape.elements();
  const bool packed = wire->type() == TensorType::int4;
  const size_t expected = packed ? (elements + 1) / 2 : elements * dtype_bytes(*type);
  if (bytes.size() != expected) {
    return fail(Code::malformed, type_name(wire->type()) + " " + to_string(tensor.shape) +
                                     " needs " + std::to_string(expected) + " bytes, has " +
                                     std::to_string(bytes.size()));
  }
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(*type) == 0;
  if (aligned && !packed && !shifted && *type != DType::boolean) {
    tensor.data = std::make_shared<const Buffer>(owner_, bytes);
    return tensor;
  }
  FIRN_ASSIGN(auto memory, Buffer::allocate(elements * dtype_bytes(*type)));
  if (packed) {
    unpack_int4(bytes, memory.second);
  } else if (shifted) {
    std::ranges::transform(bytes, memory.second.begin(),
                           [](std::byte b) { return b ^ std::byte{128}; });
  } else if (*type == DType::boolean) {
    std::ranges::transform(bytes, memory.second.begin(),
                           [](std::byte b) { return std::byte{b != std::byte{0}}; });
  } else {
    std::memcpy(memory.second.data(), bytes.data(), bytes.size());
  }
  tensor.data = std::move(memory.first);
  return tensor;
}

}  // namespace firn::tflite
