// SPDX-License-Identifier: Apache-2.0
// Protobuf's wire format, and onnx.proto's field numbers.
#include "runtime/export/onnx_writer.h"

#include <bit>
#include <cstring>

namespace firn::onnx {
namespace {

constexpr int64_t kIrVersion = 8, kOpset = 17;

}  // namespace

int64_t data_type(DType type) {
  switch (type) {
    case DType::f32:
      return 1;
    case DType::u8:
      return 2;
    case DType::i8:
      return 3;
    case DType::i16:
      return 5;
    case DType::i32:
      return 6;
    case DType::i64:
      return 7;
    case DType::boolean:
      return 9;
    case DType::f16:
      return 10;
  }
  return 0;
}

void Message::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
  out_ += static_cast<char>(value);
}

void Message::real(uint32_t field, float value) {
  key(field, 5);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int i = 0; i < 4; ++i) out_ += static_cast<char>(bits >> (8 * i));
}

void Message::text(uint32_t field, std::string_view value) {
  key(field, 2);
  varint(value.size());
  out_ += value;
}

void Message::bytes(uint32_t field, std::span<const std::byte> value) {
  text(field, {reinterpret_cast<const char*>(value.data()), value.size()});
}

void Message::packed(uint32_t field, std::span<const int64_t> values) {
  Message inner;
  for (const int64_t value : values) inner.varint(static_cast<uint64_t>(value));
  message(field, inner);
}

void Message::packed(uint32_t field, std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little, "floats are written as they lie");
  bytes(field, std::as_bytes(values));
}

void ModelWriter::node(const std::string& op_type, const std::string& name,
                       const std::vector<std::string>& inputs,
                       const std::vector<std::string>& outputs,
                       const std::vector<Attribute>& attributes) {
  Message node;
  for (const std::string& input : inputs) node.text(1, input);
  for (const std::string& output : outputs) node.text(2, output);
  node.text(3, name);
  node.text(4, op_type);
  for (const Attribute& attribute : attributes) {
    Message message;
    message.text(1, attribute.name);
    if (const auto* i = std::get_if<int64_t>(&attribute.value)) {
      message.integer(3, *i);
      message.integer(20, 2);
    } else if (const auto* f = std::get_if<float>(&attribute.value)) {
      message.real(2, *f);
      message.integer(20, 1);
    } else if (const auto* s = std::get_if<std::string>(&attribute.value)) {
      message.text(4, *s);
      message.integer(20, 3);
    } else if (const auto* ints = std::get_if<Ints>(&attribute.value)) {
      message.packed(8, *ints);
      message.integer(20, 7);
    } else if (const auto* floats = std::get_if<Floats>(&attribute.value)) {
      message.packed(7, *floats);
      message.integer(20, 6);
    } else {
      for (const std::string& text : std::get<Texts>(attribute.value)) message.text(9, text);
      message.integer(20, 8);
    }
    node.message(5, message);
  }
  graph_.message(1, node);
}

void ModelWriter::initializer(const std::string& name, DType type, std::span<const int64_t> dims,
                              std::span<const std::byte> data) {
  Message tensor;
  tensor.packed(1, dims);
  tensor.integer(2, data_type(type));
  tensor.text(8, name);
  tensor.bytes(9, data);
  graph_.message(5, tensor);
}

Message ModelWriter::value_info(const std::string& name, DType type,
                                std::span<const int64_t> dims) {
  Message shape;
  for (size_t i = 0; i < dims.size(); ++i) {
    Message dim;
    if (dims[i] >= 0)
      dim.integer(1, dims[i]);
    else
      dim.text(2, name + "_dim_" + std::to_string(i));
    shape.message(1, dim);
  }
  Message tensor, value_type, info;
  tensor.integer(1, data_type(type));
  tensor.message(2, shape);
  value_type.message(1, tensor);
  info.text(1, name);
  info.message(2, value_type);
  return info;
}

void ModelWriter::input(const std::string& name, DType type, std::span<const int64_t> dims) {
  graph_.message(11, value_info(name, type, dims));
}

void ModelWriter::output(const std::string& name, DType type, std::span<const int64_t> dims) {
  graph_.message(12, value_info(name, type, dims));
}

std::string ModelWriter::finish() {
  graph_.text(2, "firn");
  Message opset, model;
  opset.text(1, "");
  opset.integer(2, kOpset);
  model.integer(1, kIrVersion);
  model.text(2, "firn");
  model.message(7, graph_);
  model.message(8, opset);
  return model.data();
}

}  // namespace firn::onnx
