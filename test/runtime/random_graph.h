// SPDX-License-Identifier: Apache-2.0
// Builds small graphs with seeded weights, runs passes on them and compares what they compute.
#ifndef FIRN_TEST_RUNTIME_RANDOM_GRAPH_H_
#define FIRN_TEST_RUNTIME_RANDOM_GRAPH_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/graph.h"
#include "runtime/passes/passes.h"

namespace firn::test {

template <typename T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return *std::move(result);
}

inline void must(const Status& status) {
  REQUIRE_MESSAGE(status.ok(), status.message());
}

inline const std::vector<int32_t> kToNhwc{0, 2, 3, 1};
inline const std::vector<int32_t> kToNchw{0, 3, 1, 2};

// A graph under construction. Nodes are added by the name of the value they make, shapes at once.
class GraphBuilder {
 public:
  explicit GraphBuilder(uint32_t seed = 1) : random_(seed) {}

  Graph graph;

  ValueId input(const std::string& name, const Shape& shape) {
    const ValueId id = graph.add({name, DType::f32, shape, std::nullopt, nullptr});
    graph.inputs.push_back(id);
    return id;
  }
  ValueId constant(const Shape& shape, const std::vector<float>& data) {
    return must(graph.add_constant<float>("constant", shape, data));
  }
  ValueId scalar(float value) { return constant({}, {value}); }
  ValueId ints(const std::vector<int64_t>& data) {
    return must(graph.add_constant<int64_t>("ints", {static_cast<int32_t>(data.size())}, data));
  }
  // Uniform in [lo, hi).
  ValueId random(const Shape& shape, float lo = -1, float hi = 1) {
    return constant(shape, floats(shape.elements(), lo, hi));
  }
  std::vector<float> floats(size_t count, float lo = -1, float hi = 1) {
    std::vector<float> data(count);
    for (float& v : data) v = lo + (hi - lo) * static_cast<float>(random_() % 65536) / 65536;
    return data;
  }
  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  ValueId add(const std::string& name, Op op, std::vector<ValueId> in) {
    const ValueId out = graph.add({name, DType::f32, {}, std::nullopt, nullptr});
    graph.add({name, std::move(op), std::move(in), {out}});
    must(infer(graph, graph.nodes.back()));
    return out;
  }
  void output(ValueId id) { graph.outputs.push_back(id); }
  const Shape& shape(ValueId id) const { return graph.value(id).shape; }

  ValueId binary(const std::string& name, Binary::Kind kind, ValueId a, ValueId b) {
    return add(name, Binary{kind, {}}, {a, b});
  }
  ValueId unary(const std::string& name, Unary::Kind kind, ValueId x, float alpha = 0,
                float beta = 0) {
    return add(name, Unary{kind, alpha, beta}, {x});
  }
  ValueId relu(const std::string& name, ValueId x) {
    return unary(name, Unary::Kind::clamp, x, 0, std::numeric_limits<float>::infinity());
  }
  // NHWC; square kernel, `pad` all around.
  ValueId conv(const std::string& name, ValueId x, int32_t channels, int32_t kernel = 1,
               int32_t pad = 0, int32_t stride = 1, int32_t groups = 1) {
    Conv2d op;
    op.window = {{kernel, kernel}, {stride, stride}, {1, 1}, {pad, pad, pad, pad}};
    op.groups = groups;
    const ValueId weights = random({channels, kernel, kernel, shape(x)[3] / groups});
    return add(name, op, {x, weights, random({channels})});
  }
  ValueId dense(const std::string& name, ValueId x, int32_t outputs) {
    const Shape& in = shape(x);
    return add(name, Dense{}, {x, random({outputs, in[in.rank - 1]}), random({outputs})});
  }
  ValueId to_nhwc(ValueId x) { return add(name_of(x) + "_nhwc", Transpose{kToNhwc}, {x}); }
  ValueId to_nchw(const std::string& name, ValueId x) { return add(name, Transpose{kToNchw}, {x}); }
  // As importers of NCHW formats build them: NHWC operators between Transposes.
  ValueId conv_nchw(const std::string& name, ValueId x, int32_t channels, int32_t kernel = 1,
                    int32_t pad = 0, int32_t stride = 1, int32_t groups = 1) {
    return to_nchw(name + "_out", conv(name, to_nhwc(x), channels, kernel, pad, stride, groups));
  }
  // Mul and Add by [C,1,1].
  ValueId batch_norm(const std::string& name, ValueId x) {
    const int32_t channels = shape(x)[1];
    const ValueId scaled =
        binary(name + "_scale", Binary::Kind::mul, x, random({channels, 1, 1}, 0.5f, 1.5f));
    return binary(name, Binary::Kind::add, scaled, random({channels, 1, 1}));
  }

