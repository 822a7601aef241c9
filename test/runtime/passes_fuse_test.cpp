// SPDX-License-Identifier: Apache-2.0
// Passes that fuse: clamps, padding, activations spelled out.
#include <doctest/doctest.h>

#include <numbers>

#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_CASE("fuse_clamp moves a clamp into layers and arithmetic") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 3});
  b.output(b.relu("relu_1", b.conv("conv", x, 4)));
  b.output(b.unary("relu_2", U::clamp, b.dense("dense", x, 4), 0, 6));
  ConvTranspose2d up;
  up.window.kernel = {2, 2};
  up.window.stride = {2, 2};
  b.output(b.relu("relu_3", b.add("up", up, {x, b.random({4, 2, 2, 3})})));
  b.output(b.relu("relu_4", b.binary("sub", B::sub, x, b.random({3}))));
  b.output(b.relu("relu_5", b.unary("clamp", U::clamp, x, -1, 1)));
  const Graph after = check_pass("fuse_clamp", b.graph, 5);
  CHECK(after.nodes.size() == 5);
  for (const char* name : {"conv", "dense", "up", "sub", "clamp"})
    CHECK(find_node(after, name) != nullptr);
  CHECK(std::get<Dense>(find_node(after, "dense")->op).clamp == Clamp{0, 6});
  CHECK(after.value(after.outputs[0]).name == "relu_1");
}

TEST_CASE("fuse_clamp intersects ranges, also such that do not meet") {
  const auto fused = [](Clamp first, Clamp second) {
    GraphBuilder b;
    Conv2d op;
    op.clamp = first;
    const ValueId x = b.input("x", {1, 4, 4, 3});
    const ValueId y = b.add("conv", op, {x, b.random({2, 1, 1, 3}, -3, 3)});
    b.output(b.unary("clamp", U::clamp, y, second.lo, second.hi));
    return find<Conv2d>(check_pass("fuse_clamp", b.graph, 1))->clamp;
  };
  CHECK(fused({0, kInfinity}, {-kInfinity, 6}) == Clamp{0, 6});
  CHECK(fused({-1, 1}, {0, 6}) == Clamp{0, 1});
  CHECK(fused({0, 1}, {2, 3}) == Clamp{2, 2});
  CHECK(fused({4, 5}, {2, 3}) == Clamp{3, 3});
}

TEST_CASE("fuse_clamp takes Max and Min with a scalar for clamps") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 3});
  const ValueId low = b.binary("low", B::max, b.conv("conv", x, 4), b.scalar(0));
  b.output(b.binary("high", B::min, b.scalar(1), low));
  b.output(b.binary("alone", B::max, x, b.constant({1}, {0.5f})));
  const Graph after = check_pass("fuse_clamp", b.graph, 3);
  CHECK(after.nodes.size() == 2);
  CHECK(find<Conv2d>(after)->clamp == Clamp{0, 1});
  CHECK(*find<Unary>(after) == Unary{U::clamp, 0.5f, kInfinity});
}

TEST_CASE("fuse_clamp leaves shared values, outputs and other operators") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 4, 3});
  const ValueId shared = b.conv("shared", x, 4);
  b.output(b.relu("a", shared));
  b.output(b.unary("b", U::tanh, shared));
  const ValueId out = b.conv("out", x, 4);
  b.output(out);
  b.output(b.relu("c", out));
  b.output(b.relu("d", b.unary("sin", U::sin, x)));
  b.output(b.binary("e", B::max, x, b.random({3})));
  b.output(b.relu("f", x));
  check_pass("fuse_clamp", b.graph, 0);
}

ValueId pad(GraphBuilder& b, ValueId x, std::vector<int32_t> before, std::vector<int32_t> after,
            float value = 0, Pad::Mode mode = Pad::Mode::constant) {
  return b.add("pad", Pad{mode, std::move(before), std::move(after), value}, {x});
}

Pool2d pool(Pool2d::Kind kind, int32_t kernel, int32_t padding, bool count_pad) {
  Pool2d op;
  op.kind = kind;
  op.window = {{kernel, kernel}, {2, 2}, {1, 1}, {padding, padding, padding, padding}};
  op.count_pad = count_pad;
  return op;
}

TEST_CASE("fuse_pad moves zeros into a Conv2d") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 3});
  b.output(b.conv("conv", pad(b, x, {0, 0, 1, 0}, {0, 2, 3, 0}), 4, 3, 1));
  const Graph after = check_pass("fuse_pad", b.graph, 1);
  CHECK(after.nodes.size() == 1);
  CHECK(find<Conv2d>(after)->window.pad == std::array<int32_t, 4>{1, 2, 3, 4});
}

TEST_CASE("fuse_pad looks through a Transpose") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 6, 6});
  b.output(b.conv("conv", b.to_nhwc(pad(b, x, {0, 0, 1, 2}, {0, 0, 3, 4})), 4, 3));
  const Graph after = check_pass("fuse_pad", b.graph, 1);
  CHECK(after.nodes.size() == 2);
  CHECK(find<Conv2d>(after)->window.pad == std::array<int32_t, 4>{1, 2, 3, 4});
}

