// SPDX-License-Identifier: Apache-2.0
// Cuts networks where shapes start to follow from data, and runs what lies behind.
#include "runtime/tail.h"

#include <algorithm>
#include <map>
#include <utility>

namespace firn {
namespace {

// Copies nodes into a graph of their own; values come along when they are asked for.
class Part {
 public:
  explicit Part(const Graph& whole) : whole_(whole) {}

  ValueId take(ValueId id) {
    if (id == ValueId::none) return id;
    const auto [found, is_new] = ids_.emplace(id, ValueId::none);
    if (is_new) found->second = graph.add(whole_.value(id));
    return found->second;
  }
  bool has(ValueId id) const { return ids_.contains(id); }
  void take(const Node& node) {
    Node copy{node.name, node.op, {}, {}};
    for (const ValueId id : node.in) copy.in.push_back(take(id));
    for (const ValueId id : node.out) copy.out.push_back(take(id));
    graph.add(std::move(copy));
  }

  Graph graph;

 private:
  const Graph& whole_;
  std::map<ValueId, ValueId> ids_;
};

size_t position(std::span<const ValueId> ids, ValueId id) {
  return static_cast<size_t>(std::ranges::find(ids, id) - ids.begin());
}

}  // namespace

Cut cut_tail(Graph graph, const Graph& inferred) {
  Cut cut;
  cut.states = std::exchange(graph.states, 0);
  std::vector<bool> in_tail(graph.values.size(), false);
  std::vector<const Node*> tail_nodes;
  Part body(graph), tail(graph);
  body.graph.dynamic = graph.dynamic;
  for (const ValueId id : graph.inputs) body.graph.inputs.push_back(body.take(id));
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const auto is_behind = [&](ValueId id) { return id != ValueId::none && in_tail[index(id)]; };
    if (!std::ranges::any_of(node.in, is_behind) && !depends_on_data(inferred, inferred.nodes[n])) {
      body.take(node);
      continue;
    }
    for (const ValueId id : node.out) {
      in_tail[index(id)] = true;
      graph.value(id).type = inferred.value(id).type;
      graph.value(id).shape = inferred.value(id).shape;
    }
    tail_nodes.push_back(&node);
  }
  if (tail_nodes.empty()) {
    for (size_t i = 0; i < graph.outputs.size(); ++i)
      cut.outputs.push_back({Source::From::body, i});
    cut.body = std::move(graph);
    return cut;
  }

  std::vector<ValueId> body_outputs;  // as ids of the whole
  const auto from_body = [&](ValueId id) {
    const size_t at = position(body_outputs, id);
    if (at == body_outputs.size()) body_outputs.push_back(id);
    return Source{Source::From::body, at};
  };
  std::vector<ValueId> tail_outputs;
  for (const ValueId id : graph.outputs) {
    if (!in_tail[index(id)]) {
      cut.outputs.push_back(from_body(id));
      continue;
    }
    cut.outputs.push_back({Source::From::tail, tail_outputs.size()});
    tail_outputs.push_back(id);
  }
  for (const Node* node : tail_nodes) {
    for (const ValueId id : node->in) {
      if (id == ValueId::none || in_tail[index(id)] || graph.is_constant(id) || tail.has(id))
        continue;
      tail.graph.inputs.push_back(tail.take(id));
      const size_t input = position(graph.inputs, id);
      cut.tail_inputs.push_back(
          input < graph.inputs.size() ? Source{Source::From::model_input, input} : from_body(id));
    }
    tail.take(*node);
  }
  for (const ValueId id : tail_outputs) tail.graph.outputs.push_back(tail.take(id));
  for (const ValueId id : body_outputs) body.graph.outputs.push_back(body.take(id));
  cut.body = std::move(body.graph);
  cut.tail = std::move(tail.graph);
  sweep(cut.body);
  return cut;
}

Graph join_tail(const Graph& body, const Cut& cut) {
  Graph whole = body;
  const Graph& tail = cut.tail;
  std::vector<ValueId> joined(tail.values.size(), ValueId::none);
  for (size_t i = 0; i < tail.inputs.size(); ++i) {
    const Source& source = cut.tail_inputs[i];
    joined[index(tail.inputs[i])] = source.from == Source::From::model_input
                                        ? body.inputs[source.index]
                                        : body.outputs[source.index];
  }
  for (size_t v = 0; v < tail.values.size(); ++v)
    if (joined[v] == ValueId::none) joined[v] = whole.add(tail.values[v]);
  const auto id_of = [&](ValueId id) { return id == ValueId::none ? id : joined[index(id)]; };
  for (const Node& node : tail.nodes) {
    Node copy{node.name, node.op, {}, {}};
    for (const ValueId id : node.in) copy.in.push_back(id_of(id));
    for (const ValueId id : node.out) copy.out.push_back(id_of(id));
    whole.add(std::move(copy));
  }
  whole.states = cut.states;
  whole.outputs.clear();
  for (const Source& source : cut.outputs)
    whole.outputs.push_back(source.from == Source::From::tail ? id_of(tail.outputs[source.index])
                                                              : body.outputs[source.index]);
  return whole;
}

TailRun::TailRun(const Cut& cut) : graph_(cut.tail), passing_(graph_.inputs) {
  for (const Node& node : graph_.nodes)
    for (const ValueId id : node.out)
      if (!graph_.is_output(id)) passing_.push_back(id);
}

Status TailRun::run(std::span<const Tensor> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    Value& value = graph_.value(graph_.inputs[i]);
    const auto* bytes = static_cast<const std::byte*>(inputs[i].data);
    value.type = inputs[i].type;
    value.shape = inputs[i].shape;
    value.constant = std::make_shared<const Buffer>(nullptr, std::span(bytes, inputs[i].bytes()));
  }
  Status status;
  for (size_t n = 0; n < graph_.nodes.size() && status.ok(); ++n)
    status = fold_node(graph_, graph_.nodes[n], FoldLimit::none);
  for (const ValueId id : passing_) graph_.value(id).constant = nullptr;
  return status;
}

}  // namespace firn
