// SPDX-License-Identifier: Apache-2.0
// Layers with 16-bit activations: where they stand in quantized graphs, and that what they lose is
// what their int8 weights lose.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "quant/report.h"
#include "runtime/int8_ops.h"
#include "runtime/packed.h"
#include "test/quant/quantized.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::count;
using test::find_node;
using test::GraphBuilder;
using test::in;
using test::layer;
using test::must;
using test::out;
using test::quantize;
using test::ranges_of;

TEST_CASE("16 bits: from layer to layer, and into int8 and floats") {
  GraphBuilder b;
  ValueId at = b.conv("c1", b.input("x", {1, 6, 6, 3}), 8, 3, 1);
  for (const char* name : {"c2", "c3", "c4", "c5"}) at = b.conv(name, at, 8);
  b.output(at);
  QuantizeOptions options;
  options.keep_i16 = {"c2", "c3", "c5"};
  const QuantizedGraph q = quantize(b.graph, options);
  // c1 gives floats, which become 16 bits; c3 gives int8 itself, c4 floats, c5 the output.
  CHECK(count(q.graph, "Convert") == 3);
  CHECK(out(q, "c1").type == DType::f32);
  CHECK(is_wide(out(q, "c1.quantize16")));
  CHECK(in(q, "c2", 0).name == "c1.quantize16");
  CHECK(is_wide(out(q, "c2")));
  CHECK(in(q, "c3", 0).name == "c2");
  CHECK(out(q, "c3").type == DType::i8);
  CHECK(in(q, "c4", 0).name == "c3");
  CHECK(out(q, "c4").type == DType::f32);
  CHECK(is_wide(in(q, "c5", 0)));
  CHECK(out(q, "c5").type == DType::f32);
  // One bit to spare around 0, int8 weights by channel, a float bias.
  CHECK(out(q, "c2").quant->scale[0] == doctest::Approx(8.0 / 32767));
  CHECK(in(q, "c3", 1).type == DType::i8);
  CHECK(in(q, "c3", 1).quant->scale.size() == 8);
  CHECK(in(q, "c3", 2).type == DType::f32);
  CHECK_FALSE(in(q, "c3", 2).quant.has_value());
  CHECK(layer(q, "c2").precision == Precision::i16);
  CHECK(layer(q, "c2").why == "kept by pattern c2");
  CHECK(layer(q, "c4").precision == Precision::i8);
  CHECK(layer(q, "c2").bytes_after == 8 * 8 + 4 * 8);
  // Reports of int8 tensors are of those alone.
  for (const QuantizedTensor& tensor : q.tensors) CHECK(tensor.quant.bits == 8);
}

TEST_CASE("16 bits: a value that is read in every precision") {
  for (const bool depthwise : {false, true}) {
    CAPTURE(depthwise);
    GraphBuilder b;
    const ValueId x = b.input("x", {1, 6, 6, 8});
    const ValueId c1 = b.conv("c1", x, 8, 3, 1, 1, depthwise ? 8 : 1);
    b.output(b.conv("in8", c1, 4));
    b.output(b.conv("in16", c1, 4));
    b.output(b.add("soft", Softmax{}, {c1}));
    QuantizeOptions options;
    options.keep_i16 = {"in16"};
    QuantizedGraph q = quantize(b.graph, options);
    CHECK(in(q, "in8", 0).type == DType::i8);
    CHECK(is_wide(in(q, "in16", 0)));
    CHECK(in(q, "soft", 0).type == DType::f32);
    // Wide itself, the layer gives floats, which become what its readers want.
    options.keep_i16 = {"in16", "c1"};
    q = quantize(b.graph, options);
    CHECK(out(q, "c1").type == DType::f32);
    CHECK(in(q, "in8", 0).name == "c1.quantize");
    CHECK(in(q, "in16", 0).name == "c1.quantize16");
    CHECK(in(q, "soft", 0).name == "c1");
  }
}

