// SPDX-License-Identifier: Apache-2.0
// Tests of shapes, buffers, and the building, checking and rewriting of graphs.
#include "runtime/graph.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

Unary relu() {
  return {Unary::Kind::clamp, 0, 6};
}

// x -> n0 -> n1 -> ... ; the last value is called "y".
Graph chain(int nodes) {
  Graph graph;
  ValueId last = graph.add(open("x", {2, 3}));
  graph.inputs = {last};
  for (int n = 0; n < nodes; ++n) {
    const std::string name = n + 1 == nodes ? "y" : "v" + std::to_string(n);
    const ValueId next = graph.add(open(name, {2, 3}));
    graph.add({"n" + std::to_string(n), relu(), {last}, {next}});
    last = next;
  }
  graph.outputs = {last};
  return graph;
}

}  // namespace

TEST_CASE("shapes print, count and refuse what is too large") {
  CHECK(to_string(Shape{1, 224, 224, 3}) == "1x224x224x3");
  CHECK(to_string(Shape{-1, 10}) == "?x10");
  CHECK(to_string(Shape{}) == "scalar");
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{2, 0, 3}.elements() == 0);
  CHECK(Shape{-1, 3}.elements() == 0);
  CHECK(*checked_elements({4, 5}) == 20);
  CHECK(text(checked_elements({-1, 5}).status()) == "malformed: shape ?x5 has an open dimension");
  CHECK(checked_elements({INT32_MAX, INT32_MAX}).status().code() == Code::malformed);
  // 2^31 * 2^31 * 4 wraps to 0 in 64 bits.
  CHECK(checked_elements({1 << 30, 1 << 30, 16}).status().code() == Code::malformed);
  CHECK(checked_elements({0, INT32_MAX, INT32_MAX}).status().code() == Code::malformed);
  const std::vector<int64_t> seven(7, 1), large{int64_t{1} << 31}, negative{-2};
  CHECK(Shape::from(seven).status().code() == Code::malformed);
  CHECK(Shape::from(large).status().code() == Code::malformed);
  CHECK(Shape::from(negative).status().code() == Code::malformed);
  CHECK(*Shape::from(std::vector<int64_t>{-1, 7}) == Shape{-1, 7});
}

TEST_CASE("buffers are aligned, zeroed and refused when too large") {
  for (size_t bytes : {0u, 1u, 63u, 64u, 1000u}) {
    auto memory = Buffer::allocate(bytes);
    REQUIRE(memory.ok());
    CHECK(memory->second.size() == bytes);
    CHECK(reinterpret_cast<uintptr_t>(memory->second.data()) % 64 == 0);
    const std::byte* data = memory->first->bytes().data();
    int sum = 0;  // of the slack, too
    for (size_t i = 0; i < bytes + Buffer::kSlack; ++i) sum += static_cast<int>(data[i]);
    CHECK(sum == 0);
  }
  CHECK(Buffer::allocate(SIZE_MAX).status().code() == Code::out_of_memory);
  CHECK(Buffer::allocate(PTRDIFF_MAX).status().code() == Code::out_of_memory);
}

TEST_CASE("constants are copied, checked and named apart") {
  Graph graph;
  const std::vector<float> data{1, 2, 3};
  const auto first = graph.add_constant<float>("w", {3}, data);
  const auto second = graph.add_constant<float>("w", {3}, data);
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(graph.value(*first).name == "w");
  CHECK(graph.value(*second).name == "w_2");
  CHECK(graph.value(*first).as<float>()[2] == 3.0f);
  CHECK(graph.is_constant(*first));
  CHECK_FALSE(graph.is_constant(ValueId::none));
  CHECK(text(graph.add_constant<float>("v", {4}, data).status()) ==
        "malformed: constant v of f32 4 has 12 bytes");
}

TEST_CASE("uses are counted once a reading") {
  Graph graph = chain(2);
  graph.nodes[1] = {"add", Binary{}, {ValueId{1}, ValueId{1}}, {ValueId{2}}};
  const Uses uses(graph);
  CHECK(uses.producer_of(ValueId{0}) == -1);
  CHECK(uses.producer_of(ValueId{2}) == 1);
  CHECK(uses.consumers_of(ValueId{1}).size() == 2);
  CHECK(uses.consumers_of(ValueId{2}).empty());
}

