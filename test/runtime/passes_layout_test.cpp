// SPDX-License-Identifier: Apache-2.0
// Passes that move Transposes: they sink, meet, cancel, or disappear into weights.
#include <doctest/doctest.h>

#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;

// y = f(Transpose to NCHW of x): the Transpose sinks once, to the output.
template <typename F>
Graph check_sinks(F f, int fired = 1, const Shape& shape = {2, 3, 4, 5}) {
  GraphBuilder b;
  const ValueId x = b.input("x", shape);
  b.output(f(b, b.to_nchw("t", x)));
  const Graph after = check_pass("sink_transposes", b.graph, fired);
  if (fired == 0) return after;
  CHECK(count(after, "Transpose") <= count(b.graph, "Transpose"));
  // The first operator reads the input as it lies.
  CHECK(!std::holds_alternative<Transpose>(after.nodes.front().op));
  return after;
}

TEST_CASE("merge_transposes cancels pairs and composes the rest") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4, 5});
  const ValueId there = b.to_nchw("there", b.unary("a", U::tanh, x));
  b.output(b.unary("y", U::exp, b.to_nhwc(there)));
  b.output(b.add("z", Transpose{{1, 0, 2, 3}}, {there}));
  const Graph after = check_pass("merge_transposes", b.graph, 2);
  REQUIRE(count(after, "Transpose") == 1);
  CHECK(find<Transpose>(after)->perm == std::vector<int32_t>{3, 0, 1, 2});
}

TEST_CASE("merge_transposes keeps an input and an output apart") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4, 5});
  b.output(b.to_nhwc(b.to_nchw("there", x)));
  const Graph after = check_pass("merge_transposes", b.graph, 1);
  CHECK(after.nodes.size() == 1);
}

TEST_CASE("sink_transposes: element by element") {
  check_sinks([](auto& b, ValueId t) { return b.unary("y", U::tanh, t); });
  check_sinks([](auto& b, ValueId t) { return b.relu("y", b.unary("z", U::exp, t)); }, 2);
  check_sinks([](auto& b, ValueId t) { return b.add("y", PRelu{}, {t, b.random({5, 1, 1})}); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::add, b.scalar(2), t); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::sub, t, b.random({5, 1, 1})); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::sub, t, b.random({3, 4})); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::sub, b.random({4}), t); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::mul, t, b.random({2, 5, 3, 4})); });
  check_sinks([](auto& b, ValueId t) { return b.binary("y", B::less, t, b.scalar(0)); });
  check_sinks([](auto& b, ValueId t) { return b.add("y", Convert{DType::i32}, {t}); });
}

TEST_CASE("sink_transposes: a constant by channel becomes one dimension") {
  const Graph after = check_sinks([](auto& b, ValueId t) {
    return b.binary("y", B::mul, t, b.random({5, 1, 1}));
  });
  CHECK(after.value(find_node(after, "y")->in[1]).shape == Shape{5});
}

TEST_CASE("sink_transposes: both operands") {
  const auto add_up = [](GraphBuilder& b, ValueId t) {
    const ValueId z = b.input("z", {2, 3, 4, 5});
    return b.binary("y", B::add, t, b.to_nchw("u", z));
  };
  check_sinks(add_up);
  // One of them a factor by channel: from a Transpose, ...
  check_sinks([](auto& b, ValueId t) {
    return b.binary("y", B::mul, b.to_nchw("u", b.input("z", {2, 1, 1, 5})), t);
  });
  // ... or had by a Reshape.
  const Graph after = check_sinks([](auto& b, ValueId t) {
    return b.binary("y", B::mul, t, b.unary("u", U::tanh, b.input("z", {2, 5, 1, 1})));
  });
  CHECK(count(after, "Transpose") == 1);
  CHECK(count(after, "Reshape") == 1);
}

TEST_CASE("sink_transposes stays where an operand is not transposed, or otherwise") {
  check_sinks(
      [](auto& b, ValueId t) {
        return b.binary("y", B::add, t, b.input("z", {2, 5, 3, 4}));
      },
      0);
  check_sinks(
      [](auto& b, ValueId t) {
        const ValueId z = b.input("z", {2, 3, 5, 4});
        return b.binary("y", B::add, t, b.add("u", Transpose{{0, 2, 1, 3}}, {z}));
      },
      0);
  // A Transpose of lower rank, broadcast.
  GraphBuilder b;
  const ValueId t = b.add("t", Transpose{{1, 0}}, {b.input("x", {5, 4})});
  b.output(b.binary("y", B::add, t, b.random({3, 4, 5})));
  check_pass("sink_transposes", b.graph, 0);
}

