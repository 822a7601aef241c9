// SPDX-License-Identifier: Apache-2.0
// Quantizing a graph of a test, and finding things in what comes out.
#ifndef FIRN_TEST_QUANT_QUANTIZED_H_
#define FIRN_TEST_QUANT_QUANTIZED_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "quant/observe.h"
#include "quant/quantize_graph.h"
#include "test/runtime/random_graph.h"

namespace firn::test {

// A range for all that may need one; `special` for some.
inline std::map<std::string, Interval> ranges_of(const Graph& graph,
                                                 std::map<std::string, Interval> special = {}) {
  for (const ObservedTensor& tensor : tensors_to_observe(graph))
    if (tensor.range) special.insert({tensor.name, {-4, 4}});
  return special;
}

// Quantized, with shapes and types that inference agrees with.
inline QuantizedGraph quantize(const Graph& graph, const QuantizeOptions& options = {},
                               std::map<std::string, Interval> special = {}) {
  QuantizedGraph result =
      must(quantize_graph(graph, ranges_of(graph, std::move(special)), options));
  Graph inferred = result.graph;
  must(infer_shapes(inferred));
  for (size_t v = 0; v < inferred.values.size(); ++v) {
    CHECK(inferred.values[v].type == result.graph.values[v].type);
    CHECK(inferred.values[v].shape == result.graph.values[v].shape);
  }
  for (ValueId id : result.graph.inputs) CHECK(result.graph.value(id).type == DType::f32);
  for (ValueId id : result.graph.outputs) CHECK(result.graph.value(id).type == DType::f32);
  CHECK(result.graph.value(result.graph.outputs[0]).name == graph.value(graph.outputs[0]).name);
  return result;
}

inline const LayerReport& layer(const QuantizedGraph& result, const std::string& name) {
  const auto found = std::ranges::find(result.layers, name, &LayerReport::name);
  REQUIRE(found != result.layers.end());
  return *found;
}

inline const Value& out(const QuantizedGraph& result, const std::string& name) {
  const Node* node = find_node(result.graph, name);
  REQUIRE(node != nullptr);
  return result.graph.value(node->out[0]);
}

inline const Value& in(const QuantizedGraph& result, const std::string& name, size_t i) {
  const Node* node = find_node(result.graph, name);
  REQUIRE(node != nullptr);
  REQUIRE(node->in.size() > i);
  return result.graph.value(node->in[i]);
}

}  // namespace firn::test

#endif  // FIRN_TEST_QUANT_QUANTIZED_H_
