// SPDX-License-Identifier: Apache-2.0
// Tests of the operators that read, write, sort and find elements by their positions.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;
using Longs = std::vector<int64_t>;

TEST_CASE("GatherElements: along an axis, from the end, out of range") {
  CHECK(run(GatherElements{1}, {matrix(), longs({2, 2}, {0, -1, 2, 1})}) == Floats{1, 3, 6, 5});
  CHECK(run(GatherElements{-2}, {matrix(), ints({1, 3}, {1, 0, -1})}) == Floats{4, 2, 6});
  CHECK(text(evaluate(GatherElements{1}, {matrix(), longs({1, 1}, {3})}).status()) ==
        "invalid_argument: node (GatherElements): index 3, axis 1 of the input has 3");
  CHECK(text(evaluate(GatherElements{1}, {matrix(), longs({3, 1}, {0, 0, 0})}).status()) ==
        "malformed: node: indices b are 3x1, input is 2x3, axis 1");
}

TEST_CASE("GatherNd: elements, rows, batches") {
  CHECK(run(GatherNd{0}, {matrix(), longs({2, 2}, {0, 2, -1, 0})}) == Floats{3, 4});
  CHECK(run(GatherNd{0}, {matrix(), longs({1, 1}, {1})}) == Floats{4, 5, 6});
  CHECK(run(GatherNd{1}, {matrix(), longs({2, 1}, {2, 0})}) == Floats{3, 4});
  CHECK(text(evaluate(GatherNd{0}, {matrix(), longs({1, 2}, {0, -4})}).status()) ==
        "invalid_argument: node (GatherNd): index -4, axis 1 of the input has 3");
  CHECK(text(evaluate(GatherNd{0}, {matrix(), longs({1, 3}, {0, 0, 0})}).status()) ==
        "malformed: node: indices of 3 dimensions, input is 2x3 with 0 batch dimensions");
}

TEST_CASE("Scatter: elements and positions, and what meets at one of them") {
  using Kind = Scatter::Kind;
  using Reduction = Scatter::Reduction;
  const Value updates = floats({2, 1}, {10, 20});
  CHECK(run(Scatter{Kind::elements, Reduction::none, 1},
            {matrix(), longs({2, 1}, {2, -3}), updates}) == Floats{1, 2, 10, 20, 5, 6});
  CHECK(run(Scatter{Kind::positions, Reduction::none, 0},
            {matrix(), longs({2, 2}, {0, 0, 1, -1}), floats({2}, {7, 8})}) ==
        Floats{7, 2, 3, 4, 5, 8});
  const auto meet = [&](Reduction reduction) {
    return run(Scatter{Kind::positions, reduction, 0},
               {floats({2}, {3, 5}), longs({3, 1}, {0, 0, 1}), floats({3}, {2, 4, 6})});
  };
  CHECK(meet(Reduction::add) == Floats{9, 11});
  CHECK(meet(Reduction::mul) == Floats{24, 30});
  CHECK(meet(Reduction::max) == Floats{4, 6});
  CHECK(meet(Reduction::min) == Floats{2, 5});
  CHECK(run<int64_t>(Scatter{Kind::elements, Reduction::add, 0},
                     {longs({1}, {INT64_MAX}), longs({1}, {0}), longs({1}, {1})}) ==
        Longs{INT64_MIN});
  CHECK(text(evaluate(Scatter{}, {matrix(), longs({1, 1}, {2}), floats({1, 1}, {0})}).status()) ==
        "invalid_argument: node (ScatterElements): index 2, axis 0 of the input has 2");
}

