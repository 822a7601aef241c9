// SPDX-License-Identifier: Apache-2.0
// ONNX's protobuf messages as plain structs that view the file: what the importer reads, decoded
// once.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_PROTO_H_
#define FIRN_RUNTIME_IMPORT_ONNX_PROTO_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "firn/status.h"

namespace firn::onnx {

// TensorProto.DataType; only the types that occur in messages by name are listed.
enum class ElementType : int32_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  string = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  bf16 = 16,
};

struct TensorProto {
  std::string_view name;
  std::vector<int64_t> dims;
  ElementType type = ElementType::undefined;
  std::optional<std::string_view> raw;
  std::vector<float> floats;
  std::vector<int32_t> int32s;
  std::vector<int64_t> int64s;
  std::vector<double> doubles;
  bool external = false;
  std::vector<std::pair<std::string_view, std::string_view>> external_data;  // key, value
};

struct AttributeProto {
  // AttributeProto.AttributeType. Subgraphs are recognised but never decoded: no operator that has
  // one is supported, and so a file cannot nest deeper than a tensor in an attribute.
  enum class Type : int32_t {
    undefined = 0,
    f = 1,
    i = 2,
    s = 3,
    tensor = 4,
    graph = 5,
    floats = 6,
    ints = 7,
    strings = 8
  };
  std::string_view name;
  Type type = Type::undefined;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::optional<TensorProto> tensor;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
};

struct NodeProto {
  std::string_view name, op_type, domain;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> attributes;
};

// A dimension of a declared shape: a number, or open, perhaps with a name ("batch").
struct Dimension {
  std::optional<int64_t> value;
  std::string_view name;
};

struct ValueInfo {
  std::string_view name;
  bool is_tensor = false;  // not a sequence, map or optional
  ElementType type = ElementType::undefined;
  std::optional<std::vector<Dimension>> shape;
};

struct GraphProto {
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<ValueInfo> inputs, outputs;
  bool has_sparse_initializers = false;
};

struct ModelProto {
  int64_t ir_version = 0;
  std::vector<std::pair<std::string_view, int64_t>> opsets;  // domain, version
  std::optional<GraphProto> graph;
};

// The model, its strings and raw data viewing `bytes`. malformed: truncated, a field of the wrong
// wire type, a name that is not UTF-8. Throws std::bad_alloc only.
Result<ModelProto> decode_model(std::span<const std::byte> bytes);

// Decodes a lone TensorProto (a *.pb file of test data).
Result<TensorProto> decode_tensor(std::span<const std::byte> bytes);

// Whether the first fields could be those of a ModelProto.
bool plausible_model(std::span<const std::byte> bytes);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_PROTO_H_
