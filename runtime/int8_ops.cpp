// SPDX-License-Identifier: Apache-2.0
// The int8 forms of the operators, one overload for each that has one.
#include "runtime/int8_ops.h"

#include <algorithm>
#include <cmath>

namespace firn {
namespace {

using Kind = Int8Form::Kind;

bool is_activation(const Graph& graph, ValueId id) {
  return id != ValueId::none && !graph.is_constant(id) && graph.value(id).type == DType::f32;
}

std::vector<size_t> float_inputs(const Graph& graph, const Node& node) {
  std::vector<size_t> found;
  for (size_t i = 0; i < node.in.size(); ++i)
    if (is_activation(graph, node.in[i])) found.push_back(i);
  return found;
}

Int8Form none(std::string why) {
  return {Kind::none, std::move(why), {}, false};
}
Int8Form moved() {
  return {Kind::moved, "", {0}, false};
}
Int8Form computed(std::vector<size_t> activations = {0}) {
  return {Kind::computed, "", std::move(activations), false};
}

Int8Form weighted(const Graph& graph, const Node& node, bool float_output) {
  for (size_t i = 1; i < node.in.size(); ++i)
    if (node.in[i] != ValueId::none &&
        (!graph.is_constant(node.in[i]) || graph.value(node.in[i]).type != DType::f32))
      return none("its weights are not constant floats");
  const Shape& weights = graph.value(node.in[1]).shape;
  if (weights.elements() == 0) return none("it has no weights");
  const size_t row = weights.elements() / static_cast<size_t>(weights[0]);
  if (row > kLongestRow)
    return none("sums of " + std::to_string(row) + " products do not fit int32");
  return {Kind::weighted, "", {0}, float_output};
}

Int8Form form(const Graph& graph, const Node& node, const Conv2d& op) {
  const Shape &x = graph.value(node.in[0]).shape, &w = graph.value(node.in[1]).shape;
  const bool depthwise = op.groups > 1 && op.groups == x[3] && op.groups == w[0];
  return weighted(graph, node, !depthwise);
}

Int8Form form(const Graph& graph, const Node& node, const Dense&) {
  return weighted(graph, node, true);
}

// b is as large as a, or one row of its innermost dimension, for all of a or for each of the
// outermost dimension.
bool spreads_over(const Shape& b, const Shape& a) {
  if (a == b) return true;
  if (b.rank == 0 || b.rank > a.rank || b[b.rank - 1] != a[a.rank - 1]) return false;
  for (int i = 0; i + 1 < b.rank; ++i) {
    const bool outermost = i == 0 && b.rank == a.rank;
    if (b[i] != 1 && !(outermost && b[i] == a[0])) return false;
  }
  return true;
}

bool all_finite(const Value& constant) {
  return std::ranges::all_of(constant.as<float>(), [](float v) { return std::isfinite(v); });
}

Int8Form form(const Graph& graph, const Node& node, const Binary& op) {
  using enum Binary::Kind;
  if (op.kind == equal || op.kind == less || op.kind == greater || op.kind == logical_and ||
      op.kind == logical_or)
    return none("it does not compute numbers");
  const std::vector<size_t> activations = float_inputs(graph, node);
  if (activations.empty()) return none("it has no activations");
  const Value &a = graph.value(node.in[0]), &b = graph.value(node.in[1]);
  if (a.type != DType::f32 || b.type != DType::f32) return none("it does not compute floats");
  const Shape& y = graph.value(node.out[0]).shape;
  if (activations.size() == 1) {
    const Value& constant = activations[0] == 0 ? b : a;
    const Value& x = activations[0] == 0 ? a : b;
    if (constant.shape.elements() == 1 && x.shape == y) return computed(activations);
    if (!all_finite(constant)) return none("its constant is not finite");
  }
  if (!is_bound(graph, node) && op.kind != add && op.kind != sub && op.kind != mul)
    return none("of two tensors it runs in float");
  if (!(spreads_over(b.shape, a.shape) && a.shape == y) &&
      !(spreads_over(a.shape, b.shape) && b.shape == y))
    return none("it broadcasts " + to_string(a.shape) + " and " + to_string(b.shape));
  return computed(activations);
}

Int8Form form(const Graph&, const Node&, const Unary& op) {
  if (op.kind == Unary::Kind::logical_not) return none("it does not compute numbers");
  return computed();
}

Int8Form form(const Graph&, const Node&, const Pool2d& op) {
  return op.kind == Pool2d::Kind::max ? moved() : computed();
}

Int8Form form(const Graph& graph, const Node& node, const Reduce& op) {
  const bool spatial =
      graph.value(node.in[0]).shape.rank == 4 && op.axes == std::vector<int32_t>{1, 2};
  if (op.kind != Reduce::Kind::mean || !spatial)
    return none("only means over rows and columns run in int8");
  return computed();
}

Int8Form form(const Graph& graph, const Node& node, const Concat&) {
  std::vector<size_t> activations = float_inputs(graph, node);
  if (activations.size() != node.in.size()) return none("it has a constant input");
  return {Kind::concat, "", std::move(activations), false};
}

Int8Form form(const Graph&, const Node&, const Pad& op) {
  if (op.mode != Pad::Mode::constant) return moved();
  // Every int8 range holds 0; of other values one cannot know.
  return op.value == 0 ? moved() : none("it pads with " + std::to_string(op.value));
}

Int8Form form(const Graph&, const Node&, const Resize2d& op) {
  return op.kind == Resize2d::Kind::nearest ? moved() : none("only nearest runs in int8");
}

Int8Form form(const Graph&, const Node&, const Slice&) {
  return moved();
}
Int8Form form(const Graph&, const Node&, const Reshape&) {
  return moved();
}
Int8Form form(const Graph&, const Node&, const Transpose&) {
  return moved();
}
Int8Form form(const Graph&, const Node&, const DepthToSpace&) {
  return moved();
}

Int8Form form(const Graph&, const Node&, const Gather&) {
  return moved();
}
Int8Form form(const Graph&, const Node&, const Expand&) {
  return moved();
}
Int8Form form(const Graph&, const Node&, const Tile&) {
  return moved();
}

template <typename AnyOp>
Int8Form form(const Graph&, const Node& node, const AnyOp&) {
  return none(std::string(op_name(node.op)) + " runs in float");
}

}  // namespace

bool is_wide(const Value& value) {
  return value.type == DType::i16 && value.quant && value.quant->per_tensor() &&
         value.quant->bits == 16 && value.quant->zero[0] == 0;
}

bool is_int8_weights(const Value& value) {
  return value.constant != nullptr && value.type == DType::i8 && value.quant &&
         value.quant->bits == 8 && value.quant->block == 0 && value.quant->axis <= 0;
}

Int8Form int8_form(const Graph& graph, const Node& node) {
  const bool floats = !node.in.empty() && node.out.size() == 1 &&
                      graph.value(node.out[0]).type == DType::f32 && is_layer(graph, node);
  Int8Form found = floats
                       ? std::visit([&](const auto& op) { return form(graph, node, op); }, node.op)
                       : none("it does not compute floats");
  if (!std::ranges::all_of(found.activations,
                           [&](size_t i) { return is_activation(graph, node.in[i]); }))
    found = none("its input is constant");
  if (found.kind == Kind::none && !std::holds_alternative<ShapeOf>(node.op))
    found.activations = float_inputs(graph, node);
  return found;
}

std::vector<Int8Form> int8_forms(const Graph& graph) {
  std::vector<Int8Form> forms;
  for (const Node& node : graph.nodes) forms.push_back(int8_form(graph, node));
  return forms;
}

bool is_layer(const Graph& graph, const Node& node) {
  if (std::holds_alternative<ShapeOf>(node.op)) return false;
  const auto activation = [&](ValueId id) { return is_activation(graph, id); };
  return std::ranges::any_of(node.in, activation) || std::ranges::any_of(node.out, activation);
}

bool is_bound(const Graph& graph, const Node& node) {
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || (op->kind != Binary::Kind::min && op->kind != Binary::Kind::max) ||
      !op->clamp.none() || graph.is_constant(node.in[0]) == graph.is_constant(node.in[1]))
    return false;
  const size_t constant = graph.is_constant(node.in[0]) ? 0 : 1;
  return graph.value(node.in[constant]).shape.elements() != 1 &&
         graph.value(node.in[1 - constant]).shape == graph.value(node.out[0]).shape;
}

ValueId source_of(const Graph& graph, const Uses& uses, const std::vector<Int8Form>& forms,
                  ValueId id) {
  for (;;) {
    const int producer = uses.producer_of(id);
    if (producer < 0 || forms[static_cast<size_t>(producer)].kind != Kind::moved) return id;
    id = graph.nodes[static_cast<size_t>(producer)].in[0];
  }
}

ValueId means_source_of(const Graph& graph, const Uses& uses, ValueId id) {
  const auto channels = [&](ValueId v) {
    const Shape& shape = graph.value(v).shape;
    return shape.rank == 0 ? 0 : shape[shape.rank - 1];
  };
  for (;;) {
    const int producer = uses.producer_of(id);
    if (producer < 0) return id;
    const Node& node = graph.nodes[static_cast<size_t>(producer)];
    if (!std::holds_alternative<Reshape>(node.op) || channels(node.in[0]) != channels(id))
      return id;
    id = node.in[0];
  }
}

}  // namespace firn
