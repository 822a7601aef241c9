// SPDX-License-Identifier: Apache-2.0
// Quantization in the graph under construction: where it is stated, and what carries it on.
#include <algorithm>
#include <span>

#include "runtime/import/graph_builder.h"

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
  FIRN_ASSIGN(const ValueId out, add_node(std::move(name), Convert{to}, {x}, std::move(quant)));
  quantizes_.insert(index(out));
  return out;
}

Result<ValueId> GraphBuilder::add_dequantize(std::string name, ValueId x, const Quant& quant) {
  FIRN_TRY(set_quant(x, quant));
  FIRN_ASSIGN(const ValueId out, add_node(std::move(name), Convert{DType::f32}, {x}));
  dequantizes_.insert(index(out));
  return out;
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