TEST_CASE("replaced outputs keep their names") {
  Graph graph = chain(2);
  CHECK(replace_uses(graph, ValueId{2}, ValueId{1}));
  CHECK(graph.outputs[0] == ValueId{1});
  CHECK(graph.value(ValueId{1}).name == "y");
  sweep(graph);
  CHECK(graph.nodes.size() == 1);
  CHECK(graph.values.size() == 2);
  CHECK(check(graph).ok());
}

TEST_CASE("an input cannot take an output's name") {
  Graph graph = chain(1);
  CHECK_FALSE(replace_uses(graph, ValueId{1}, ValueId{0}));
  CHECK(graph.value(ValueId{0}).name == "x");
  CHECK(graph.value(graph.outputs[0]).name == "y");
  CHECK(check(graph).ok());
}

TEST_CASE("sweep keeps inputs and what outputs need, and frees folded values of their nodes") {
  Graph graph = chain(3);
  const ValueId unused = graph.add(open("unused", {1}));
  graph.add({"dead", relu(), {ValueId{1}}, {unused}});
  const ValueId idle = graph.add(open("idle", {1}));
  graph.inputs.push_back(idle);
  sweep(graph);
  CHECK(graph.nodes.size() == 3);
  CHECK(graph.values.size() == 5);
  CHECK(graph.value(graph.inputs[1]).name == "idle");

  graph.value(graph.nodes[1].out[0]).constant = floats({2, 3}, {0, 0, 0, 0, 0, 0}).constant;
  sweep(graph);
  REQUIRE(graph.nodes.size() == 1);
  CHECK(graph.nodes[0].name == "n2");
  CHECK(check(graph).ok());
}

TEST_CASE("sorting is stable and names a node of a cycle") {
  Graph graph = chain(4);
  std::swap(graph.nodes[0], graph.nodes[3]);
  CHECK(check(graph).code() == Code::malformed);
  REQUIRE(sort_topologically(graph).ok());
  for (int n = 0; n < 4; ++n)
    CHECK(graph.nodes[static_cast<size_t>(n)].name == "n" + std::to_string(n));

  graph.nodes[1] = {"loop", Binary{}, {ValueId{1}, ValueId{3}}, {ValueId{2}}};  // 3 is made from 2
  const Status status = sort_topologically(graph);
  CHECK(status.code() == Code::malformed);
  const bool named = text(status) == "malformed: loop (Add): is part of a cycle" ||
                     text(status) == "malformed: n2 (Clamp): is part of a cycle";
  CHECK_MESSAGE(named, text(status));
}

TEST_CASE("check names what is wrong") {
  const auto broken = [](const std::function<void(Graph&)>& edit) {
    Graph graph = chain(2);
    edit(graph);
    return text(check(graph));
  };
  CHECK(broken([](Graph&) {}) == "ok");
  CHECK(broken([](Graph& g) { g.nodes[0].in[0] = ValueId{9}; }) ==
        "malformed: n0 (Clamp): input value 9 of 3");
  CHECK(broken([](Graph& g) { g.nodes[0].out[0] = ValueId::none; }) ==
        "malformed: n0 (Clamp): output value 4294967295 of 3");
  CHECK(broken([](Graph& g) { g.nodes[1].out[0] = ValueId{1}; }) ==
        "malformed: n1 (Clamp): output v0 is made elsewhere, too");
  CHECK(broken([](Graph& g) { g.nodes[0].out[0] = ValueId{0}; }) ==
        "malformed: n0 (Clamp): output x is made elsewhere, too");
  CHECK(broken([](Graph& g) { std::swap(g.nodes[0], g.nodes[1]); }) ==
        "malformed: n1 (Clamp): input v0 is not made before it");
  CHECK(broken([](Graph& g) { g.outputs[0] = g.add(open("z", {1})); }) ==
        "malformed: output z: nothing makes it");
  CHECK(broken([](Graph& g) { g.outputs[0] = ValueId{7}; }) ==
        "malformed: graph output 7 of 3 values");
  CHECK(broken([](Graph& g) { g.inputs.push_back(ValueId{0}); }) ==
        "malformed: input x: listed twice");
  CHECK(broken([](Graph& g) { g.nodes[1].out.clear(); }) == "malformed: n1 (Clamp): no output");
  CHECK(broken([](Graph& g) {
          Value short_one = floats({2}, {1, 2});
          short_one.name = "w";
          short_one.shape = {3};
          g.add(short_one);
        }) == "malformed: constant w: f32 3 needs 12 bytes, has 8");
  CHECK(broken([](Graph& g) {
          const ValueId twin = g.add(open("x", {1}));
          g.inputs.push_back(twin);
        }) == "malformed: two inputs or two outputs are called x");
  CHECK(broken([](Graph& g) {
          g.value(ValueId{1}).type = DType::i8;
          g.value(ValueId{1}).quant = per_tensor(0.0f, 0);
        }).starts_with("malformed: "));
}

