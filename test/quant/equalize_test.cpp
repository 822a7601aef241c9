// SPDX-License-Identifier: Apache-2.0
// Channels that can be scaled together, factors for them, and graphs that compute the same after
// it.
#include "quant/equalize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "quant/report.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::find_node;
using test::GraphBuilder;
using test::must;

constexpr size_t kNone = ChannelClasses::kNone;

std::vector<float> run(const Graph& graph, std::vector<float> input) {
  const Tensor x = view(graph.value(graph.inputs[0]).shape, input.data());
  const std::vector<Value> values = must(reference_run(graph, {&x, 1}));
  return {values[0].as<float>().begin(), values[0].as<float>().end()};
}

// A residual block, a depthwise layer, a concatenation, pools and what else ties channels.
Graph network(ValueId* wide = nullptr, ValueId* both = nullptr) {
  GraphBuilder b(3);
  const ValueId x = b.input("x", {1, 8, 8, 4});
  const ValueId stem = b.relu("stem_act", b.conv("stem", x, 6, 3, 1));
  const ValueId expanded = b.relu("wide_act", b.conv("expand", stem, 12));
  const ValueId deep = b.unary("leaky", Unary::Kind::leaky_relu,
                               b.conv("depthwise", expanded, 12, 3, 1, 1, 12), 0.1f);
  const ValueId project = b.conv("project", deep, 6);
  const ValueId sum = b.binary("sum", Binary::Kind::add, stem, project);
  Window window{{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}};
  const ValueId pooled = b.add("pool", Pool2d{Pool2d::Kind::max, window, false, false}, {sum});
  const ValueId left = b.relu("left_act", b.conv("left", pooled, 5));
  const ValueId concat = b.add("both", Concat{3}, {left, pooled});
  const ValueId grouped =
      b.relu("grouped_act", b.conv("grouped", b.conv("mix", concat, 8), 8, 1, 0, 1, 2));
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {grouped});
  const ValueId flat = b.add("flat", Reshape{{1, 8}}, {mean});
  b.output(b.dense("logits", flat, 10));
  if (wide != nullptr) *wide = expanded;
  if (both != nullptr) *both = concat;
  return b.graph;
}

TEST_CASE("equalize: classes are what layers without weights tie together") {
  ValueId wide = ValueId::none, both = ValueId::none;
  const Graph graph = network(&wide, &both);
  const ChannelClasses classes = channel_classes(graph);
  // stem = project = sum = pool: 6, expand 12, depthwise 12, left 5, mix 8, grouped 8.
  CHECK(classes.count == 51);
  CHECK(std::set<size_t>(classes.of[index(wide)].begin(), classes.of[index(wide)].end()).size() ==
        12);
  const auto find = [&](const std::string& name) {
    return static_cast<size_t>(std::ranges::find(graph.values, name, &Value::name) -
                               graph.values.begin());
  };
  const std::vector<size_t>&left = classes.of[find("left_act")], &sum = classes.of[find("sum")];
  std::vector<size_t> expected = left;
  expected.insert(expected.end(), sum.begin(), sum.end());
  CHECK(classes.of[index(both)] == expected);
  CHECK(classes.of[find("stem")] == sum);
  // Inputs and outputs keep their scale.
  CHECK(classes.of[find("x")] == std::vector<size_t>(4, kNone));
  CHECK(classes.of[find("logits")] == std::vector<size_t>(10, kNone));
}

TEST_CASE("equalize: what is not homogeneous keeps its scale") {
  GraphBuilder b(4);
  const ValueId c1 = b.conv("c1", b.input("x", {1, 4, 4, 3}), 4);
  const ValueId curved = b.unary("curved", Unary::Kind::hard_swish, c1);
  const ValueId c2 = b.conv("c2", curved, 4);
  const ValueId shifted = b.binary("shifted", Binary::Kind::add, c2, b.random({4}));
  const ValueId c3 = b.conv("c3", shifted, 4);
  const ValueId raised = b.unary("raised", Unary::Kind::clamp, c3, -1, 1);
  b.output(b.conv("c4", raised, 4));
  CHECK(channel_classes(b.graph).count == 0);
}

