// SPDX-License-Identifier: Apache-2.0
// What an operator's translation sees of its node: attributes, inputs, outputs.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_
#define FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/import/emitter.h"
#include "runtime/import/onnx_proto.h"
#include "runtime/import/onnx_tensor.h"

namespace firn::onnx {

using imports::GraphBuilder;
using imports::TargetDim;

class Context : public imports::Emitter {
 public:
  using Names = std::unordered_map<std::string_view, ValueId>;  // ONNX's name -> value

  Context(GraphBuilder& builder, TensorReader& tensors, Names& names, const NodeProto& proto,
          int64_t opset, std::string name)
      : Emitter(builder, "onnx: node '" + name + "' (" + std::string(proto.op_type) + ")", name),
        tensors(tensors),
        opset(opset),
        names_(names),
        proto_(proto),
        attribute_read_(proto.attributes.size()) {}

  TensorReader& tensors;
  const int64_t opset;

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

  // Input i as numbers: constant, or fixed by shapes that are known. i32 or i64; f32. known_ints
  // has empty entries for what open dimensions decide.
  Result<std::vector<std::optional<int64_t>>> known_ints(size_t i) const;
  // Whether constant_ints() gives them, or input i is left out.
  bool is_known(size_t i) const;
  Result<std::vector<int64_t>> constant_ints(size_t i) const;
  Result<std::vector<float>> constant_floats(size_t i) const;

  // Says that output i is this value; one that is none is an output that the operator does not
  // have.
  Status bind(ValueId id, size_t output = 0);
  Status bind(const Result<ValueId>& id, size_t output = 0);

 private:
  Status not_constant(size_t i, ValueId id) const;
  Result<const AttributeProto*> typed(std::string_view name, AttributeProto::Type type);

  Names& names_;
  const NodeProto& proto_;
  std::vector<bool> attribute_read_;
};

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_CONTEXT_H_