TEST_CASE("operators have names") {
  CHECK(std::string(op_name(Conv2d{})) == "Conv2d");
  CHECK(std::string(op_name(Binary{Binary::Kind::logical_or, {}})) == "Or");
  CHECK(std::string(op_name(Unary{Unary::Kind::hard_swish, 0, 0})) == "HardSwish");
  CHECK(std::string(op_name(Unary{Unary::Kind::logical_not, 0, 0})) == "Not");
  CHECK(std::string(op_name(Pool2d{Pool2d::Kind::average, {}, false, false})) == "AveragePool2d");
  CHECK(std::string(op_name(Reduce{Reduce::Kind::log_sum_exp, {}, true})) == "ReduceLogSumExp");
  CHECK(describe({"conv_12", Conv2d{}, {}, {}}) == "conv_12 (Conv2d)");
}

TEST_CASE("multiply-accumulates are counted") {
  OneNode conv(Conv2d{.window = {.kernel = {3, 3}}, .groups = 2},
               {open("a", {2, 5, 6, 4}), open("b", {8, 3, 3, 2})});
  REQUIRE(conv.infer().ok());
  CHECK(macs(conv.graph, conv.graph.nodes[0]) == 2u * 3 * 4 * 8 * 3 * 3 * 2);

  OneNode transposed(ConvTranspose2d{.window = {.kernel = {2, 2}, .stride = {2, 2}}, .groups = 2},
                     {open("a", {1, 3, 3, 4}), open("b", {6, 2, 2, 2})});
  REQUIRE(transposed.infer().ok());
  CHECK(macs(transposed.graph, transposed.graph.nodes[0]) == 9u * 4 * 2 * 2 * 3);

  OneNode dense(Dense{}, {open("a", {7, 5}), open("b", {3, 5})});
  REQUIRE(dense.infer().ok());
  CHECK(macs(dense.graph, dense.graph.nodes[0]) == 7u * 5 * 3);
  OneNode add(Binary{}, {open("a", {7}), open("b", {7})});
  REQUIRE(add.infer().ok());
  CHECK(macs(add.graph, add.graph.nodes[0]) == 0);
}

TEST_CASE("the fingerprint tells networks apart, not value ids nor inference") {
  const auto network = [](float weight) {
    Graph graph = chain(2);
    Value w = floats({3}, {1, 2, weight});
    w.name = "w";
    const ValueId id = graph.add(w);
    graph.nodes[1] = {"add", Binary{}, {ValueId{1}, id}, {ValueId{2}}};
    return graph;
  };
  const uint64_t original = fingerprint(network(3));
  CHECK(fingerprint(network(3)) == original);
  CHECK(fingerprint(network(4)) != original);

  Graph same = network(3);
  same.add(open("unused", {1}));
  REQUIRE(infer_shapes(same).ok());
  CHECK(fingerprint(same) == original);
  sweep(same);
  CHECK(fingerprint(same) == original);

  const auto edited = [&](const std::function<void(Graph&)>& edit) {
    Graph graph = network(3);
    edit(graph);
    return fingerprint(graph);
  };
  CHECK(edited([](Graph& g) { g.nodes[0].name = "other"; }) != original);
  CHECK(edited([](Graph& g) { g.nodes[0].op = Unary{Unary::Kind::clamp, 0, 5}; }) != original);
  CHECK(edited([](Graph& g) { g.nodes[1].op = Binary{Binary::Kind::mul, {}}; }) != original);
  CHECK(edited([](Graph& g) { std::swap(g.nodes[1].in[0], g.nodes[1].in[1]); }) != original);
  CHECK(edited([](Graph& g) { g.value(ValueId{0}).shape = {4, 3}; }) != original);
  CHECK(edited([](Graph& g) { g.value(ValueId{2}).name = "z"; }) != original);
}