TEST_CASE("equalize: any factors leave the answers alone") {
  Graph graph = network();
  const ChannelClasses classes = channel_classes(graph);
  GraphBuilder numbers(9);
  std::vector<float> factors = numbers.floats(classes.count, 0.1f, 8);
  const std::vector<float> input = numbers.floats(8 * 8 * 4, -2, 2);
  const std::vector<float> want = run(graph, input);
  const auto changed = must(scale_channels(graph, classes, factors));
  CHECK(changed.size() == 17);
  CHECK(changed.at("sum").size() == 6);
  CHECK_FALSE(changed.contains("logits"));
  CHECK(sqnr_db(want, run(graph, input)) > 100);
}

TEST_CASE("equalize: clamps move with channels that reach them") {
  GraphBuilder b(5);
  const ValueId x = b.input("x", {1, 6, 6, 4});
  const ValueId wide = b.conv("expand", x, 12);
  std::get<Conv2d>(b.graph.nodes.back().op).clamp = {0, 1.5f};
  const ValueId deep =
      b.unary("deep_act", Unary::Kind::clamp, b.conv("depthwise", wide, 12, 3, 1, 1, 12), 0, 6);
  b.output(b.conv("project", deep, 5));
  const std::vector<float> input = b.floats(6 * 6 * 4, -2, 2);
  const std::vector<float> want = run(b.graph, input);
  const ChannelClasses classes = channel_classes(b.graph);
  CHECK(classes.count == 24);
  std::vector<float> factors = b.floats(classes.count, 0.1f, 8);

  Graph stays = b.graph, moves = b.graph;
  must(scale_channels(stays, classes, factors));
  CHECK(sqnr_db(want, run(stays, input)) < 40);  // clamps were reached
  const auto changed = must(scale_channels(moves, classes, factors, Clamps::move));
  must(check(moves));
  CHECK(sqnr_db(want, run(moves, input)) > 100);
  CHECK(changed.at("expand.open") == changed.at("expand"));
  const Node* bound = find_node(moves, "expand.bound");
  REQUIRE(bound != nullptr);
  const std::span<const float> bounds = moves.value(bound->in[1]).as<float>();
  for (size_t c = 0; c < 12; ++c) CHECK(bounds[c] == 1.5f * changed.at("expand")[c]);
}

TEST_CASE("equalize: small channels grow as far as their peaks can be trusted") {
  ChannelClasses classes;
  classes.of = {{0, 1, 2, kNone}};
  classes.count = 3;
  classes.component = {0, 0, 0};
  classes.clamp.assign(3, std::numeric_limits<float>::infinity());
  std::vector<ChannelPeaks> peaks(1);
  peaks[0].half[0] = {16, 1, 0, 100};
  peaks[0].half[1] = {16, 1, 0, 100};
  CHECK(activation_factors(classes, peaks) == std::vector<float>{1, 4, 1});
  // Halves that differ by 8 leave room for 2 below a clamp, and matter to nothing else.
  peaks[0].half[1] = {2, 1, 0, 100};
  CHECK(activation_factors(classes, peaks) == std::vector<float>{1, 4, 1});
  classes.clamp.assign(3, 24.0f);
  CHECK(activation_factors(classes, peaks) == std::vector<float>{1, 2, 1});
  // A clamp that is reached holds its channel, and no channel grows past one.
  peaks[0].half[0] = peaks[0].half[1] = {6, 1.5f, 6, 100};
  classes.clamp.assign(3, 6.0f);
  CHECK(activation_factors(classes, peaks) == std::vector<float>{1, 2, 1});
}

}  // namespace
}  // namespace firn
