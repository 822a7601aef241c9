// SPDX-License-Identifier: Apache-2.0
// Quantization in the graph under construction: where it is stated, and what carries it on.
#include <algorithm>
#include <iterator>
#include <span>

#include "runtime/import/graph_builder.h"
#include "runtime/quant_axis.h"
#include "runtime/quant_check.h"

namespace firn::imports {
namespace {

// The inputs that a node only moves to its output, value by value; none where it computes.
std::span<const ValueId> moved_inputs(const Node& node) {
  const std::span<const ValueId> in(node.in);
  if (std::holds_alternative<Concat>(node.op)) return in;
  const auto* pool = std::get_if<Pool2d>(&node.op);
  const bool moves =
      std::holds_alternative<Transpose>(node.op) || std::holds_alternative<Reshape>(node.op) ||
      std::holds_alternative<Slice>(node.op) || std::holds_alternative<Gather>(node.op) ||
      std::holds_alternative<Expand>(node.op) ||
      (pool != nullptr && pool->kind == Pool2d::Kind::max);
  return moves ? in.first(1) : in.first(0);
}

// Whether int8 kernels, or passes on their behalf, may want operands of it in 8 bits.
bool may_run_in_int8(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op) || std::holds_alternative<MatMul>(op) ||
         std::holds_alternative<Binary>(op) || std::holds_alternative<Concat>(op);
}

}  // namespace

Status GraphBuilder::set_quant(ValueId id, const Quant& quant) {
  Value& value = graph_.value(id);
  if (value.quant && *value.quant != quant) {
    return {Code::unsupported, "'" + value.name + "' is read with two different quantizations"};
  }
  value.quant = quant;
  for (Probe& probe : probes_) probe.graph.value(id).quant = quant;
  return {};
}

Result<ValueId> GraphBuilder::add_quantize(std::string name, ValueId x, DType to, Quant quant) {
  if (is_constant(x)) {  // training leaves weights so
    Value value;
    value.name = unique_name(name);
    value.quant = quant;
    const ValueId out = add_value(value);
    FIRN_ASSIGN(const bool folded, fold({name, Convert{to}, {x}, {out}}));
    if (folded) {
      FIRN_TRY(check_quant(graph_.value(out), true));
      return out;
    }
  }
  FIRN_ASSIGN(const ValueId out, add_node(std::move(name), Convert{to}, {x}, std::move(quant)));
  quantizes_.insert(index(out));
  return out;
}

Result<ValueId> GraphBuilder::add_dequantize(std::string name, ValueId x, const Quant& quant) {
  if (is_constant(x)) return add_dequantized(std::move(name), x, quant);
  FIRN_TRY(set_quant(x, quant));
  FIRN_ASSIGN(const ValueId out, add_node(std::move(name), Convert{DType::f32}, {x}));
  dequantizes_.insert(index(out));
  return out;
}

// What only moves quantized values makes such.
void GraphBuilder::inherit_quant(const Node& node) {
  const std::span<const ValueId> moved = moved_inputs(node);
  if (moved.empty() || moved[0] == ValueId::none || is_constant(moved[0])) return;
  const Value& from = graph_.value(moved[0]);
  const auto same = [&](ValueId id) {
    return id != ValueId::none && graph_.value(id).quant == from.quant;
  };
  if (!from.quant || !from.quant->per_tensor() || !std::ranges::all_of(moved, same)) return;
  const DType type = from.type;
  const Quant quant = *from.quant;
  const auto set = [&](Graph& graph) {
    Value& out = graph.value(node.out[0]);
    out.type = type;
    out.quant = quant;
  };
  set(graph_);
  for (Probe& probe : probes_) set(probe.graph);
}

bool GraphBuilder::can_carry(ValueId id, const Quant& quant) const {
  const std::optional<Quant>& known = graph_.value(id).quant;
  return is_constant(id) || (!bare_.contains(index(id)) && (!known || *known == quant));
}

void GraphBuilder::note_bare(const Node& node) {
  const std::span<const ValueId> moved = moved_inputs(node);
  const bool moves_bare =
      std::ranges::any_of(moved, [&](ValueId id) { return bare_.contains(index(id)); });
  const bool casts = std::holds_alternative<Convert>(node.op) && !graph_.value(node.out[0]).quant;
  if (moves_bare || casts) bare_.insert(index(node.out[0]));
}

