// SPDX-License-Identifier: Apache-2.0
// An ONNX ModelProto in the making: the few messages and fields of onnx.proto that a graph needs,
// in protobuf's wire format.
#ifndef FIRN_RUNTIME_EXPORT_ONNX_WRITER_H_
#define FIRN_RUNTIME_EXPORT_ONNX_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "firn/tensor.h"

namespace firn::onnx {

// A protobuf message: fields by number, in the order they are written.
class Message {
 public:
  void integer(uint32_t field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
  }
  void real(uint32_t field, float value);
  void text(uint32_t field, std::string_view value);
  void bytes(uint32_t field, std::span<const std::byte> value);
  void message(uint32_t field, const Message& value) { text(field, value.out_); }
  void packed(uint32_t field, std::span<const int64_t> values);
  void packed(uint32_t field, std::span<const float> values);
  const std::string& data() const { return out_; }

 private:
  void key(uint32_t field, uint32_t wire) { varint(field << 3 | wire); }
  void varint(uint64_t value);

  std::string out_;
};

// TensorProto.DataType.
int64_t data_type(DType type);

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;
using Texts = std::vector<std::string>;
struct Attribute {
  const char* name;
  std::variant<int64_t, float, std::string, Ints, Floats, Texts> value;
};

// Collects a graph and gives the file.
class ModelWriter {
 public:
  void node(const std::string& op_type, const std::string& name,
            const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
            const std::vector<Attribute>& attributes = {});
  void initializer(const std::string& name, DType type, std::span<const int64_t> dims,
                   std::span<const std::byte> data);
  // -1 is an open dimension.
  void input(const std::string& name, DType type, std::span<const int64_t> dims);
  void output(const std::string& name, DType type, std::span<const int64_t> dims);
  std::string finish();

 private:
  static Message value_info(const std::string& name, DType type, std::span<const int64_t> dims);

  Message graph_;
};

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_EXPORT_ONNX_WRITER_H_
