// SPDX-License-Identifier: Apache-2.0
// Minimum cuts, and the choice of precisions by times that a test makes up.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "quant/faster.h"
#include "quant/min_cut.h"
#include "quant/observe.h"
#include "quant/quantize_graph.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::GraphBuilder;
using test::must;
using Why = std::map<std::string, std::string>;
using Ms = std::map<std::string, double>;

QuantizedGraph quantize(const Graph& graph, const Why& float_layers = {}) {
  std::map<std::string, Interval> ranges;
  for (const ObservedTensor& tensor : tensors_to_observe(graph)) ranges[tensor.name] = {-4, 4};
  QuantizeOptions options;
  options.float_layers = float_layers;
  return must(quantize_graph(graph, ranges, options));
}

Why choose(const Graph& graph, const Ms& in_float, const Ms& in_int8) {
  return layers_faster_in_float(graph, quantize(graph).layers, {in_float, 0}, {in_int8, 0});
}

std::vector<std::string> names(const Why& why) {
  std::vector<std::string> all;
  for (const auto& [name, reason] : why) all.push_back(name);
  return all;
}

using Names = std::vector<std::string>;

// c1 to c4 behind one another, each on as many elements.
Graph chain() {
  GraphBuilder b;
  ValueId x = b.input("x", {1, 6, 6, 4});
  for (const char* name : {"c1", "c2", "c3", "c4"}) x = b.conv(name, x, 4);
  b.output(x);
  return b.graph;
}

TEST_CASE("a minimum cut is the cheapest of all splits") {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    constexpr size_t kNodes = 8;
    struct Edge {
      size_t from, to;
      int64_t cost;
    };
    std::vector<Edge> edges;
    MinCut cut(kNodes);
    for (int i = 0; i < 20; ++i) {
      const Edge edge{random() % kNodes, random() % kNodes, static_cast<int64_t>(random() % 10)};
      edges.push_back(edge);
      cut.add_edge(edge.from, edge.to, edge.cost);
    }
    const auto cost_of = [&](const std::vector<bool>& source_side) {
      int64_t cost = 0;
      for (const Edge& edge : edges)
        if (source_side[edge.from] && !source_side[edge.to]) cost += edge.cost;
      return cost;
    };
    const auto split = [&](uint32_t bits) {
      std::vector<bool> source_side(kNodes);
      for (size_t n = 0; n < kNodes; ++n) source_side[n] = (bits >> n & 1) != 0;
      return source_side;
    };
    const std::vector<bool> found = cut.source_side();
    REQUIRE(found[MinCut::kSource]);
    REQUIRE_FALSE(found[MinCut::kSink]);
    const auto count = [](const std::vector<bool>& side) { return std::ranges::count(side, true); };
    for (uint32_t bits = 0; bits < 1u << kNodes; ++bits) {
      const std::vector<bool> other = split(bits);
      if (!other[MinCut::kSource] || other[MinCut::kSink]) continue;
      CHECK(cost_of(found) <= cost_of(other));
      if (cost_of(found) == cost_of(other)) CHECK(count(found) >= count(other));
    }
  }
}

TEST_CASE("int8 that is faster stays") {
  const Ms in_float{{"c1", 4}, {"c2", 4}, {"c3", 4}, {"c4", 4}};
  CHECK(choose(chain(), in_float, {{"x.quantize", 1}, {"c1", 2}, {"c2", 2}, {"c3", 2}, {"c4", 2}})
            .empty());
  // Nor is a layer worth two conversions that is slower by less than they cost.
  CHECK(choose(chain(), in_float, {{"x.quantize", 1}, {"c1", 2}, {"c2", 5}, {"c3", 2}, {"c4", 2}})
            .empty());
}

TEST_CASE("float is taken where it is clearly faster only") {
  GraphBuilder b;
  b.output(b.conv("c1", b.input("x", {1, 6, 6, 4}), 4));
  CHECK(choose(b.graph, {{"c1", 1}}, {{"x.quantize", 0.01}, {"c1", 1.03}}).empty());
  CHECK(choose(b.graph, {{"c1", 1}}, {{"x.quantize", 0.01}, {"c1", 1.05}}) ==
        Why{{"c1", "fp32 is faster here: 1 ms, int8 1.06 ms"}});
  // The conversion alone makes the difference.
  CHECK(choose(b.graph, {{"c1", 1}}, {{"x.quantize", 0.9}, {"c1", 0.5}}) ==
        Why{{"c1", "fp32 is faster here: 1 ms, int8 1.4 ms"}});
}

