// SPDX-License-Identifier: Apache-2.0
// Quantized graphs compute about what their originals do: observed, quantized and run end to end on
// the reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "quant/observe.h"
#include "quant/quantize_graph.h"
#include "quant/report.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::GraphBuilder;
using test::must;

using Frame = std::vector<float>;

std::vector<Frame> frames(const Graph& graph, size_t count, uint32_t seed) {
  GraphBuilder source(seed);
  std::vector<Frame> all;
  for (size_t i = 0; i < count; ++i)
    all.push_back(source.floats(graph.value(graph.inputs[0]).shape.elements(), -2, 2));
  return all;
}

std::vector<Value> run(const Graph& graph, Frame frame) {
  const Tensor input = view(graph.value(graph.inputs[0]).shape, frame.data());
  return must(reference_run(graph, {&input, 1}));
}

// Observes all that tensors_to_observe asks for by making it a graph output.
Observer observe(const Graph& graph, const std::vector<Frame>& calibration) {
  Observer observer(tensors_to_observe(graph));
  Graph open = graph;
  open.outputs.clear();
  for (const ObservedTensor& tensor : observer.tensors()) open.outputs.push_back(tensor.id);
  for (const Frame& frame : calibration) {
    const std::vector<Value> values = run(open, frame);
    observer.begin_frame();
    for (size_t i = 0; i < values.size(); ++i) observer.see(i, values[i].as<float>());
    REQUIRE(observer.end_frame());
  }
  return observer;
}

std::map<std::string, Interval> ranges_of(const Observer& observer, Method method) {
  std::map<std::string, Interval> ranges;
  for (size_t i = 0; i < observer.tensors().size(); ++i)
    if (observer.tensors()[i].range)
      ranges[observer.tensors()[i].name] = pick_range(observer.histogram(i), method);
  return ranges;
}

QuantizeOptions with_means(const Observer& observer) {
  QuantizeOptions options;
  for (size_t i = 0; i < observer.tensors().size(); ++i)
    if (auto means = observer.channel_means(i); !means.empty())
      options.channel_means[observer.tensors()[i].name] = means;
  return options;
}

double sqnr(const Graph& reference, const Graph& quantized, const std::vector<Frame>& held_back) {
  Sqnr sum;
  for (const Frame& frame : held_back) {
    const std::vector<Value> want = run(reference, frame), got = run(quantized, frame);
    REQUIRE(want.size() == got.size());
    for (size_t o = 0; o < want.size(); ++o) sum.add(want[o].as<float>(), got[o].as<float>());
  }
  return sum.db();
}

// Scales the weights such that values neither grow nor vanish from layer to layer, as in trained
// nets.
void normalize(Graph& graph) {
  for (Node& node : graph.nodes) {
    if (node.in.size() != 3) continue;  // not weighted
    for (size_t i : {1, 2}) {
      const Value& old = graph.value(node.in[i]);
      const size_t row = i == 1 ? old.shape.elements() / static_cast<size_t>(old.shape[0]) : 100;
      std::vector<float> scaled(old.as<float>().begin(), old.as<float>().end());
      for (float& w : scaled) w *= 2 / std::sqrt(static_cast<float>(row));
      const Shape shape = old.shape;
      node.in[i] = must(graph.add_constant<float>("scaled", shape, scaled));
    }
  }
}

// Convolutions of every kind, a residual, a gate, concats, pools; about MobileNetV3 in small.
Graph random_net(uint32_t seed) {
  GraphBuilder b(seed);
  const ValueId x = b.to_nhwc(b.input("x", {2, 3, 12, 12}));
  const auto activation = [&](const std::string& name, ValueId v) {
    switch (b.below(4)) {
      case 0:
        return b.relu(name, v);
      case 1:
        return b.unary(name, Unary::Kind::hard_swish, v);
      case 2:
        return b.unary(name, Unary::Kind::silu, v, 1);
      default:
        return b.unary(name, Unary::Kind::leaky_relu, v, 0.1f);
    }
  };
  ValueId at = activation("stem_act", b.conv("stem", x, 16, 3, 1));
  for (int block = 0; block < 3; ++block) {
    const std::string name = "block" + std::to_string(block);
    const ValueId wide = activation(name + "_act1", b.conv(name + "_expand", at, 24));
    const ValueId dw = activation(name + "_act2", b.conv(name + "_dw", wide, 24, 3, 1, 1, 24));
    const ValueId mean = b.add(name + "_mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {dw});
    const ValueId gate =
        b.unary(name + "_gate", Unary::Kind::sigmoid, b.conv(name + "_fc", mean, 24));
    const ValueId gated = b.binary(name + "_gated", Binary::Kind::mul, dw, gate);
    const ValueId project = b.conv(name + "_project", gated, 16);
    const ValueId sum = b.binary(name + "_sum", Binary::Kind::add, at, project);
    at = block == 1 ? b.conv(name + "_merge", b.add(name + "_cat", Concat{3}, {sum, wide}), 16)
                    : sum;
  }
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {at});
  const ValueId flat = b.add("flat", Reshape{{2, 16}, false}, {mean});
  b.output(b.dense("logits", flat, 10));
  normalize(b.graph);
  return b.graph;
}

