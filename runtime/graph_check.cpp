// SPDX-License-Identifier: Apache-2.0
// What holds for every graph, whoever built it: the checks behind each import and each pass.
#include <algorithm>
#include <string>
#include <unordered_set>

#include "runtime/graph.h"
#include "runtime/packed.h"
#include "runtime/quant_check.h"

namespace firn {
namespace {

Status malformed(std::string message) {
  return {Code::malformed, std::move(message)};
}

bool in_range(const Graph& graph, ValueId id) {
  return index(id) < graph.values.size();
}

Status check_value(const Value& value) {
  for (int32_t d : value.shape.dims())
    if (d < -1) return malformed("value " + value.name + ": dimension " + std::to_string(d));
  if (value.constant == nullptr) {
    if (is_packed(value))
      return malformed(value.name + ": " + std::to_string(value.quant->bits) +
                       " bits, and no constant");
    // A scalar may be a shape that nobody inferred yet.
    return check_quant(value, value.shape.known() && value.shape.rank > 0);
  }
  const Result<size_t> elements = checked_elements(value.shape);
  if (!elements.ok())
    return malformed("constant " + value.name + ": " + elements.status().message());
  const size_t expected = constant_bytes(value);
  const size_t got = value.constant->bytes().size();
  if (got != expected)
    return malformed("constant " + value.name + ": " + dtype_name(value.type) + " " +
                     to_string(value.shape) + " needs " + std::to_string(expected) +
                     " bytes, has " + std::to_string(got));
  return check_quant(value, value.shape.known());
}

}  // namespace

Status check_ids(const Graph& graph) {
  std::vector<bool> made(graph.values.size());
  for (ValueId id : graph.inputs) {
    if (!in_range(graph, id))
      return malformed("graph input " + std::to_string(index(id)) + " of " +
                       std::to_string(graph.values.size()) + " values");
    if (made[index(id)]) return malformed("input " + graph.value(id).name + ": listed twice");
    made[index(id)] = true;
  }
  for (ValueId id : graph.outputs)
    if (!in_range(graph, id))
      return malformed("graph output " + std::to_string(index(id)) + " of " +
                       std::to_string(graph.values.size()) + " values");
  for (const Node& node : graph.nodes) {
    const auto out_of_range = [&](const char* what, ValueId id) {
      return malformed(describe(node) + ": " + what + " value " + std::to_string(index(id)) +
                       " of " + std::to_string(graph.values.size()));
    };
    if (node.out.empty()) return malformed(describe(node) + ": no output");
    for (ValueId id : node.in)
      if (id != ValueId::none && !in_range(graph, id)) return out_of_range("input", id);
    for (ValueId id : node.out) {
      if (!in_range(graph, id)) return out_of_range("output", id);
      if (made[index(id)])
        return malformed(describe(node) + ": output " + graph.value(id).name +
                         " is made elsewhere, too");
      made[index(id)] = true;
    }
  }
  return {};
}

Status check(const Graph& graph) {
  FIRN_TRY(check_ids(graph));
  for (const Value& value : graph.values) FIRN_TRY(check_value(value));

  std::vector<bool> ready(graph.values.size());
  for (size_t v = 0; v < graph.values.size(); ++v) ready[v] = graph.values[v].constant != nullptr;
  for (ValueId id : graph.inputs) {
    if (ready[index(id)]) return malformed("input " + graph.value(id).name + ": is a constant");
    ready[index(id)] = true;
  }
  for (const Node& node : graph.nodes) {
    for (size_t i = 0; i < node.in.size(); ++i) {
      const ValueId id = node.in[i];
      if (id == ValueId::none) continue;
      if (!ready[index(id)])
        return malformed(describe(node) + ": input " + graph.value(id).name +
                         " is not made before it");
      if (is_packed(graph.value(id)) && !takes_stored_weights(node.op, i) &&
          !std::holds_alternative<Convert>(node.op))
        return malformed(describe(node) + ": input " + graph.value(id).name + " is of " +
                         std::to_string(graph.value(id).quant->bits) +
                         " bits, which only weights may be");
    }
    for (ValueId id : node.out) {
      if (is_packed(graph.value(id)))
        return malformed(describe(node) + ": output " + graph.value(id).name +
                         " is of fewer bits than a byte");
      ready[index(id)] = true;
    }
  }
  if (graph.states > std::min(graph.inputs.size(), graph.outputs.size()))
    return malformed(std::to_string(graph.states) + " states, " +
                     std::to_string(graph.inputs.size()) + " inputs and " +
                     std::to_string(graph.outputs.size()) + " outputs");
  for (ValueId id : graph.outputs) {
    if (!ready[index(id)])
      return malformed("output " + graph.value(id).name + ": nothing makes it");
    if (is_packed(graph.value(id)))
      return malformed("output " + graph.value(id).name + ": is of fewer bits than a byte");
  }

  // A name is how users and calibration tables get at a tensor.
  for (const std::vector<ValueId>* ids : {&graph.inputs, &graph.outputs}) {
    std::unordered_set<std::string> names;
    for (ValueId id : *ids)
      if (!names.insert(graph.value(id).name).second)
        return malformed("two inputs or two outputs are called " + graph.value(id).name);
  }
  return {};
}

}  // namespace firn