TEST_CASE("sink_transposes: operators with axes") {
  for (int32_t axis : {0, 1, 2, 3, -3}) {
    CAPTURE(axis);
    check_sinks([&](auto& b, ValueId t) {
      const ValueId u = b.to_nchw("u", b.input("z", {2, 3, 4, 5}));
      return b.add("y", Concat{axis}, {t, u, b.random({2, 5, 3, 4})});
    });
    const bool innermost = axis == 3;  // stays: a softmax over strides costs more
    check_sinks(
        [&](auto& b, ValueId t) {
          return b.add("y", Softmax{axis, true}, {t});
        },
        innermost ? 0 : 1);
    for (bool keep : {false, true})
      check_sinks([&](auto& b, ValueId t) { return b.add("y", ArgMax{axis, keep, false}, {t}); });
    check_sinks([&](auto& b, ValueId t) {
      return b.add("y", Gather{axis}, {t, b.ints({1, 0, 1})});
    });
  }
  for (const std::vector<int32_t>& axes :
       {std::vector<int32_t>{1}, {2, 3}, {0, 1, 3}, {0, 1, 2, 3}, {3}})
    for (bool keep : {false, true})
      check_sinks([&](auto& b, ValueId t) {
        return b.add("y", Reduce{Reduce::Kind::sum, axes, keep}, {t});
      });
  check_sinks([](auto& b, ValueId t) {
    return b.add("y", Slice{{0, 1, 0, -1}, {2, 5, INT32_MAX, INT32_MIN}, {1, 2, 1, -1}}, {t});
  });
  check_sinks([](auto& b, ValueId t) {
    return b.add("y", Pad{Pad::Mode::edge, {0, 1, 2, 3}, {0, 0, -1, 1}, 0}, {t});
  });
}

TEST_CASE("sink_transposes: Expand to a constant shape") {
  const auto expand = [](std::vector<int64_t> target) {
    return [target](GraphBuilder& b, ValueId t) {
      return b.add("y", Expand{}, {t, b.ints(target)});
    };
  };
  check_sinks(expand({2, 5, 3, 4}), 1, {2, 1, 1, 5});
  check_sinks(expand({3, 1}), 1, {2, 1, 1, 5});
  check_sinks(expand({2, 2, 5, 3, 4}), 0, {2, 1, 1, 5});
}

TEST_CASE("sink_transposes: a reduction over what was moved needs no Transpose any more") {
  const Graph after = check_sinks([](auto& b, ValueId t) {
    return b.add("y", Reduce{Reduce::Kind::mean, {2, 3}, false}, {t});
  });
  CHECK(count(after, "Transpose") == 0);
}

TEST_CASE("sink_transposes: Dense, where the innermost dimension stays") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4, 5});
  const ValueId heads = b.add("t", Transpose{{0, 2, 1, 3}}, {x});
  b.output(b.dense("y", heads, 7));
  b.output(b.dense("z", b.to_nchw("u", x), 7));
  const Graph after = check_pass("sink_transposes", b.graph, 1);
  CHECK(count(after, "Transpose") == 2);
}

TEST_CASE("sink_transposes: Reshapes that split and merge neighbours") {
  const auto reshape = [](const std::vector<int32_t>& shape, int fired) {
    return check_sinks(
        [&](GraphBuilder& b, ValueId t) {
          return b.add("y", Reshape{shape, false}, {t});
        },
        fired, {2, 3, 4, 6});
  };
  reshape({0, 2, 3, 3, 4}, 1);                           // channels split
  reshape({0, 6, 12}, 1);                                // rows and columns merged
  reshape({0, 2, 3, -1}, 1);                             // both
  reshape({0, 1, 6, 1, 3, 4}, 1);                        // ones anywhere
  CHECK(count(reshape({12, 12}, 0), "Transpose") == 1);  // batch and channels, apart in NHWC
  CHECK(count(reshape({0, 72}, 0), "Transpose") == 1);   // channels and rows
  CHECK(count(reshape({0, 18, 4}, 0), "Transpose") == 1);
  const Graph open = reshape({0, 6, -1}, 1);
  CHECK(find<Reshape>(open)->shape == std::vector<int32_t>{0, -1, 6});
}

TEST_CASE("sink_transposes keeps the names that users see") {
  GraphBuilder b;
  const ValueId t = b.to_nchw("t", b.conv("conv", b.input("x", {1, 4, 4, 3}), 5));
  const ValueId r = b.relu("relu", t);
  b.output(r);
  b.output(b.unary("tanh", U::tanh, b.to_nhwc(r)));
  Diag diag;
  Graph after = b.graph;
  must(optimize(after, diag));
  check_same(b.graph, after);
  CHECK(after.value(after.outputs[0]).shape == Shape{1, 5, 4, 4});
  CHECK(count(after, "Transpose") == 1);
  REQUIRE(find_node(after, "conv") != nullptr);
  CHECK(std::get<Conv2d>(find_node(after, "conv")->op).clamp.lo == 0);
}