TEST_CASE("random nets in int8 stay close to fp32, and closer with corrected biases") {
  double gained = 0;
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    const Graph graph = random_net(seed);
    const Observer observer = observe(graph, frames(graph, 8, 100 + seed));
    const std::vector<Frame> held_back = frames(graph, 4, 200 + seed);
    for (Method method : {Method::minmax, Method::percentile, Method::automatic}) {
      CAPTURE(method_name(method));
      const QuantizedGraph q =
          must(quantize_graph(graph, ranges_of(observer, method), with_means(observer)));
      for (const LayerReport& layer : q.layers) {
        CAPTURE(layer.name);
        CAPTURE(layer.why);
        CHECK(layer.precision == Precision::i8);
      }
      const double corrected = sqnr(graph, q.graph, held_back);
      CHECK(corrected > 30);
      const Graph plain = must(quantize_graph(graph, ranges_of(observer, method))).graph;
      gained += corrected - sqnr(graph, plain, held_back);
    }
  }
  CHECK(gained > 6);  // dB, over 18 comparisons
}

TEST_CASE("a layer kept in float does not make the result worse") {
  const Graph graph = random_net(3);
  const Observer observer = observe(graph, frames(graph, 8, 1));
  const auto ranges = ranges_of(observer, Method::minmax);
  QuantizeOptions all_but_one;
  all_but_one.keep_float = {"*"};
  const std::vector<Frame> held_back = frames(graph, 4, 2);
  CHECK(sqnr(graph, must(quantize_graph(graph, ranges, all_but_one)).graph, held_back) > 200);
  QuantizeOptions half;
  half.keep_float = {"block0*", "block1*"};
  CHECK(sqnr(graph, must(quantize_graph(graph, ranges, half)).graph, held_back) >
        sqnr(graph, must(quantize_graph(graph, ranges)).graph, held_back));
}

TEST_CASE("scalars and constants in int8 compute what they do in float") {
  GraphBuilder b(5);
  const ValueId c1 = b.conv("c1", b.input("x", {1, 8, 8, 4}), 8);
  const ValueId scaled = b.binary("scaled", Binary::Kind::mul, c1, b.random({8}, 0.5f, 2));
  const ValueId shifted = b.binary("shifted", Binary::Kind::sub, b.scalar(1.5f), scaled);
  const ValueId lowered = b.binary("lowered", Binary::Kind::sub, shifted, b.random({1, 1, 1, 8}));
  const ValueId squared = b.binary("squared", Binary::Kind::pow, lowered, b.scalar(2));
  b.output(b.conv("last", squared, 4));
  const Observer observer = observe(b.graph, frames(b.graph, 8, 1));
  const QuantizedGraph q = must(quantize_graph(b.graph, ranges_of(observer, Method::minmax)));
  for (const LayerReport& layer : q.layers) CHECK(layer.precision == Precision::i8);
  CHECK(sqnr(b.graph, q.graph, frames(b.graph, 4, 2)) > 28);
}

// Per channel the mean of the output over frames.
std::vector<double> output_means(const Graph& graph, const std::vector<Frame>& all,
                                 size_t channels) {
  std::vector<double> means(channels);
  for (const Frame& frame : all) {
    const std::vector<Value> values = run(graph, frame);
    const auto y = values[0].as<float>();
    for (size_t i = 0; i < y.size(); ++i)
      means[i % channels] += y[i] / static_cast<double>(y.size() / channels * all.size());
  }
  return means;
}

TEST_CASE("bias correction brings channel means closer to fp32") {
  GraphBuilder b(7);
  // Inputs far from zero mean, one dominating weight a channel: coarse steps for the others.
  const ValueId x = b.relu("r", b.input("x", {1, 8, 8, 64}));
  std::vector<float> weights = b.floats(size_t{16} * 64, -0.02f, 0.02f);
  for (size_t c = 0; c < 16; ++c) weights[c * 64 + c] = 3;
  const ValueId c1 = b.add("c1", Conv2d{}, {x, b.constant({16, 1, 1, 64}, weights)});
  b.output(c1);
  const std::vector<Frame> calibration = frames(b.graph, 8, 1), held_back = frames(b.graph, 8, 2);
  const Observer observer = observe(b.graph, calibration);
  const auto ranges = ranges_of(observer, Method::minmax);
  const Graph plain = must(quantize_graph(b.graph, ranges)).graph;
  const Graph corrected = must(quantize_graph(b.graph, ranges, with_means(observer))).graph;
  const std::vector<double> want = output_means(b.graph, held_back, 16);
  const auto distance = [&](const Graph& graph) {
    const std::vector<double> got = output_means(graph, held_back, 16);
    double sum = 0;
    for (size_t c = 0; c < 16; ++c) sum += std::fabs(got[c] - want[c]);
    return sum;
  };
  CHECK(distance(corrected) < 0.3 * distance(plain));
}

}  // namespace
}  // namespace firn