Result<ValueId> GraphBuilder::add_dequantized(std::string name, ValueId x, const Quant& quant) {
  // A copy: others may read the constant as plain integers, or with other scales.
  Value quantized = graph_.value(x);
  quantized.name = unique_name(quantized.name);
  quantized.quant = quant;
  FIRN_TRY(check_quant(quantized, true));
  const ValueId origin = add_value(quantized);
  Value value;
  value.name = unique_name(name);
  const ValueId out = add_value(value);
  const Node node{std::move(name), Convert{DType::f32}, {origin}, {out}};
  FIRN_ASSIGN(const bool folded, fold(node));
  if (!folded) {
    dequantizes_.insert(index(out));
    FIRN_TRY(infer_all(node));
    merge(out);
    graph_.add(node);
  } else if (quantized.shape.rank > 0) {  // scalars do better as floats
    origins_[index(out)] = origin;
  }
  return out;
}

// A constant that is moved keeps its origin, which moves along.
Status GraphBuilder::move_origin(const Node& node) {
  const auto from = node.in.empty() ? origins_.end() : origins_.find(index(node.in[0]));
  if (from == origins_.end()) return {};
  const ValueId out = node.out[0];
  const Value origin = graph_.value(from->second);
  const std::optional<Quant> quant =
      moved_quant(*origin.quant, node.op, origin.shape, graph_.value(out).shape);
  if (!quant) return {};
  Value value;
  value.name = unique_name(origin.name);
  value.type = origin.type;
  value.quant = quant;
  const ValueId moved = add_value(value);
  FIRN_ASSIGN(const bool folded, fold({node.name, node.op, {from->second}, {moved}}));
  if (folded) origins_[index(out)] = moved;
  return {};
}

void GraphBuilder::restore_quantized(const std::vector<ValueId>& outputs) {
  std::unordered_set<size_t> elsewhere;  // read where they have to be numbers
  for (const ValueId id : outputs) elsewhere.insert(index(id));
  for (const Node& node : graph_.nodes) {
    if (may_run_in_int8(node.op)) continue;
    for (const ValueId id : node.in) elsewhere.insert(index(id));
  }
  std::vector<Node> nodes;
  for (const auto& [value, origin] : origins_) {
    if (elsewhere.contains(value)) continue;
    const ValueId id = static_cast<ValueId>(value);
    graph_.value(id).constant = nullptr;
    nodes.push_back({graph_.value(id).name, Convert{DType::f32}, {origin}, {id}});
  }
  nodes.insert(nodes.end(), std::make_move_iterator(graph_.nodes.begin()),
               std::make_move_iterator(graph_.nodes.end()));
  graph_.nodes = std::move(nodes);
}

Status GraphBuilder::settle_quantization() {
  // Backwards from those who read real values, then forwards from those who write quantized ones.
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const std::optional<Quant> quant = graph_.value(node->out[0]).quant;
    if (!quant || !quant->per_tensor()) continue;
    for (const ValueId in : moved_inputs(*node)) FIRN_TRY(set_quant(in, *quant));
  }
  for (const Node& node : graph_.nodes) {
    const std::span<const ValueId> moved = moved_inputs(node);
    const std::optional<Quant> quant = moved.empty() ? std::nullopt : graph_.value(moved[0]).quant;
    if (quant && quant->per_tensor()) FIRN_TRY(set_quant(node.out[0], *quant));
  }
  for (const Node& node : graph_.nodes) {
    const ValueId out = node.out[0];
    const std::span<const ValueId> moved = moved_inputs(node);
    const bool moves_alike = !moved.empty() && std::ranges::all_of(moved, [&](ValueId in) {
      return graph_.value(in).quant == graph_.value(out).quant;
    });
    if (moves_alike || quantizes_.contains(index(out)) || dequantizes_.contains(index(out)))
      continue;
    const auto quantized = [&](ValueId id) {
      return id != ValueId::none && graph_.value(id).quant.has_value();
    };
    if (quantized(out) || std::ranges::any_of(node.in, quantized)) {
      return {Code::unsupported, format_ + ": node '" + node.name + "' (" + op_name(node.op) +
                                     "): computing with the integers behind quantized values is "
                                     "not supported"};
    }
  }
  return {};
}

}  // namespace firn::imports