TEST_CASE("fuse_pad leaves what a Conv2d cannot pad") {
  const auto left = [](std::vector<int32_t> before, std::vector<int32_t> after, float value,
                       Pad::Mode mode, bool shared) {
    GraphBuilder b;
    const ValueId x = b.input("x", {1, 6, 6, 3});
    const ValueId padded = pad(b, x, std::move(before), std::move(after), value, mode);
    if (shared) b.output(b.unary("other", U::tanh, padded));
    b.output(b.conv("conv", padded, 4, 3));
    check_pass("fuse_pad", b.graph, 0);
  };
  using Mode = Pad::Mode;
  left({0, 1, 1, 0}, {0, 1, 1, 0}, 1, Mode::constant, false);
  left({0, 1, 1, 0}, {0, 1, 1, 0}, 0, Mode::reflect, false);
  left({0, 1, 1, 1}, {0, 1, 1, 0}, 0, Mode::constant, false);
  left({0, -1, 1, 0}, {0, 1, 1, 0}, 0, Mode::constant, false);
  left({0, 1, 1, 0}, {0, 1, 1, 0}, 0, Mode::constant, true);
}

TEST_CASE("fuse_pad moves padding into pooling where that is the same") {
  const auto fires = [](int expected, const Pool2d& op, float value, bool positive) {
    GraphBuilder b;
    ValueId x = b.input("x", {1, 6, 6, 3});
    if (positive) x = b.relu("relu", x);
    b.output(b.add("pool", op, {pad(b, x, {0, 1, 1, 0}, {0, 2, 1, 0}, value)}));
    check_pass("fuse_pad", b.graph, expected);
  };
  using Kind = Pool2d::Kind;
  fires(1, pool(Kind::average, 3, 0, false), 0, false);
  fires(1, pool(Kind::average, 4, 1, true), 0, false);
  fires(0, pool(Kind::average, 4, 1, false), 0, false);  // would count its own padding, too
  fires(0, pool(Kind::average, 3, 0, false), 1, false);
  fires(1, pool(Kind::max, 3, 0, false), -kInfinity, false);
  fires(1, pool(Kind::max, 3, 0, false), 0, true);
  fires(0, pool(Kind::max, 3, 0, false), 0, false);
  fires(0, pool(Kind::max, 2, 0, false), -kInfinity, false);  // a window of padding alone
  Pool2d up = pool(Kind::average, 3, 0, false);
  up.ceil = true;
  fires(0, up, 0, false);
}

// y = f(x) fuses into one Unary; a second reader of anything on the way prevents it.
template <typename F>
void check_activation(const Unary& expected, F f) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 8});
  b.output(f(b, x));
  Graph after = b.graph;
  // Inner parts may be activations themselves: x * hard_sigmoid(x).
  for (int round = 0; round < 3; ++round) run_pass("fuse_activations", after);
  check_same(b.graph, after, 1e-4);
  REQUIRE(after.nodes.size() == 1);
  const Unary op = std::get<Unary>(after.nodes[0].op);
  CHECK(op.kind == expected.kind);
  CHECK(op.alpha == doctest::Approx(expected.alpha));
  CHECK(op.beta == doctest::Approx(expected.beta));

  for (size_t n = 0; n + 1 < b.graph.nodes.size(); ++n) {
    Graph shared = b.graph;
    shared.outputs.push_back(shared.nodes[n].out[0]);
    for (int round = 0; round < 3; ++round) run_pass("fuse_activations", shared);
    Graph expected = b.graph;
    expected.outputs.push_back(expected.nodes[n].out[0]);
    check_same(expected, shared, 1e-4);
    CHECK(shared.nodes.size() > 1);
  }
}

TEST_CASE("fuse_activations: silu, mish") {
  check_activation({U::silu, 1, 0}, [](auto& b, ValueId x) {
    return b.binary("y", B::mul, x, b.unary("s", U::sigmoid, x));
  });
  check_activation({U::silu, 1.702f, 0}, [](auto& b, ValueId x) {
    const ValueId scaled = b.binary("scaled", B::mul, b.scalar(1.702f), x);
    return b.binary("y", B::mul, b.unary("s", U::sigmoid, scaled), x);
  });
  check_activation({U::mish, 0, 0}, [](auto& b, ValueId x) {
    return b.binary("y", B::mul, x, b.unary("t", U::tanh, b.unary("p", U::softplus, x)));
  });
}