TEST_CASE("a layer between int8 ones pays for its way out and back") {
  const Ms in_float{{"c1", 4}, {"c2", 1}, {"c3", 4}, {"c4", 4}};
  const Ms in_int8{{"x.quantize", 1}, {"c1", 2}, {"c2", 3}, {"c3", 2}, {"c4", 2}};
  // c1 gives floats for nothing, c3 has one conversion before it as the first had.
  CHECK(choose(chain(), in_float, in_int8) == Why{{"c2", "fp32 is faster here: 2 ms, int8 3 ms"}});
  const QuantizedGraph again = quantize(chain(), choose(chain(), in_float, in_int8));
  CHECK(test::find_node(again.graph, "c2.quantize") != nullptr);
  CHECK(test::count(again.graph, "Convert") == 2);
}

TEST_CASE("a chain is decided at once") {
  // None of these is slower by as much as the way there costs; together they are.
  const Ms in_float{{"c1", 4}, {"c2", 1}, {"c3", 1}, {"c4", 1}};
  const Ms in_int8{{"x.quantize", 2}, {"c1", 1}, {"c2", 2}, {"c3", 2}, {"c4", 2}};
  const std::string why = "fp32 is faster for these 3 layers: 3 ms, int8 6 ms";
  CHECK(choose(chain(), in_float, in_int8) == Why{{"c2", why}, {"c3", why}, {"c4", why}});
  // From the start of the network on, the conversion goes to where int8 begins.
  CHECK(names(choose(chain(), {{"c1", 1}, {"c2", 1}, {"c3", 9}, {"c4", 9}},
                     {{"x.quantize", 1}, {"c1", 2}, {"c2", 2}, {"c3", 1}, {"c4", 1}})) ==
        Names{"c1", "c2"});
  // And where all of it is slower nothing is left.
  CHECK(names(choose(chain(), in_float,
                     {{"x.quantize", 2}, {"c1", 3}, {"c2", 2}, {"c3", 2}, {"c4", 2}})) ==
        Names{"c1", "c2", "c3", "c4"});
}

TEST_CASE("a conversion is paid once for all readers, by the element") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 4}), 4);
  const ValueId left = b.conv("left", c1, 4), right = b.conv("right", c1, 4);
  b.output(b.binary("sum", Binary::Kind::add, left, right));
  b.output(b.conv("wide", c1, 16));
  Ms in_float{{"c1", 1}, {"left", 9}, {"right", 9}, {"wide", 9}};
  Ms in_int8{{"x.quantize", 4}, {"c1", 1.5}, {"left", 1}, {"right", 1}, {"wide", 1}};
  // The same conversion either way, so that c1 alone counts.
  CHECK(choose(b.graph, in_float, in_int8) ==
        Why{{"c1", "fp32 is faster here: 5 ms, int8 5.5 ms"}});
  // Readers that go too find floats there; the conversion stays as long as one is left.
  in_float["left"] = in_float["right"] = 0.5;
  CHECK(names(choose(b.graph, in_float, in_int8)) == Names{"c1", "left", "right"});
  in_float["wide"] = 3;
  CHECK(names(choose(b.graph, in_float, in_int8)) == Names{"c1", "left", "right", "wide"});

  // Behind a pool a quarter of the elements, and of the cost.
  GraphBuilder p;
  const ValueId pooled =
      p.add("pool", Pool2d{Pool2d::Kind::max, {{2, 2}, {2, 2}, {1, 1}, {}}, false, false},
            {p.conv("big", p.input("x", {1, 8, 8, 4}), 4)});
  p.output(p.conv("last", pooled, 4));
  CHECK(choose(p.graph, {{"big", 1}, {"pool", 1}, {"last", 9}},
               {{"x.quantize", 4}, {"big", 1}, {"pool", 1}, {"last", 1}}) ==
        Why{{"big", "fp32 is faster for these 2 layers: 3 ms, int8 6 ms"},
            {"pool", "fp32 is faster for these 2 layers: 3 ms, int8 6 ms"}});
}

TEST_CASE("chains apart have reasons of their own") {
  const Why why = choose(chain(), {{"c1", 1}, {"c2", 30}, {"c3", 30}, {"c4", 1}},
                         {{"x.quantize", 0.5}, {"c1", 2}, {"c2", 1}, {"c3", 1}, {"c4", 123.4}});
  CHECK(why == Why{{"c1", "fp32 is faster here: 1.5 ms, int8 2.5 ms"},
                   {"c4", "fp32 is faster here: 1 ms, int8 123 ms"}});
}

TEST_CASE("what cannot be kept by its name, or is float already, is left alone") {
  GraphBuilder b;
  const ValueId twin = b.conv("twin", b.conv("twin", b.input("x", {1, 6, 6, 4}), 4), 4);
  b.output(b.add("soft", Softmax{}, {b.conv("last", twin, 4)}));
  CHECK(choose(b.graph, {{"twin", 1}, {"last", 9}, {"soft", 1}},
               {{"x.quantize", 1}, {"twin", 5}, {"last", 1}, {"soft", 5}})
            .empty());
}

}  // namespace
}  // namespace firn