TEST_CASE("16 bits: patterns, and what stays in float") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 4}), 4);
  const ValueId sum = b.binary("sum", Binary::Kind::add, c1, b.conv("c2", c1, 4));
  b.output(b.conv("c3", sum, 4));
  QuantizeOptions options;
  options.keep_i16 = {"*"};
  options.keep_float = {"last:1"};
  const QuantizedGraph q = quantize(b.graph, options);
  CHECK(layer(q, "c1").precision == Precision::i16);
  CHECK(layer(q, "c2").precision == Precision::i16);
  CHECK(layer(q, "sum").precision == Precision::f32);
  CHECK(layer(q, "c3").precision == Precision::f32);
  CHECK(layer(q, "c3").why == "kept by pattern last:1");
  const auto refusal = [&](const std::string& pattern) {
    options.keep_i16 = {pattern};
    return quantize_graph(b.graph, ranges_of(b.graph), options).status().message();
  };
  CHECK(refusal("c4") == "keep_i16: no layer matches \"c4\"");
  CHECK(refusal("sum") == "keep_i16: no layer matches \"sum\"");
  CHECK(refusal("type:Add") == "keep_i16: no layer matches \"type:Add\"");
  CHECK(refusal("first:0") == "keep_i16: no layer matches \"first:0\"");
  options.keep_i16 = {};
  options.i16_layers = {{"nobody", "why"}};
  CHECK(quantize_graph(b.graph, ranges_of(b.graph), options).status().message() ==
        "i16_layers: no layer is called \"nobody\"");
}

TEST_CASE("16 bits: ranges of their own, and none") {
  GraphBuilder b;
  b.output(b.conv("c", b.input("x", {1, 6, 6, 4}), 4));
  QuantizeOptions options;
  options.keep_i16 = {"c"};
  options.wide_ranges["x"] = {-1, 10};
  CHECK(in(quantize(b.graph, options), "c", 0).quant->scale[0] == doctest::Approx(20.0 / 32767));
  options.wide_ranges["x"] = {0, 0};
  CHECK(in(quantize(b.graph, options), "c", 0).quant->scale[0] == 1);
  options.wide_ranges.clear();
  CHECK(quantize_graph(b.graph, {}, options).status().message() ==
        "x: its range is needed and was not observed");
  options.unranged_in_float = true;
  const QuantizedGraph q = must(quantize_graph(b.graph, {}, options));
  CHECK(layer(q, "c").precision == Precision::f32);
  CHECK(layer(q, "c").why == "no range is given for x");
}

std::vector<float> run(const Graph& graph, std::vector<float> frame) {
  const Tensor input = view(graph.value(graph.inputs[0]).shape, frame.data());
  const std::vector<Value> values = must(reference_run(graph, {&input, 1}));
  const auto floats = values[0].as<float>();
  return {floats.begin(), floats.end()};
}

// The float graph with the weights and biases that a quantized one has.
Graph with_weights_of(const Graph& graph, const QuantizedGraph& q) {
  Graph made = graph;
  for (Node& node : made.nodes) {
    if (int8_form(graph, node).kind != Int8Form::Kind::weighted) continue;
    for (const size_t i : {1, 2}) {
      const Value& from = in(q, node.name, i);
      std::vector<float> floats(from.shape.elements());
      for (size_t k = 0; k < floats.size(); ++k)
        floats[k] = i == 2 ? from.as<float>()[k]
                           : static_cast<float>(from.as<int8_t>()[k]) *
                                 from.quant->scale[k / (floats.size() / from.quant->scale.size())];
      const Shape shape = from.shape;
      node.in[i] = must(made.add_constant<float>("stored", shape, floats));
    }
  }
  return made;
}

TEST_CASE("16 bits: the error is that of the int8 weights, and no more") {
  GraphBuilder b(3);
  ValueId at = b.relu("r1", b.conv("c1", b.input("x", {1, 10, 10, 8}), 16, 3, 1));
  at = b.relu("r2", b.conv("dw", at, 16, 3, 1, 1, 16));
  at = b.conv("c2", at, 12);
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, false}, {at});
  b.output(b.dense("fc", mean, 10));
  QuantizeOptions wide;
  wide.keep_i16 = {"*"};
  std::map<std::string, Interval> ranges;
  // What each value takes, from a run.
  for (const ObservedTensor& tensor : tensors_to_observe(b.graph)) {
    Graph open = b.graph;
    open.outputs = {tensor.id};
    const std::vector<float> y = run(open, b.floats(800, -2, 2));
    ranges[tensor.name] = {*std::ranges::min_element(y), *std::ranges::max_element(y)};
  }
  const QuantizedGraph q = must(quantize_graph(b.graph, ranges, wide));
  const QuantizedGraph int8 = must(quantize_graph(b.graph, ranges));
  const Graph stored = with_weights_of(b.graph, q);
  Sqnr activations, all, all_int8;
  for (int i = 0; i < 4; ++i) {
    const std::vector<float> frame = b.floats(800, -2, 2);
    const std::vector<float> exact = run(b.graph, frame), got = run(q.graph, frame);
    activations.add(run(stored, frame), got);
    all.add(exact, got);
    all_int8.add(exact, run(int8.graph, frame));
  }
  CHECK(activations.db() > 75);
  CHECK(all.db() < activations.db() - 25);
  CHECK(all.db() > all_int8.db() + 2);
}

}  // namespace
}  // namespace firn