TEST_CASE("fuse_activations: hard_sigmoid, hard_swish") {
  const auto ramp = [](GraphBuilder& b, ValueId x) {
    return b.unary("clip", U::clamp, b.binary("add", B::add, x, b.scalar(3)), 0, 6);
  };
  check_activation({U::hard_sigmoid, 1.0f / 6, 0.5f}, [&](auto& b, ValueId x) {
    return b.binary("y", B::div, ramp(b, x), b.scalar(6));
  });
  check_activation({U::hard_sigmoid, 0.25f, 0.5f}, [&](auto& b, ValueId x) {
    const ValueId sum = b.add("add", Binary{B::add, {0, 4}}, {b.scalar(2), x});
    return b.binary("y", B::mul, sum, b.scalar(0.25f));
  });
  check_activation({U::hard_swish, 0, 0}, [&](auto& b, ValueId x) {
    return b.binary("y", B::div, b.binary("m", B::mul, x, ramp(b, x)), b.scalar(6));
  });
  check_activation({U::hard_swish, 0, 0}, [&](auto& b, ValueId x) {
    return b.binary("y", B::mul, b.unary("h", U::hard_sigmoid, x, 1.0f / 6, 0.5f), x);
  });
}

TEST_CASE("fuse_activations: hard_swish by way of hard_sigmoid") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 8});
  const ValueId clip = b.unary("clip", U::clamp, b.binary("add", B::add, x, b.scalar(3)), 0, 6);
  b.output(b.binary("y", B::mul, b.binary("d", B::div, clip, b.scalar(6)), x));
  Diag diag;
  Graph after = b.graph;
  must(optimize(after, diag));
  check_same(b.graph, after);
  REQUIRE(after.nodes.size() == 1);
  CHECK(find<Unary>(after)->kind == U::hard_swish);
}

TEST_CASE("fuse_activations: gelu") {
  const float root = std::numbers::sqrt2_v<float>;
  const auto gate = [&](GraphBuilder& b, ValueId x) {
    const ValueId e = b.unary("erf", U::erf, b.binary("div", B::div, x, b.scalar(root)));
    return b.binary("one", B::add, e, b.scalar(1));
  };
  check_activation({U::gelu, 0, 0}, [&](auto& b, ValueId x) {
    return b.binary("y", B::mul, b.binary("m", B::mul, x, gate(b, x)), b.scalar(0.5f));
  });
  check_activation({U::gelu, 0, 0}, [&](auto& b, ValueId x) {
    return b.binary("y", B::mul, b.binary("h", B::mul, x, b.scalar(0.5f)), gate(b, x));
  });
}

TEST_CASE("fuse_activations: gelu_tanh") {
  const auto gelu = [](GraphBuilder& b, ValueId x, ValueId inner) {
    const ValueId t =
        b.unary("tanh", U::tanh, b.binary("c", B::mul, inner, b.scalar(0.7978845608f)));
    const ValueId gate = b.binary("one", B::add, b.scalar(1), t);
    return b.binary("y", B::mul, b.scalar(0.5f), b.binary("m", B::mul, x, gate));
  };
  check_activation({U::gelu_tanh, 0, 0}, [&](auto& b, ValueId x) {
    const ValueId cube = b.binary("cube", B::pow, x, b.scalar(3));
    const ValueId term = b.binary("term", B::mul, cube, b.scalar(0.044715f));
    return gelu(b, x, b.binary("sum", B::add, x, term));
  });
  check_activation({U::gelu_tanh, 0, 0}, [&](auto& b, ValueId x) {
    const ValueId square = b.binary("square", B::mul, x, x);
    const ValueId term = b.binary("term", B::mul, b.scalar(0.044715f), square);
    return gelu(b, x, b.binary("p", B::mul, x, b.binary("sum", B::add, term, b.scalar(1))));
  });
}

TEST_CASE("fuse_activations: PRelu with one slope") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 8});
  b.output(b.add("one", PRelu{}, {x, b.constant({1, 1}, {0.2f})}));
  b.output(b.add("many", PRelu{}, {x, b.random({8})}));
  const Graph after = check_pass("fuse_activations", b.graph, 1);
  CHECK(*find<Unary>(after) == Unary{U::leaky_relu, 0.2f, 0});
}

TEST_CASE("fuse_activations leaves other constants and other operands") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 8});
  const ValueId z = b.input("z", {2, 8});
  b.output(b.binary("other", B::mul, z, b.unary("s1", U::sigmoid, x)));
  const ValueId swish = b.binary("s2x", B::mul, x, b.unary("s2", U::sigmoid, x));
  b.output(b.binary("twice", B::mul, b.binary("m1", B::mul, b.scalar(2), z),
                    b.unary("s3", U::sigmoid, z)));
  b.output(b.unary("abs", U::abs, swish));
  const ValueId clip = b.unary("clip", U::clamp, b.binary("add", B::add, x, b.scalar(2)), 0, 6);
  b.output(b.binary("ramp", B::div, b.binary("m2", B::mul, z, clip), b.scalar(6)));
  b.output(b.binary("broadcast", B::mul, b.random({3, 2, 8}), b.unary("s4", U::sigmoid, x)));
  const Graph after = check_pass("fuse_activations", b.graph, 1);  // s2x alone
  CHECK(count(after, "Silu") == 1);
  CHECK(count(after, "HardSigmoid") == 0);
}

}  // namespace
}  // namespace firn::test