 private:
  std::string name_of(ValueId id) const { return graph.value(id).name; }
  std::mt19937 random_;
};

// Runs one pass and sweeps; what it leaves behind is checked.
inline int run_pass(std::string_view name, Graph& graph, Diag* diag = nullptr) {
  Diag own;
  must(infer_shapes(graph));
  for (const Pass& pass : passes()) {
    if (pass.name != name) continue;
    const int fired = must(pass.run(graph, diag != nullptr ? *diag : own));
    must(check(graph));
    return fired;
  }
  FAIL("no pass is called " << name);
  return 0;
}

inline int count(const Graph& graph, std::string_view op) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes, [op](const Node& node) { return op == op_name(node.op); }));
}

template <typename T>
const T* find(const Graph& graph) {
  for (const Node& node : graph.nodes)
    if (const T* op = std::get_if<T>(&node.op)) return op;
  return nullptr;
}

inline const Node* find_node(const Graph& graph, std::string_view name) {
  const auto it = std::ranges::find(graph.nodes, name, &Node::name);
  return it == graph.nodes.end() ? nullptr : &*it;
}

// What a graph makes of seeded inputs in [-2, 2).
inline std::vector<Value> run_on_random(Graph graph, uint32_t seed) {
  must(infer_shapes(graph));
  GraphBuilder source(seed);
  std::vector<std::vector<float>> data;
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) {
    const Shape& shape = graph.value(id).shape;
    data.push_back(source.floats(shape.elements(), -2, 2));
    inputs.push_back(view(shape, data.back().data()));
  }
  return must(reference_run(graph, inputs));
}

// Both graphs have the same inputs and outputs by name and shape, and compute the same.
inline void check_same(const Graph& before, const Graph& after, double tolerance = 1e-5,
                       uint32_t seed = 7) {
  REQUIRE(before.inputs.size() == after.inputs.size());
  for (size_t i = 0; i < before.inputs.size(); ++i)
    CHECK(before.value(before.inputs[i]).name == after.value(after.inputs[i]).name);
  const std::vector<Value> expected = run_on_random(before, seed);
  const std::vector<Value> got = run_on_random(after, seed);
  REQUIRE(expected.size() == got.size());
  for (size_t o = 0; o < expected.size(); ++o) {
    CHECK(expected[o].name == got[o].name);
    CHECK(expected[o].shape == got[o].shape);
    REQUIRE(expected[o].type == got[o].type);
    if (expected[o].type != DType::f32) {
      CHECK(std::ranges::equal(expected[o].constant->bytes(), got[o].constant->bytes()));
      continue;
    }
    const auto e = expected[o].as<float>();
    const auto g = got[o].as<float>();
    double largest = 1;
    for (float v : e) largest = std::max(largest, std::abs(static_cast<double>(v)));
    for (size_t i = 0; i < e.size(); ++i) {
      if (e[i] == g[i] || std::abs(e[i] - g[i]) <= tolerance * largest) continue;
      CAPTURE(seed);
      CAPTURE(i);
      CAPTURE(expected[o].name);
      REQUIRE(e[i] == doctest::Approx(g[i]));
    }
  }
}

// The pass fires `expected` times and changes no result.
inline Graph check_pass(std::string_view pass, const Graph& before, int expected) {
  Graph after = before;
  CHECK(run_pass(pass, after) == expected);
  check_same(before, after);
  return after;
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_RANDOM_GRAPH_H_
