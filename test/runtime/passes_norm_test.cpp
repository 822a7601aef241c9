// SPDX-License-Identifier: Apache-2.0
// The pass that finds layer norms in the ways exporters spell them.
#include <doctest/doctest.h>

#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;

struct Spelling {
  bool centred = true, twice = false, power = false;
  enum { divide, reciprocal, inverse_power } by = divide;
};

ValueId mean(GraphBuilder& b, const std::string& name, ValueId x) {
  return b.add(name, Reduce{Reduce::Kind::mean, {b.shape(x).rank - 1}}, {x});
}

// x normalized, spelled out.
ValueId spelled(GraphBuilder& b, ValueId x, const Spelling& s, float epsilon) {
  ValueId centred = x, again = x;
  if (s.centred) {
    const ValueId average = mean(b, "mean", x);
    centred = again = b.binary("centred", B::sub, x, average);
    if (s.twice) again = b.binary("again", B::sub, x, average);
  }
  const ValueId square = s.power ? b.binary("square", B::pow, centred, b.scalar(2))
                                 : b.binary("square", B::mul, centred, centred);
  const ValueId sum = b.binary("sum", B::add, mean(b, "variance", square), b.scalar(epsilon));
  if (s.by == Spelling::inverse_power)
    return b.binary("y", B::mul, again, b.binary("factor", B::pow, sum, b.scalar(-0.5f)));
  const ValueId root =
      s.power ? b.binary("root", B::pow, sum, b.scalar(0.5f)) : b.unary("root", U::sqrt, sum);
  if (s.by == Spelling::divide) return b.binary("y", B::div, again, root);
  const ValueId factor = s.power ? b.binary("factor", B::div, b.scalar(1), root)
                                 : b.unary("factor", U::reciprocal, root);
  return b.binary("y", B::mul, factor, again);
}

TEST_CASE("fuse_layer_norm knows roots, powers, reciprocals, with the mean and without") {
  for (const bool centred : {false, true})
    for (const bool twice : {false, true})
      for (const bool power : {false, true})
        for (const auto by : {Spelling::divide, Spelling::reciprocal, Spelling::inverse_power}) {
          GraphBuilder b;
          b.output(spelled(b, b.input("x", {2, 5, 12}), {centred, twice, power, by}, 0.25f));
          const Graph after = check_pass("fuse_layer_norm", b.graph, 1);
          REQUIRE(after.nodes.size() == 1);
          CHECK(*find<LayerNorm>(after) == LayerNorm{0.25f, centred});
        }
}

TEST_CASE("fuse_layer_norm takes the scale and bias behind") {
  GraphBuilder b;
  const ValueId x = spelled(b, b.input("x", {2, 5, 12}), {}, 1e-3f);
  const ValueId scaled = b.binary("scaled", B::mul, b.random({12}, 0.5f, 2), x);
  b.output(b.binary("shifted", B::sub, scaled, b.random({1, 1, 12})));
  const Graph after = check_pass("fuse_layer_norm", b.graph, 3);
  REQUIRE(after.nodes.size() == 1);
  CHECK(after.nodes[0].in.size() == 3);
  CHECK(after.value(after.outputs[0]).name == "shifted");
}

TEST_CASE("fuse_layer_norm leaves alone what is not one") {
  const auto untouched = [](auto build) {
    GraphBuilder b;
    build(b, b.input("x", {2, 5, 12}));
    check_pass("fuse_layer_norm", b.graph, 0);
  };
  untouched([](GraphBuilder& b, ValueId x) {  // over another axis
    const ValueId average = b.add("mean", Reduce{Reduce::Kind::mean, {1}}, {x});
    const ValueId centred = b.binary("centred", B::sub, x, average);
    const ValueId square = b.binary("square", B::mul, centred, centred);
    const ValueId variance = b.add("variance", Reduce{Reduce::Kind::mean, {1}}, {square});
    const ValueId sum = b.binary("sum", B::add, variance, b.scalar(1e-5f));
    b.output(b.binary("y", B::div, centred, b.unary("root", U::sqrt, sum)));
  });
  untouched([](GraphBuilder& b, ValueId x) {  // the variance of something else
    const ValueId other = b.unary("other", U::tanh, x);
    const ValueId square = b.binary("square", B::mul, other, other);
    const ValueId sum = b.binary("sum", B::add, mean(b, "variance", square), b.scalar(1e-5f));
    b.output(b.binary("y", B::div, x, b.unary("root", U::sqrt, sum)));
  });
  untouched([](GraphBuilder& b, ValueId x) {  // a negative epsilon may make it NaN
    b.output(spelled(b, b.unary("far", U::exp, x), {}, -1e-6f));
  });
  untouched([](GraphBuilder& b, ValueId x) {  // a sum of squares
    const ValueId square = b.binary("square", B::mul, x, x);
    const ValueId total = b.add("total", Reduce{Reduce::Kind::sum, {2}}, {square});
    const ValueId sum = b.binary("sum", B::add, total, b.scalar(1e-5f));
    b.output(b.binary("y", B::div, x, b.unary("root", U::sqrt, sum)));
  });
}

TEST_CASE("fuse_layer_norm keeps a norm that others read, and a scale that is no constant") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 5, 12});
  const ValueId norm = spelled(b, x, {}, 1e-5f);
  b.output(norm);
  b.output(b.binary("scaled", B::mul, norm, b.random({12})));
  b.output(b.binary("gated", B::mul, norm, x));
  const Graph after = check_pass("fuse_layer_norm", b.graph, 1);
  CHECK(after.nodes.size() == 3);
}

}  // namespace
}  // namespace firn::test
