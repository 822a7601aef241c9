// SPDX-License-Identifier: Apache-2.0
// What an operator's translation sees of its node: attributes, inputs, and how to emit canonical
// nodes.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_
#define FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/import/graph_builder.h"
#include "runtime/import/onnx_proto.h"
#include "runtime/import/onnx_tensor.h"

namespace firn::onnx {

using imports::GraphBuilder;

// One dimension of a Reshape's target: a number, or a dimension of the input, known or not.
struct TargetDim {
  int32_t number = -1;
  int source = -1;
  static TargetDim of(int64_t number) { return {static_cast<int32_t>(number), -1}; }
  static TargetDim copy(int axis) { return {-1, axis}; }
  static TargetDim rest() { return {}; }  // whatever is left; once
};

class Context {
 public:
  using Names = std::unordered_map<std::string_view, ValueId>;  // ONNX's name -> value

  Context(GraphBuilder& builder, TensorReader& tensors, Names& names, const NodeProto& proto,
          int64_t opset, std::string name)
      : builder(builder),
        tensors(tensors),
        opset(opset),
        names_(names),
        proto_(proto),
        name_(std::move(name)),
        attribute_read_(proto.attributes.size()) {}

  GraphBuilder& builder;
  TensorReader& tensors;
  const int64_t opset;

  // "node 'conv_3' (Conv): what".
  Status fail(Code code, const std::string& what) const;
  Status malformed(const std::string& what) const { return fail(Code::malformed, what); }
  Status unsupported(const std::string& what) const { return fail(Code::unsupported, what); }
  const std::string& name() const { return name_; }
  std::string_view op_type() const { return proto_.op_type; }

  // Inputs and outputs. Names are resolved before the translation starts.
  size_t input_count() const { return proto_.inputs.size(); }
  bool has(size_t i) const { return i < proto_.inputs.size() && !proto_.inputs[i].empty(); }
  Result<ValueId> input(size_t i) const;   // malformed where it is left out
  ValueId optional_input(size_t i) const;  // none where it is left out
  size_t output_count() const { return proto_.outputs.size(); }
  bool wanted(size_t i) const { return i < proto_.outputs.size() && !proto_.outputs[i].empty(); }

  // Attributes; malformed where one has another type.
  Result<int64_t> attr(std::string_view name, int64_t missing);
  Result<float> attr(std::string_view name, float missing);
  Result<std::string> attr(std::string_view name, const char* missing);
  Result<std::vector<int64_t>> attr_ints(std::string_view name);
  Result<std::vector<float>> attr_floats(std::string_view name);
  const AttributeProto* find(std::string_view name);
  // What is not read might change the meaning: unsupported names it.
  Status all_attributes_read() const;

  const Shape& shape(ValueId id) const { return builder.shape(id); }
  int rank(ValueId id) const { return builder.shape(id).rank; }
  DType type(ValueId id) const { return builder.type(id); }
  // `axis` in [0, rank), counting from the end where it is negative.
  Result<int32_t> axis(int64_t axis, int rank) const;
  // Input i as numbers: constant, or fixed by shapes that are known. i32 or i64; f32. known_ints
  // has empty entries for what open dimensions decide.
  Result<std::vector<std::optional<int64_t>>> known_ints(size_t i) const;
  Result<std::vector<int64_t>> constant_ints(size_t i) const;
  Result<std::vector<float>> constant_floats(size_t i) const;

  // A canonical node; `suffix` tells apart what one ONNX node becomes: "" is the main one.
  Result<ValueId> emit(std::string_view suffix, Op op, std::vector<ValueId> in,
                       std::optional<Quant> quant = std::nullopt);
  template <typename T>
  Result<ValueId> constant(std::string_view suffix, const Shape& shape, std::span<const T> data) {
    return constant_bytes(suffix, DTypeOf<T>::value, shape, std::as_bytes(data));
  }
  // unsupported where a constant of so many bytes would blow the model up; to ask before making
  // one.
  Status allow(size_t bytes) const {
    return builder.can_spend(bytes) ? Status() : too_large(bytes);
  }
  // A scalar of type `type`, for arithmetic with tensors of that type. unsupported for booleans.
  Result<ValueId> scalar(std::string_view suffix, DType type, double value);
  Result<ValueId> reshape(std::string_view suffix, ValueId x, const std::vector<TargetDim>& to);
  // Gives y the shape of x again; its first `kept` dimensions are x's still.
  Result<ValueId> restore(std::string_view suffix, ValueId y, ValueId x, int kept);
  Result<ValueId> transpose(std::string_view suffix, ValueId x, std::vector<int32_t> perm);
  Result<ValueId> binary(std::string_view suffix, Binary::Kind kind, ValueId a, ValueId b);
  Result<ValueId> unary(std::string_view suffix, Unary::Kind kind, ValueId x, float alpha = 0,
                        float beta = 0);
  Result<ValueId> reduce(std::string_view suffix, Reduce::Kind kind, ValueId x,
                         std::vector<int32_t> axes, bool keep = true);
  Result<ValueId> slice(std::string_view suffix, ValueId x, int32_t axis, int32_t begin,
                        int32_t end, int32_t step = 1);
  Result<ValueId> convert(std::string_view suffix, ValueId x, DType to);

  // Says that output i is this value; one that is none is an output that the operator does not
  // have.
  Status bind(ValueId id, size_t output = 0);
  Status bind(const Result<ValueId>& id, size_t output = 0);

 private:
  Status not_constant(size_t i, ValueId id) const;
  Status too_large(size_t bytes) const;
  Result<ValueId> constant_bytes(std::string_view suffix, DType type, const Shape& shape,
                                 std::span<const std::byte> bytes);
  Result<ValueId> widened(std::string_view suffix, ValueId x);
  std::string part(std::string_view suffix) const;
  Result<const AttributeProto*> typed(std::string_view name, AttributeProto::Type type);
  Result<ValueId> dynamic_shape(std::string_view suffix, ValueId x,
                                const std::vector<TargetDim>& to);

  Names& names_;
  const NodeProto& proto_;
  std::string name_;
  std::vector<bool> attribute_read_;
};

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_
