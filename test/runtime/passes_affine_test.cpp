// SPDX-License-Identifier: Apache-2.0
// Passes that fold arithmetic into weights, or make layers of it.
#include <doctest/doctest.h>

#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;

// Every kind of layer on x [2,5,5,6].
ValueId layer(GraphBuilder& b, int kind, ValueId x) {
  switch (kind) {
    case 0:
      return b.conv("layer", x, 8, 3, 1);
    case 1:
      return b.conv("layer", x, 12, 3, 0, 2, 6);  // depthwise, two filters a channel
    case 2:
      return b.dense("layer", x, 8);
    case 3:
      return b.add("layer", Conv2d{}, {x, b.random({8, 1, 1, 6})});  // no bias
    default: {
      ConvTranspose2d op;
      op.window = {{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}};
      op.groups = 2;
      return b.add("layer", op, {x, b.random({8, 3, 3, 3}), b.random({8})});
    }
  }
}
constexpr int kLayers = 5;

TEST_CASE("fold_affine_after folds scales, shifts and biases of channels") {
  for (int kind = 0; kind < kLayers; ++kind) {
    CAPTURE(kind);
    GraphBuilder b(static_cast<uint32_t>(kind) + 1);
    ValueId x = layer(b, kind, b.input("x", {2, 5, 5, 6}));
    const int32_t channels = b.shape(x)[3];
    x = b.binary("mul", B::mul, x, b.random({channels}));
    x = b.binary("add", B::add, b.random({1, 1, 1, channels}), x);
    x = b.binary("sub", B::sub, x, b.random({channels}));
    x = b.binary("from", B::sub, b.scalar(3), x);
    x = b.binary("div", B::div, x, b.random({channels}, 1, 2));
    b.output(x);
    const Graph after = check_pass("fold_affine_after", b.graph, 5);
    REQUIRE(after.nodes.size() == 1);
    CHECK(after.nodes[0].name == "layer");
    CHECK(after.value(after.outputs[0]).name == "div");
  }
}

TEST_CASE("fold_affine_after takes over the clamp and stops at one") {
  GraphBuilder b;
  ValueId x = b.conv("conv", b.input("x", {1, 4, 4, 3}), 4);
  x = b.add("add", Binary{B::add, {0, 1}}, {x, b.random({4})});
  b.output(b.binary("mul", B::mul, x, b.scalar(2)));
  const Graph after = check_pass("fold_affine_after", b.graph, 1);
  CHECK(find<Conv2d>(after)->clamp == Clamp{0, 1});
  CHECK(after.nodes.size() == 2);
}

TEST_CASE("fold_affine_after leaves what is not per channel, shared or not finite") {
  const auto unfolded = [](auto&& build) {
    GraphBuilder b;
    const ValueId conv = b.conv("conv", b.input("x", {1, 4, 4, 4}), 4);
    build(b, conv);
    return check_pass("fold_affine_after", b.graph, 0);
  };
  unfolded([](auto& b, ValueId x) {  // by row
    b.output(b.binary("y", B::mul, x, b.random({4, 1, 1})));
  });
  unfolded([](auto& b, ValueId x) {  // a second reader
    b.output(b.binary("y", B::mul, x, b.random({4})));
    b.output(b.unary("z", U::tanh, x));
  });
  unfolded([](auto& b, ValueId x) {  // an output in the middle
    b.output(x);
    b.output(b.binary("y", B::mul, x, b.random({4})));
  });
  unfolded([](auto& b, ValueId x) {  // not a constant
    b.output(b.binary("y", B::mul, x, b.input("c", {4})));
  });
  unfolded([](auto& b, ValueId x) {  // a constant divided
    b.output(b.binary("y", B::div, b.scalar(1), x));
  });
  unfolded([](auto& b, ValueId x) {  // grows by broadcasting
    b.output(b.binary("y", B::add, x, b.random({1, 1, 1, 1, 4})));
  });
  unfolded([](auto& b, ValueId x) { b.output(b.binary("y", B::max, x, b.random({4}))); });
  GraphBuilder b;
  const ValueId conv = b.conv("conv", b.input("x", {1, 4, 4, 4}), 4);
  b.output(b.binary("y", B::div, conv, b.scalar(0)));
  CHECK(run_pass("fold_affine_after", b.graph) == 0);
}

TEST_CASE("affine passes leave scalars, and scalars over more channels than layers have") {
  for (const Shape& shape : {Shape{}, Shape{1, 2'000'000'000}}) {
    for (const char* pass : {"fold_affine_after", "fold_affine_before"}) {
      GraphBuilder b;
      const ValueId x = b.unary("x", U::tanh, b.input("in", shape));
      b.output(b.binary("y", B::mul, x, b.scalar(2)));
      CHECK(run_pass(pass, b.graph) == 0);
    }
  }
}

TEST_CASE("fold_affine_after gives shared weights to the layer alone") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 6});
  const ValueId weights = b.random({4, 6});
  const ValueId y = b.add("y", Dense{}, {x, weights});
  b.output(b.binary("scaled", B::mul, y, b.random({4})));
  b.output(b.add("z", Dense{}, {x, weights}));
  check_pass("fold_affine_after", b.graph, 1);
}