TEST_CASE("TopK: both ends, ties in their order, NaN above all") {
  const auto top = [](const TopK& op, const std::vector<Value>& in) {
    const Result<std::vector<Value>> y = evaluate_all(op, in);
    REQUIRE_MESSAGE(y.ok(), y.status().message());
    return *y;
  };
  const Value x = floats({1, 5}, {2, 7, 7, 1, NAN});
  std::vector<Value> y = top({-1, 3, true}, {x});
  CHECK(y[1].as<int64_t>()[0] == 4);
  CHECK(y[1].as<int64_t>()[1] == 1);
  CHECK(y[1].as<int64_t>()[2] == 2);
  CHECK(y[0].as<float>()[1] == 7);
  y = top({1, -1, false}, {x, longs({1}, {2})});
  CHECK(y[0].as<float>()[0] == 1);
  CHECK(y[1].as<int64_t>()[1] == 0);
  y = top({0, 1, true}, {matrix()});
  CHECK(y[0].shape == Shape{1, 3});
  CHECK(y[0].as<float>()[2] == 6);
  CHECK(y[1].as<int64_t>()[2] == 1);
  CHECK(text(evaluate_all(TopK{1, 4, true}, {matrix()}).status()) ==
        "malformed: node: k is 4, axis 1 of input 2x3 has 3");
}

TEST_CASE("CumSum: exclusive, reverse, axes that are computed") {
  CHECK(run(CumSum{1}, {matrix()}) == Floats{1, 3, 6, 4, 9, 15});
  CHECK(run(CumSum{1, true, false}, {matrix()}) == Floats{0, 1, 3, 0, 4, 9});
  CHECK(run(CumSum{1, true, true}, {matrix()}) == Floats{5, 3, 0, 11, 6, 0});
  CHECK(run(CumSum{1}, {matrix(), ints({}, {-2})}) == Floats{1, 2, 3, 5, 7, 9});
  CHECK(text(evaluate(CumSum{}, {matrix(), longs({}, {2})}).status()) ==
        "invalid_argument: node (CumSum): axis 2, input is 2x3");
}

TEST_CASE("NonZero: positions by axis") {
  CHECK(run<int64_t>(NonZero{}, {floats({2, 2}, {0, 3, -0.0f, NAN})}) == Longs{0, 1, 1, 1});
  CHECK(run<int64_t>(NonZero{}, {booleans({3}, {1, 0, 1})}) == Longs{0, 2});
  OneNode one(NonZero{}, {open("x", {3})});
  CHECK(depends_on_data(one.graph, one.graph.nodes[0]));
  REQUIRE(infer_open(one.graph, one.graph.nodes[0]).ok());
  CHECK(one.y().type == DType::i64);
  CHECK(one.y().shape == Shape{1, -1});
}

TEST_CASE("NonMaxSuppression: overlaps, scores, both ways to write a box") {
  const Value corners = floats({1, 3, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 0, 10, 1, 11});
  const Value scores = floats({1, 1, 3}, {0.5f, 0.9f, 0.3f});
  const Value many = longs({}, {9}), half = floats({}, {0.5f});
  CHECK(run<int64_t>(NonMaxSuppression{}, {corners, scores, many, half}) ==
        Longs{0, 0, 1, 0, 0, 2});
  CHECK(run<int64_t>(NonMaxSuppression{}, {corners, scores, longs({}, {1}), half}) ==
        Longs{0, 0, 1});
  CHECK(run<int64_t>(NonMaxSuppression{}, {corners, scores, many, floats({}, {0.9f}),
                                           floats({}, {0.4f})}) == Longs{0, 0, 1, 0, 0, 0});
  const Value centres = floats({1, 3, 4}, {0.5f, 0.5f, 1, 1, 0.6f, 0.5f, 1, 1, 10.5f, 0.5f, 1, 1});
  CHECK(run<int64_t>(NonMaxSuppression{true}, {centres, scores, many, half}) ==
        Longs{0, 0, 1, 0, 0, 2});
  CHECK(text(evaluate(NonMaxSuppression{}, {corners, floats({1, 1, 2}, {0, 0})}).status()) ==
        "malformed: node: boxes are 1x3x4, scores 1x1x2");
}
