// SPDX-License-Identifier: Apache-2.0
// What importers build the canonical graph with, node by node: names, constants that fold, and
// every shape as far as the model fixes it.
#ifndef FIRN_RUNTIME_IMPORT_GRAPH_BUILDER_H_
#define FIRN_RUNTIME_IMPORT_GRAPH_BUILDER_H_

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/graph.h"

namespace firn::imports {

// An input as the model declares it; -1 for open dimensions. Those of one name are the same, and
// those without one that stand at the same axis.
struct InputInfo {
  std::string_view name;
  DType type = DType::f32;
  Shape shape{};
  std::array<std::string_view, kMaxRank> dim_names{};
  std::optional<Quant> quant{};
};

// Open dimensions are sampled: probe graphs of the same values and nodes have different numbers in
// their place. A dimension that all of them agree on is known; one that moves with the sample stays
// -1. What a probe cannot run (a 7x7 window on a 1x1 image) says nothing; when none can, the model
// is at fault. Shapes that follow from data have -1 throughout, and no probe knows them.
class GraphBuilder {
 public:
  // `format` begins its messages: "onnx".
  explicit GraphBuilder(std::string format) : format_(std::move(format)) {}

  // Names that made-up ones must avoid; false where it is taken.
  bool reserve(std::string_view name) { return names_.emplace(name).second; }
  std::string unique_name(const std::string& name);

  // Inputs come first, all in one call. malformed where one is too large.
  Status add_inputs(const std::vector<InputInfo>& inputs);
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
  // The same for an operator with several outputs.
  Result<std::vector<ValueId>> add_node(std::string name, Op op, std::vector<ValueId> in,
                                        size_t outputs);

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
  // The real numbers behind a constant are one, too, for importers to look at and to move about;
  // finish() gives it back its 8-bit form where an operator may compute with that.
  Result<ValueId> add_dequantize(std::string name, ValueId x, const Quant& quant);
  // Whether x can be dequantized with this quantization: not where others read it with another one,
  // or where it is the result of integer arithmetic or of a plain cast.
  bool can_carry(ValueId x, const Quant& quant) const;
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
  ValueId add_value(Value value);
  void inherit_quant(const Node& node);
  int32_t sample(size_t probe, std::string_view name, size_t axis);
  Result<bool> fold(const Node& node);
  Status add(Node node);
  Status infer_in(Probe& probe, const Node& node);
  Status infer_all(const Node& node);
  bool depends_on_data(const Node& node) const;
  Status infer_open(const Node& node);
  void merge(ValueId id);
  Status set_quant(ValueId id, const Quant& quant);
  Result<ValueId> add_dequantized(std::string name, ValueId x, const Quant& quant);
  Status move_origin(const Node& node);
  void note_bare(const Node& node);
  void restore_quantized(const std::vector<ValueId>& outputs);

  std::string format_;
  Graph graph_;
  std::vector<Probe> probes_;
  std::map<std::string, size_t> open_dims_;
  size_t budget_ = size_t{64} << 20;  // bytes of constants that may still be made
  std::unordered_set<std::string> names_;
  std::unordered_set<size_t> quantizes_, dequantizes_;  // outputs of those Converts
  std::unordered_set<size_t> bare_;                     // integers that are no quantized numbers
  std::map<size_t, ValueId> origins_;                   // of constants: what they dequantize
  std::unordered_set<size_t> open_;                     // values whose shapes follow from data
};

}  // namespace firn::imports

#endif  // FIRN_RUNTIME_IMPORT_GRAPH_BUILDER_H_