TEST_CASE("fold_affine_before folds scales into any layer") {
  for (int kind = 0; kind < kLayers; ++kind) {
    CAPTURE(kind);
    GraphBuilder b(static_cast<uint32_t>(kind) + 1);
    ValueId x = b.input("x", {2, 5, 5, 6});
    x = b.binary("div", B::div, x, b.scalar(127.5f));
    x = b.binary("mul", B::mul, x, b.random({6}));
    b.output(layer(b, kind, x));
    Graph after = check_pass("fold_affine_before", b.graph, 1);
    after = check_pass("fold_affine_before", after, 1);
    CHECK(after.nodes.size() == 1);
  }
}

TEST_CASE("fold_affine_before folds shifts where no padding is") {
  for (int kind = 0; kind < kLayers; ++kind) {
    CAPTURE(kind);
    const bool folds = kind != 0 && kind != 4;  // padded; transposed
    GraphBuilder b(static_cast<uint32_t>(kind) + 1);
    ValueId x = b.input("x", {2, 5, 5, 6});
    x = b.binary("sub", B::sub, b.random({6}), x);
    b.output(layer(b, kind, x));
    const Graph after = check_pass("fold_affine_before", b.graph, folds ? 1 : 0);
    CHECK(after.nodes.size() == (folds ? 1 : 2));
  }
}

TEST_CASE("fold_affine_before looks through a Transpose") {
  GraphBuilder b;
  ValueId x = b.input("x", {2, 3, 5, 5});
  x = b.binary("mean", B::sub, x, b.random({3, 1, 1}));
  x = b.binary("std", B::div, x, b.random({1, 3, 1, 1}, 1, 2));
  b.output(b.conv("conv", b.to_nhwc(x), 8, 3));
  Graph after = check_pass("fold_affine_before", b.graph, 1);
  after = check_pass("fold_affine_before", after, 1);
  CHECK(after.nodes.size() == 2);
}

TEST_CASE("fold_affine_before leaves shared values, clamps and other axes") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 6, 6, 6});
  const ValueId shared = b.binary("shared", B::mul, x, b.random({6}));
  b.output(b.conv("a", shared, 2));
  b.output(b.conv("b", shared, 2));
  const ValueId clamped = b.add("clamped", Binary{B::mul, {0, 1}}, {x, b.random({6})});
  b.output(b.conv("c", clamped, 2));
  b.output(b.conv("d", b.binary("rows", B::mul, x, b.random({6, 1})), 2));
  const ValueId out = b.binary("out", B::mul, x, b.random({6}));
  b.output(out);
  b.output(b.conv("e", out, 2));
  check_pass("fold_affine_before", b.graph, 0);
}

TEST_CASE("matmul_to_dense takes constant matrices on the right") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 3, 6});
  b.output(b.add("y", MatMul{}, {x, b.random({6, 5})}));
  b.output(b.add("left", MatMul{}, {b.random({4, 3}), x}));
  b.output(b.add("batched", MatMul{}, {x, b.random({2, 6, 5})}));
  b.output(b.add("free", MatMul{}, {x, b.input("z", {6, 5})}));
  const Graph after = check_pass("matmul_to_dense", b.graph, 1);
  CHECK(count(after, "Dense") == 1);
  CHECK(count(after, "Transpose") == 0);
}

TEST_CASE("a MatMul and its bias end as one Dense") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 6});
  const ValueId product = b.add("fc", MatMul{}, {x, b.random({6, 5})});
  b.output(b.relu("relu", b.binary("bias", B::add, product, b.random({5}))));
  Diag diag;
  Graph after = b.graph;
  must(optimize(after, diag));
  check_same(b.graph, after);
  REQUIRE(after.nodes.size() == 1);
  CHECK(after.nodes[0].name == "fc");
  CHECK(after.nodes[0].in.size() == 3);
}

TEST_CASE("pools_to_means takes a window over the whole map") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 4, 6, 3});
  const auto pool = [&](const std::string& name, Pool2d::Kind kind, int32_t kh, int32_t kw,
                        int32_t pad) {
    Pool2d op;
    op.kind = kind;
    op.window = {{kh, kw}, {kh, kw}, {1, 1}, {pad, 0, pad, 0}};
    b.output(b.add(name, op, {x}));
  };
  pool("whole", Pool2d::Kind::average, 4, 6, 0);
  pool("part", Pool2d::Kind::average, 4, 5, 0);
  pool("max", Pool2d::Kind::max, 4, 6, 0);
  pool("padded", Pool2d::Kind::average, 6, 6, 1);
  const Graph after = check_pass("pools_to_means", b.graph, 1);
  REQUIRE(count(after, "ReduceMean") == 1);
  CHECK(find<Reduce>(after)->axes == std::vector<int32_t>{1, 2});
}

}  // namespace
}  // namespace firn::test
