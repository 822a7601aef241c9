// SPDX-License-Identifier: Apache-2.0
// Passes that remove: constants, no-ops, twins, Reshapes; and the loop over all of them.
#include <doctest/doctest.h>

#include <set>

#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;

TEST_CASE("fold_constants computes what does not depend on inputs") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 40});
  const ValueId doubled = b.binary("doubled", B::add, b.random({2, 40}), b.random({2, 40}));
  const ValueId large = b.binary("large", B::add, b.random({40, 40}), b.random({40, 40}));
  const ValueId sum = b.binary("sum", B::mul, x, b.unary("abs", U::abs, doubled));
  b.output(b.add("y", MatMul{}, {sum, large}));
  const Graph after = check_pass("fold_constants", b.graph, 1);  // small ones: by infer_shapes
  CHECK(after.nodes.size() == 2);
  CHECK(count(after, "MatMul") == 1);
}

TEST_CASE("fold_constants takes the shape of a known value, and the arithmetic on it") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4});
  const ValueId batch = b.add("batch", Gather{0}, {b.add("shape", ShapeOf{}, {x}), b.ints({0})});
  const ValueId target = b.add("target", Concat{0}, {batch, b.ints({-1})});
  must(infer_shapes(b.graph));  // the Reshape below needs its target
  b.output(b.add("y", Reshape{{}, true}, {x, target}));
  Graph after = check_pass("fold_constants", b.graph, 0);
  CHECK(after.nodes.size() == 1);
  after = check_pass("merge_reshapes", after, 1);
  CHECK(find<Reshape>(after)->shape == std::vector<int32_t>{2, -1});
  after = check_pass("merge_reshapes", after, 1);
  CHECK(find<Reshape>(after)->shape == std::vector<int32_t>{0, -1});
}

TEST_CASE("fold_constants leaves what would make the file grow") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1024, 1024});
  const ValueId fill = b.add("fill", Fill{DType::f32, 0.5}, {b.ints({1024, 1024})});
  b.output(b.binary("y", B::add, x, fill));
  Diag diag;
  CHECK(run_pass("fold_constants", b.graph, &diag) == 0);
  CHECK(count(b.graph, "Fill") == 1);
  REQUIRE(diag.notes.size() == 1);
  CHECK(diag.notes[0] == "fold_constants: fill: the result would take 4194304 bytes");
}

TEST_CASE("fold_constants keeps quantized weights in 8 bits") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 64});
  const std::vector<int8_t> data(64 * 64, 3);
  const ValueId weights = must(b.graph.add_constant<int8_t>("w", {64, 64}, data));
  b.graph.value(weights).quant = Quant{-1, 8, 0, {0.5f}, {0}};
  b.output(b.add("y", MatMul{}, {x, b.add("dequantized", Convert{DType::f32}, {weights})}));
  CHECK(run_pass("fold_constants", b.graph) == 0);
  CHECK(count(b.graph, "Convert") == 1);
}

TEST_CASE("remove_no_ops removes every identity") {
  GraphBuilder b;
  ValueId x = b.input("x", {2, 3, 3, 4});
  x = b.unary("start", U::tanh, x);
  x = b.add("reshape", Reshape{{0, 3, 3, 4}, false}, {x});
  x = b.add("transpose", Transpose{{0, 1, 2, 3}}, {x});
  x = b.add("slice", Slice{{0, 0, 0, 0}, {2, 3, 3, INT32_MAX}, {1, 1, 1, 1}}, {x});
  x = b.add("pad", Pad{Pad::Mode::constant, {0, 0, 0, 0}, {0, 0, 0, 0}, 1}, {x});
  x = b.add("expand", Expand{}, {x, b.ints({2, 3, 3, 4})});
  x = b.add("concat", Concat{1}, {x});
  x = b.add("convert", Convert{DType::f32}, {x});
  x = b.binary("mul", B::mul, b.scalar(1), x);
  x = b.binary("add", B::add, x, b.constant({1, 1}, {0}));
  x = b.binary("sub", B::sub, x, b.scalar(0));
  x = b.binary("div", B::div, x, b.scalar(1));
  const float inf = std::numeric_limits<float>::infinity();
  x = b.unary("clamp", U::clamp, x, -inf, inf);
  Resize2d resize;
  resize.size = {3, 3};
  x = b.add("resize", resize, {x});
  x = b.add("pool", Pool2d{}, {x});
  b.output(b.unary("y", U::exp, x));
  const Graph after = check_pass("remove_no_ops", b.graph, 14);
  CHECK(after.nodes.size() == 2);
}

TEST_CASE("remove_no_ops leaves what only looks like one") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 3, 4});
  b.output(b.add("flip", Slice{{0, -1, 0, 0}, {1, INT32_MIN, 3, 4}, {1, -1, 1, 1}}, {x}));
  b.output(b.add("swap", Transpose{{0, 2, 1, 3}}, {x}));
  b.output(b.binary("minus", B::sub, b.scalar(0), x));
  b.output(b.binary("inverse", B::div, b.scalar(1), x));
  b.output(b.binary("grow", B::add, x, b.constant({1, 1, 1, 1, 1}, {0})));
  b.output(b.relu("relu", x));
  Resize2d resize;
  resize.scale = {1.2f, 1.2f};  // same size, other sampling points
  b.output(b.add("resize", resize, {x}));
  const Graph after = check_pass("remove_no_ops", b.graph, 0);
  CHECK(after.nodes.size() == b.graph.nodes.size());
}

