// SPDX-License-Identifier: Apache-2.0
// Writes small ONNX models for tests, field by field, right or wrong.
#ifndef FIRN_TEST_RUNTIME_ONNX_BUILDER_H_
#define FIRN_TEST_RUNTIME_ONNX_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firn::test {

// TensorProto.DataType.
enum OnnxType : int32_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11
};

inline std::string_view as_view(const protozero::data_view& view) {
  return {view.data(), view.size()};
}

// A serialized TensorProto with raw data.
template <typename T>
std::string onnx_tensor(const std::string& name, OnnxType type, const std::vector<int64_t>& dims,
                        const std::vector<T>& values) {
  std::string out;
  protozero::pbf_writer tensor(out);
  for (const int64_t dim : dims) tensor.add_int64(1, dim);
  tensor.add_int32(2, type);
  tensor.add_string(8, name);
  tensor.add_bytes(9, reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return out;
}

inline std::string onnx_floats(const std::string& name, const std::vector<int64_t>& dims,
                               const std::vector<float>& values) {
  return onnx_tensor(name, kFloat, dims, values);
}

inline std::string onnx_ints(const std::string& name, const std::vector<int64_t>& values) {
  return onnx_tensor(name, kInt64, {static_cast<int64_t>(values.size())}, values);
}

// Serialized AttributeProtos.
inline std::string attr(const std::string& name, int64_t value) {
  std::string out;
  protozero::pbf_writer attribute(out);
  attribute.add_string(1, name);
  attribute.add_int64(3, value);
  attribute.add_int32(20, 2);
  return out;
}

inline std::string attr(const std::string& name, float value) {
  std::string out;
  protozero::pbf_writer attribute(out);
  attribute.add_string(1, name);
  attribute.add_float(2, value);
  attribute.add_int32(20, 1);
  return out;
}

inline std::string attr(const std::string& name, const char* value) {
  std::string out;
  protozero::pbf_writer attribute(out);
  attribute.add_string(1, name);
  attribute.add_string(4, value);
  attribute.add_int32(20, 3);
  return out;
}

inline std::string attr(const std::string& name, const std::vector<int64_t>& values) {
  std::string out;
  protozero::pbf_writer attribute(out);
  attribute.add_string(1, name);
  for (const int64_t value : values) attribute.add_int64(8, value);
  attribute.add_int32(20, 7);
  return out;
}

inline std::string attr_tensor(const std::string& name, const std::string& tensor) {
  std::string out;
  protozero::pbf_writer attribute(out);
  attribute.add_string(1, name);
  attribute.add_message(5, tensor);
  attribute.add_int32(20, 4);
  return out;
}

// A dimension: a number, or the name of an open one ("" for one without).
struct OnnxDim {
  OnnxDim(int number) : number(number) {}
  OnnxDim(const char* name) : open(true), name(name) {}
  int64_t number = 0;
  bool open = false;
  std::string name;
};

class OnnxModel {
 public:
  explicit OnnxModel(int64_t opset = 13) : opset_(opset) {}

  OnnxModel& input(const std::string& name, const std::vector<OnnxDim>& dims,
                   OnnxType type = kFloat) {
    protozero::pbf_writer(graph_).add_message(11, value_info(name, dims, type));
    return *this;
  }
  OnnxModel& output(const std::string& name) {
    std::string info;
    protozero::pbf_writer(info).add_string(1, name);
    protozero::pbf_writer(graph_).add_message(12, info);
    return *this;
  }
  OnnxModel& initializer(const std::string& tensor) {
    protozero::pbf_writer(graph_).add_message(5, tensor);
    return *this;
  }
  OnnxModel& node(const std::string& op, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs,
                  const std::vector<std::string>& attributes = {}, const std::string& name = "",
                  const std::string& domain = "") {
    std::string node;
    protozero::pbf_writer writer(node);
    for (const std::string& in : inputs) writer.add_string(1, in);
    for (const std::string& out : outputs) writer.add_string(2, out);
    if (!name.empty()) writer.add_string(3, name);
    writer.add_string(4, op);
    for (const std::string& attribute : attributes) writer.add_message(5, attribute);
    if (!domain.empty()) writer.add_string(7, domain);
    protozero::pbf_writer(graph_).add_message(1, node);
    return *this;
  }

  std::string bytes() const {
    std::string out, opset;
    protozero::pbf_writer(opset).add_int64(2, opset_);
    protozero::pbf_writer model(out);
    model.add_int64(1, 8);
    model.add_message(7, graph_);
    model.add_message(8, opset);
    return out;
  }

 private:
  static std::string value_info(const std::string& name, const std::vector<OnnxDim>& dims,
                                OnnxType type) {
    std::string shape, tensor, wrapped, info;
    for (const OnnxDim& dim : dims) {
      std::string message;
      protozero::pbf_writer writer(message);
      if (!dim.open) writer.add_int64(1, dim.number);
      if (dim.open && !dim.name.empty()) writer.add_string(2, dim.name);
      protozero::pbf_writer(shape).add_message(1, message);
    }
    protozero::pbf_writer(tensor).add_int32(1, type);
    protozero::pbf_writer(tensor).add_message(2, shape);
    protozero::pbf_writer(wrapped).add_message(1, tensor);
    protozero::pbf_writer(info).add_string(1, name);
    protozero::pbf_writer(info).add_message(2, wrapped);
    return info;
  }

  int64_t opset_;
  std::string graph_;
};

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_ONNX_BUILDER_H_