TEST_CASE("sink_transposes moves equally quantized data only") {
  for (const bool equal : {true, false}) {
    GraphBuilder b;
    const Quant quant{-1, 8, 0, {0.05f}, {3}};
    Quant other = quant;
    if (!equal) other.zero[0] = 4;
    const auto mark = [&](ValueId id, const Quant& q) {
      b.graph.value(id).type = DType::i8;
      b.graph.value(id).quant = q;
      return id;
    };
    const auto add = [&](const std::string& name, Op op, ValueId in, const Quant& q) {
      const ValueId id = mark(b.graph.add({name, DType::i8, {}, std::nullopt, nullptr}), q);
      b.graph.add({name, std::move(op), {in}, {id}});
      must(infer(b.graph, b.graph.nodes.back()));
      return id;
    };
    const ValueId x = b.input("x", {1, 3, 4, 5});
    const ValueId q = add("q", Convert{DType::i8}, x, quant);
    const ValueId t = add("t", Transpose{kToNchw}, q, other);
    const ValueId y = add("y", Unary{U::hard_swish, 0, 0}, t, quant);
    b.output(b.add("f", Convert{DType::f32}, {y}));
    const Graph after = check_pass("sink_transposes", b.graph, equal ? 2 : 0);
    if (!equal) continue;
    CHECK(std::holds_alternative<Transpose>(after.nodes.back().op));
    for (const Node& node : after.nodes)
      if (node.name == "y") CHECK(after.value(node.out[0]).quant == quant);
  }
}

TEST_CASE("hoist_transposes joins the two around a channel shuffle") {
  const auto shuffle = [] {
    GraphBuilder b;
    const ValueId x = b.input("x", {2, 3, 4, 8});
    const ValueId split = b.add("split", Reshape{{0, 2, 4, 3, 4}, false}, {b.to_nchw("in", x)});
    const ValueId turned = b.add("turned", Transpose{{0, 2, 1, 3, 4}}, {split});
    const ValueId merged = b.add("merged", Reshape{{0, 8, 3, 4}, false}, {turned});
    b.output(b.conv("y", b.to_nhwc(merged), 2));
    return b.graph;
  };
  Graph before = shuffle();
  Diag diag;
  Graph after = before;
  must(optimize(after, diag));
  check_same(before, after);
  REQUIRE(count(after, "Transpose") == 1);
  CHECK(find<Transpose>(after)->perm == std::vector<int32_t>{0, 1, 2, 4, 3});

  GraphBuilder b;  // by itself
  const ValueId x = b.input("x", {2, 3, 4, 2, 4});
  const ValueId t = b.add("t", Transpose{{0, 4, 3, 1, 2}}, {x});
  const ValueId merged = b.add("merged", Reshape{{0, 8, 3, 4}, false}, {t});
  b.output(b.to_nhwc(merged));
  Graph alone = check_pass("hoist_transposes", b.graph, 1);
  CHECK(count(alone, "Transpose") == 1);
  b.output(b.unary("z", U::exp, merged));
  check_pass("hoist_transposes", b.graph, 0);
}

TEST_CASE("absorb_transposes permutes the columns of a Dense") {
  for (const bool second_reader : {false, true}) {
    for (const bool two : {false, true}) {
      GraphBuilder b;
      const ValueId x = b.input("x", {2, 3, 4, 5});
      const ValueId flat = b.add("flat", Reshape{{0, -1}, false}, {b.to_nchw("t", x)});
      b.output(b.dense("y", flat, 7));
      if (two) b.output(b.dense("z", flat, 3));
      if (second_reader) b.output(b.unary("tanh", U::tanh, flat));
      const Graph after = check_pass("absorb_transposes", b.graph, second_reader ? 0 : 1);
      CHECK(count(after, "Transpose") == (second_reader ? 1 : 0));
    }
  }
}

TEST_CASE("absorb_transposes leaves a batch that moves, and a flattened output") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 4});
  const ValueId t = b.add("t", Transpose{{1, 2, 0}}, {x});
  b.output(b.dense("y", b.add("flat", Reshape{{3, 8}, false}, {t}), 7));
  check_pass("absorb_transposes", b.graph, 0);

  GraphBuilder c;
  const ValueId z = c.input("x", {2, 3, 4, 5});
  const ValueId flat = c.add("flat", Reshape{{0, -1}, false}, {c.to_nchw("t", z)});
  c.output(c.dense("y", flat, 7));
  c.output(flat);
  check_pass("absorb_transposes", c.graph, 0);
}

}  // namespace
}  // namespace firn::test