TEST_CASE("remove_no_ops keeps the names of outputs") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  b.output(b.add("same_as_input", Reshape{{1, 4}, false}, {x}));
  const ValueId y = b.unary("y", U::tanh, x);
  b.output(b.add("renamed", Reshape{{1, 4}, false}, {y}));
  b.output(b.unary("z", U::exp, y));
  const Graph after = check_pass("remove_no_ops", b.graph, 1);
  CHECK(count(after, "Reshape") == 1);  // of the input to the output: both names stay
}

TEST_CASE("remove_common computes twins once") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 2, 3, 4});
  const ValueId first = b.unary("a", U::tanh, b.to_nhwc(x));
  const ValueId second = b.unary("b", U::tanh, b.to_nhwc(x));
  const ValueId other = b.unary("c", U::tanh, b.add("t", Transpose{{0, 2, 1, 3}}, {x}));
  b.output(b.binary("sum", B::add, first, second));
  b.output(other);
  const Graph after = check_pass("remove_common", b.graph, 2);
  CHECK(count(after, "Transpose") == 2);
  CHECK(count(after, "Tanh") == 2);
}

TEST_CASE("remove_common keeps twins that are outputs by their own names") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4});
  b.output(b.unary("a", U::tanh, x));
  b.output(b.unary("b", U::tanh, x));
  check_pass("remove_common", b.graph, 0);

  GraphBuilder c;
  const ValueId z = c.input("x", {1, 4});
  const ValueId inner = c.unary("inner", U::tanh, z);
  c.output(c.unary("out", U::tanh, z));
  c.output(c.unary("exp", U::exp, inner));
  CHECK(check_pass("remove_common", c.graph, 1).nodes.size() == 2);
}

TEST_CASE("merge_reshapes makes one of two and leaves the batch open") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4, 5});
  const ValueId flat = b.add("flat", Reshape{{0, -1}, false}, {x});
  b.output(b.add("y", Reshape{{0, 12, 5}, false}, {flat}));
  Graph after = check_pass("merge_reshapes", b.graph, 1);
  REQUIRE(after.nodes.size() == 1);
  CHECK(find<Reshape>(after)->shape == std::vector<int32_t>{0, 12, 5});
  // ... so that the graph runs with another one.
  after.value(after.inputs[0]).shape[0] = 7;
  must(infer_shapes(after));
  CHECK(after.value(after.outputs[0]).shape == Shape{7, 12, 5});
}

TEST_CASE("merge_reshapes carries an open dimension through") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4});
  const ValueId rows = b.add("rows", Reshape{{-1, 4}, false}, {x});
  b.output(b.add("y", Reshape{{0, 2, 2}, false}, {rows}));
  Graph after = check_pass("merge_reshapes", b.graph, 1);
  CHECK(find<Reshape>(after)->shape == std::vector<int32_t>{-1, 2, 2});
}

TEST_CASE("transposes_to_reshapes turns moves of ones into Reshapes beside Reshapes") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 1, 1, 6});
  b.output(b.add("y", Reshape{{0, 6}, false}, {b.to_nchw("t", x)}));
  const Graph after = check_pass("transposes_to_reshapes", b.graph, 1);
  CHECK(count(after, "Reshape") == 2);
  CHECK(find_node(after, "t") != nullptr);

  GraphBuilder moving;
  const ValueId z = moving.input("x", {2, 1, 3, 6});
  moving.output(moving.add("y", Reshape{{0, 18}, false}, {moving.to_nchw("t", z)}));
  check_pass("transposes_to_reshapes", moving.graph, 0);

  GraphBuilder batch;  // a batch of one may become one of many
  const ValueId w = batch.input("x", {1, 5});
  const ValueId t = batch.add("t", Transpose{{1, 0}}, {w});
  batch.output(batch.add("y", Reshape{{5}, false}, {t}));
  check_pass("transposes_to_reshapes", batch.graph, 0);
}

TEST_CASE("optimize gives every node a name of its own") {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 8});
  x = b.dense("", x, 8);
  x = b.unary("layer", U::tanh, x);
  x = b.unary("layer", U::sigmoid, x);
  b.output(x);
  Diag diag;
  must(optimize(b.graph, diag));
  std::set<std::string> names;
  for (const Node& node : b.graph.nodes) {
    CHECK(!node.name.empty());
    names.insert(node.name);
  }
  CHECK(names.size() == b.graph.nodes.size());
  CHECK(names.contains("layer"));
  CHECK(names.contains("layer_2"));
}

TEST_CASE("optimize says what the last round left undone, once") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 3});
  const ValueId shifted = b.binary("shifted", B::add, x, b.scalar(0.5f));
  b.output(b.relu("y", b.conv("conv", shifted, 2, 3, 1)));
  Diag diag;
  must(optimize(b.graph, diag));
  REQUIRE(diag.notes.size() == 1);
  CHECK(diag.notes[0] == "fold_affine_before: conv: padding is not shifted with x");
}

TEST_CASE("optimize reports a graph whose shapes do not fit") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 8});
  b.output(b.dense("dense", x, 8));
  b.graph.value(b.graph.inputs[0]).shape = {1, 7};
  Diag diag;
  CHECK(optimize(b.graph, diag).code() == Code::malformed);
}

}  // namespace
}  // namespace firn::test
