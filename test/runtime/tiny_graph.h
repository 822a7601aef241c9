// SPDX-License-Identifier: Apache-2.0
// Small values, nodes and graphs for tests, and one-node runs of the reference.
#ifndef FIRN_TEST_RUNTIME_TINY_GRAPH_H_
#define FIRN_TEST_RUNTIME_TINY_GRAPH_H_

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph.h"

namespace firn::test {

template <typename T>
Value constant(const Shape& shape, const std::vector<T>& data) {
  REQUIRE(data.size() == shape.elements());
  auto memory = Buffer::allocate(data.size() * sizeof(T));
  REQUIRE(memory.ok());
  if (!data.empty()) std::memcpy(memory->second.data(), data.data(), data.size() * sizeof(T));
  return {"c", DTypeOf<T>::value, shape, std::nullopt, memory->first};
}

inline Value floats(const Shape& shape, const std::vector<float>& data) {
  return constant<float>(shape, data);
}
// 1 2 3 over 4 5 6.
inline Value matrix() {
  return floats({2, 3}, {1, 2, 3, 4, 5, 6});
}
inline Value longs(const Shape& shape, const std::vector<int64_t>& data) {
  return constant<int64_t>(shape, data);
}
inline Value ints(const Shape& shape, const std::vector<int32_t>& data) {
  return constant<int32_t>(shape, data);
}
inline Value booleans(const Shape& shape, const std::vector<uint8_t>& data) {
  Value value = constant<uint8_t>(shape, data);
  value.type = DType::boolean;
  return value;
}
inline Value bytes(const Shape& shape, const std::vector<int8_t>& data, Quant quant) {
  Value value = constant<int8_t>(shape, data);
  value.quant = std::move(quant);
  return value;
}
inline Quant per_tensor(float scale, int32_t zero) {
  Quant quant;
  quant.scale = {scale};
  quant.zero = {zero};
  return quant;
}
// A value that is not constant.
inline Value open(const std::string& name, const Shape& shape, DType type = DType::f32) {
  return {name, type, shape, std::nullopt, nullptr};
}

// How many outputs a node with the operator has.
inline size_t output_count(const Op& op) {
  if (const auto* cell = std::get_if<Recurrent>(&op))
    return cell->cell == Recurrent::Cell::lstm ? 3 : 2;
  if (std::holds_alternative<DetectionPostProcess>(op)) return 4;
  return std::holds_alternative<TopK>(op) ? 2 : 1;
}

// A graph of one node called "node" with inputs named a, b, c, ...; a value of name "" is left out.
struct OneNode {
  Graph graph;
  ValueId out = ValueId::none;

  OneNode(Op op, const std::vector<Value>& in, Value result = open("y", {})) {
    Node node{"node", std::move(op), {}, {}};
    for (size_t i = 0; i < in.size(); ++i) {
      node.in.push_back(in[i].name.empty() ? ValueId::none : graph.add(in[i]));
      if (in[i].name.empty()) continue;
      graph.values.back().name = std::string(1, static_cast<char>('a' + i));
      if (in[i].constant == nullptr) graph.inputs.push_back(node.in.back());
    }
    out = graph.add(std::move(result));
    node.out = {out};
    for (size_t i = 1; i < output_count(node.op); ++i)
      node.out.push_back(graph.add(open("y" + std::to_string(i), {})));
    graph.outputs = node.out;
    graph.add(std::move(node));
  }
  Status infer() { return firn::infer(graph, graph.nodes[0]); }
  const Value& y() const { return graph.value(out); }
};

// The reference's result for constant inputs. `result` brings the quantization of the output.
inline Result<Value> evaluate(Op op, const std::vector<Value>& in, Value result = open("y", {})) {
  OneNode one(std::move(op), in, std::move(result));
  if (Status status = fold_node(one.graph, one.graph.nodes[0]); !status.ok()) return status;
  return one.y();
}

// The same for all outputs of an operator that has several.
inline Result<std::vector<Value>> evaluate_all(Op op, const std::vector<Value>& in) {
  OneNode one(std::move(op), in);
  if (Status status = fold_node(one.graph, one.graph.nodes[0]); !status.ok()) return status;
  std::vector<Value> outputs;
  for (const ValueId id : one.graph.outputs) outputs.push_back(one.graph.value(id));
  return outputs;
}

// The elements of evaluate()'s result; fails the test where there is none.
template <typename T>
std::vector<T> values(Result<Value> result) {
  if (!result.ok()) {
    FAIL_CHECK(result.status().message());
    return {};
  }
  CHECK(dtype_name(result->type) == dtype_name(DTypeOf<T>::value));
  const auto data = result->as<T>();
  return {data.begin(), data.end()};
}
template <typename T>
std::vector<T> run(Op op, const std::vector<Value>& in) {
  return values<T>(evaluate(std::move(op), in));
}
inline std::vector<float> run(Op op, const std::vector<Value>& in) {
  return run<float>(std::move(op), in);
}
inline std::vector<uint8_t> run_booleans(Op op, const std::vector<Value>& in) {
  Result<Value> result = evaluate(std::move(op), in);
  REQUIRE(result.ok());
  CHECK(result->type == DType::boolean);
  const auto data = result->as<uint8_t>();
  return {data.begin(), data.end()};
}

// Code and message of a failure: "malformed: node: step of axis 0 is 0".
inline std::string text(const Status& status) {
  return std::string(code_name(status.code())) + (status.ok() ? "" : ": " + status.message());
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_TINY_GRAPH_H_
