// SPDX-License-Identifier: Apache-2.0
// Builds the canonical graph node by node, and knows every shape as far as the model fixes it.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_BUILD_H_
#define FIRN_RUNTIME_IMPORT_ONNX_BUILD_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "runtime/graph.h"
#include "runtime/import/onnx_proto.h"

namespace firn::onnx {

// Open dimensions are sampled: probe graphs of the same values and nodes have different numbers in
// their place. A dimension that all of them agree on is known; one that moves with the sample stays
// -1. What a probe cannot run (a 7x7 window on a 1x1 image) says nothing; when none can, the model
// is at fault.
class GraphBuilder {
 public:
  // Names that made-up ones must avoid; false where it is taken.
  bool reserve(std::string_view name) { return names_.emplace(name).second; }
  std::string unique_name(const std::string& name);

  // Inputs come first, all in one call. malformed, unsupported name the input.
  Status add_inputs(const std::vector<const ValueInfo*>& inputs);
  ValueId add_constant(Value value);
  // Asked before a constant is made that is not in the file: a few bytes of model must not fill the
  // memory. `file_bytes` raises what is allowed in all.
  void raise_budget(size_t file_bytes);
  bool can_spend(size_t bytes) const { return bytes <= budget_; }
  bool spend(size_t bytes);
  // Adds a node and its one output, or computes it where all inputs are constant. `quant` is the
  // output's; a node that touches quantized values is never computed here.
  Result<ValueId> add_node(std::string name, Op op, std::vector<ValueId> in,
                           std::optional<Quant> quant = std::nullopt);

  // The shape with -1 where it depends on open dimensions.
  const Shape& shape(ValueId id) const { return graph_.value(id).shape; }
  DType type(ValueId id) const { return graph_.value(id).type; }
  const Value& value(ValueId id) const { return graph_.value(id); }
  bool is_constant(ValueId id) const { return graph_.is_constant(id); }
  // The numbers in an integer constant, or in a vector computed from shapes, as far as the model
  // fixes them: empty where nothing is known, an empty entry where one is open.
  std::optional<std::vector<std::optional<int64_t>>> known_ints(ValueId id) const;
  bool is_input(ValueId id) const { return index(id) < graph_.inputs.size(); }
  void rename(ValueId id, const std::string& name);
  // A value of this very name with the same content, for an output that is not a node's own.
  Result<ValueId> add_copy(const std::string& name, ValueId of);

  // Convert nodes between real and quantized values.
  Result<ValueId> add_quantize(std::string name, ValueId x, DType to, Quant quant);
  Result<ValueId> add_dequantize(std::string name, ValueId x, const Quant& quant);
  // Carries quantization along nodes that only move values about. unsupported names a node that
  // computes with the bare integers, as ONNX allows: it would see real numbers here.
  Status settle_quantization();

  // The finished graph; the builder is spent.
  Result<Graph> finish(const std::vector<ValueId>& outputs);

 private:
  struct Probe {
    Graph graph;
    std::vector<bool> failed;  // by value
  };
  ValueId add_value(const Value& value);
  int32_t sample(size_t probe, std::string_view name, size_t axis);
  Result<bool> fold(const Node& node);
  Status infer_in(Probe& probe, const Node& node);
  Status infer_all(const Node& node);
  void merge(ValueId id);
  Status set_quant(ValueId id, const Quant& quant);

  Graph graph_;
  std::vector<Probe> probes_;
  std::map<std::string, size_t> open_dims_;
  size_t budget_ = size_t{64} << 20;  // bytes of constants that may still be made
  std::unordered_set<std::string> names_;
  std::unordered_set<size_t> quantizes_, dequantizes_;  // outputs of those Converts
};

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_BUILD_H_
