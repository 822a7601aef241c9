// SPDX-License-Identifier: Apache-2.0
// The structure of quantized graphs: what becomes int8, what stays float and why, where conversions
// stand and which ranges values share.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "runtime/int8_ops.h"
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

bool int8(const QuantizedGraph& result, const std::string& name) {
  return layer(result, name).precision == Precision::i8;
}

TEST_CASE("convolutions: int8 between, floats from the last one") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 3}), 8, 3, 1);
  b.output(b.conv("c2", c1, 5));
  const QuantizedGraph q = quantize(b.graph);
  REQUIRE(q.graph.nodes.size() == 3);
  CHECK(q.graph.nodes[0].name == "x.quantize");
  CHECK(out(q, "x.quantize").type == DType::i8);
  CHECK(out(q, "x.quantize").quant == to_quant({-4, 4}));
  CHECK(out(q, "c1").type == DType::i8);
  CHECK(out(q, "c1").name == "c1");
  CHECK(out(q, "c2").type == DType::f32);
  CHECK(q.graph.is_output(find_node(q.graph, "c2")->out[0]));

  const Value &w = in(q, "c1", 1), &bias = in(q, "c1", 2);
  REQUIRE(w.quant.has_value());
  CHECK(w.type == DType::i8);
  CHECK(w.quant->axis == 0);
  CHECK(w.quant->scale.size() == 8);
  CHECK(w.quant->zero == std::vector<int32_t>(8));
  REQUIRE(bias.quant.has_value());
  CHECK(bias.type == DType::i32);
  for (size_t c = 0; c < 8; ++c)
    CHECK(bias.quant->scale[c] == w.quant->scale[c] * out(q, "x.quantize").quant->scale[0]);
  CHECK(layer(q, "c1").bytes_before == 4 * (8 * 9 * 3 + 8));
  CHECK(layer(q, "c1").bytes_after == 8 * 9 * 3 + 4 * 8);
  // Nothing of the float weights is left.
  for (const Value& value : q.graph.values)
    if (value.constant != nullptr) CHECK(value.type != DType::f32);
}

TEST_CASE("depthwise convolutions give int8 even at the end") {
  GraphBuilder b;
  b.output(b.conv("dw", b.input("x", {1, 6, 6, 8}), 8, 3, 1, 1, 8));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(out(q, "dw").type == DType::i8);
  CHECK(out(q, "dw").name == "dw.int8");
  CHECK(out(q, "dw.dequantize").name == "dw");
}

TEST_CASE("a value read in both precisions is converted once") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 4}), 4);
  b.output(b.add("norm", LocalResponseNorm{}, {c1}));
  b.output(b.add("soft", Softmax{}, {c1}));
  b.output(b.conv("c2", c1, 4));
  b.output(b.conv("c3", c1, 4));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(count(q.graph, "Convert") == 2);
  CHECK(in(q, "norm", 0).name == "c1.dequantize");
  CHECK(in(q, "soft", 0).name == "c1.dequantize");
  CHECK(in(q, "c2", 0).name == "c1");
  CHECK(layer(q, "soft").why == "Softmax runs in float");

  GraphBuilder f;
  const ValueId soft = f.add("soft", Softmax{}, {f.conv("c1", f.input("x", {1, 6, 6, 4}), 4)});
  f.output(f.conv("c2", soft, 4));
  f.output(f.conv("c3", soft, 4));
  const QuantizedGraph twice = quantize(f.graph);
  CHECK(count(twice.graph, "Convert") == 2);
  CHECK(in(twice, "c2", 0).name == "soft.quantize");
  CHECK(in(twice, "c3", 0).name == "soft.quantize");
  CHECK(out(twice, "c1").type == DType::f32);
}

TEST_CASE("residual add, squeeze-and-excite and hard-swish stay in int8") {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 6, 6, 4});
  const ValueId c1 = b.unary("swish", Unary::Kind::hard_swish, b.conv("c1", x, 8));
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {c1});
  const ValueId gate =
      b.unary("gate", Unary::Kind::hard_sigmoid, b.conv("fc", mean, 8), 0.2f, 0.5f);
  const ValueId scaled = b.binary("scaled", Binary::Kind::mul, c1, gate);
  const ValueId sum = b.binary("sum", Binary::Kind::add, scaled, b.conv("c2", x, 8));
  b.output(b.conv("last", sum, 3));
  const QuantizedGraph q = quantize(b.graph, {}, {{"gate", {0, 1}}});
  for (const LayerReport& report : q.layers) {
    CAPTURE(report.name);
    CHECK(report.precision == Precision::i8);
    CHECK(report.why.empty());
  }
  CHECK(count(q.graph, "Convert") == 1);
  CHECK(out(q, "gate").quant == to_quant({0, 1}));
}

TEST_CASE("binary with constants: scalars stay float, rows become int8") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 3}), 8);
  const ValueId shifted =
      b.binary("shifted", Binary::Kind::add, c1, b.constant({8}, {0, 1, 2, 3, 4, 5, 6, 255}));
  const ValueId halved = b.binary("halved", Binary::Kind::div, shifted, b.scalar(2));
  const ValueId power = b.binary("power", Binary::Kind::pow, b.scalar(2), halved);
  const ValueId divided = b.binary("divided", Binary::Kind::div, power, b.random({8}, 1, 2));
  b.output(b.conv("last", divided, 3));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(in(q, "shifted", 1).type == DType::i8);
  CHECK(in(q, "shifted", 1).quant == Quant{-1, 8, 0, {1}, {-128}});
  CHECK(in(q, "shifted", 1).as<int8_t>()[3] == -125);
  CHECK(in(q, "halved", 1).type == DType::f32);
  CHECK(int8(q, "halved"));
  CHECK(int8(q, "power"));
  CHECK_FALSE(int8(q, "divided"));
  CHECK(layer(q, "divided").why == "of two tensors it runs in float");
}

TEST_CASE("a bound for each channel: what it reads, gives and is have one range") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 3}), 4);
  const ValueId low = b.binary("low", Binary::Kind::min, c1, b.random({4}));
  const ValueId c2 = b.conv("c2", low, 4);
  const ValueId high = b.binary("high", Binary::Kind::max, b.random({1, 6, 6, 4}), c2);
  b.output(b.conv("c3", b.binary("sum", Binary::Kind::add, high, c2), 4));
  const QuantizedGraph q = quantize(
      b.graph, {}, {{"c1", {-9, 9}}, {"low", {-1, 2}}, {"c2", {-3, 3}}, {"high", {-1, 3}}});
  CHECK(int8(q, "low"));
  CHECK(int8(q, "high"));
  // What is made for the bound alone saturates where the bound's range ends.
  CHECK(out(q, "low").quant == to_quant({-1, 2}));
  CHECK(out(q, "c1").quant == to_quant({-1, 2}));
  CHECK(in(q, "low", 1).quant == to_quant({-1, 2}));
  // What is read by others keeps its range.
  CHECK(out(q, "c2").quant == to_quant({-3, 3}));
  CHECK(out(q, "high").quant == to_quant({-3, 3}));
  CHECK(in(q, "high", 0).quant == to_quant({-3, 3}));
}

TEST_CASE("broadcasts that no kernel has stay in float") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 3}), 8);
  const ValueId mask = b.add("mask", Reduce{Reduce::Kind::max, {3}, true}, {c1});
  b.output(b.conv("last", b.binary("masked", Binary::Kind::mul, c1, mask), 3));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(layer(q, "masked").why == "it broadcasts 1x6x6x8 and 1x6x6x1");
  CHECK(layer(q, "mask").why == "only means over rows and columns run in int8");
}

// Three convolutions into one concat, read by one more.
Graph concat_graph(bool weights_follow, bool extra_use = false) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 3});
  const ValueId a = b.conv("a", x, 4), c = b.conv("b", x, 4);
  const ValueId cat = b.add("cat", Concat{3}, {a, c});
  if (extra_use) b.output(b.conv("extra", a, 2));
  b.output(weights_follow ? b.conv("last", cat, 3) : b.unary("out", Unary::Kind::exp, cat));
  return b.graph;
}

TEST_CASE("concat: inputs of about its range take it over") {
  const QuantizedGraph q =
      quantize(concat_graph(true), {}, {{"a", {-3, 2}}, {"b", {-4, 4}}, {"cat", {-4, 3.9f}}});
  CHECK(int8(q, "cat"));
  CHECK(out(q, "cat").quant == to_quant({-4, 3.9f}));
  CHECK(out(q, "a").quant == out(q, "cat").quant);
  CHECK(out(q, "b").quant == out(q, "cat").quant);
}

TEST_CASE("concat: an input with another reader, or of another range, keeps its own") {
  const std::map<std::string, Interval> alike{{"a", {-3, 2}}, {"cat", {-4, 3.9f}}};
  const QuantizedGraph used = quantize(concat_graph(true, true), {}, alike);
  CHECK(out(used, "a").quant == to_quant({-3, 2}));
  CHECK(out(used, "b").quant == to_quant({-4, 4}));
  CHECK(out(used, "cat").quant == to_quant({-4, 3.9f}));
  const QuantizedGraph unlike = quantize(concat_graph(true), {}, {{"a", {-1, 1}}});
  CHECK(int8(unlike, "cat"));
  CHECK(out(unlike, "a").quant == to_quant({-1, 1}));
  CHECK(out(unlike, "b").quant == to_quant({-4, 4}));
}

TEST_CASE("concat: nested ones hand the outer range down") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 3});
  const ValueId inner = b.add("inner", Concat{3}, {b.conv("a", x, 4), b.conv("b", x, 4)});
  const ValueId outer = b.add("outer", Concat{3}, {inner, b.conv("c", x, 4)});
  b.output(b.conv("last", outer, 3));
  const QuantizedGraph q = quantize(b.graph, {}, {{"outer", {-5, 5}}});
  for (const char* name : {"a", "b", "inner", "c"}) CHECK(out(q, name).quant == to_quant({-5, 5}));
}

TEST_CASE("concat: boxes and scores are put together in float") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 8});
  // Depthwise: cannot give floats itself, so that only the ranges decide.
  const ValueId boxes = b.conv("boxes", x, 8, 3, 1, 1, 8);
  const ValueId scores = b.conv("scores", x, 8, 3, 1, 1, 8);
  b.output(b.add("cat", Concat{3}, {boxes, scores}));
  const QuantizedGraph far = quantize(b.graph, {}, {{"boxes", {0, 640}}, {"scores", {0, 1}}});
  CHECK_FALSE(int8(far, "cat"));
  CHECK(layer(far, "cat").why ==
        "its inputs' ranges are up to 640.000000 and down to 1.000000 wide");
  CHECK(in(far, "cat", 0).name == "boxes.dequantize");
  CHECK(in(far, "cat", 1).name == "scores.dequantize");
  const QuantizedGraph near = quantize(b.graph, {}, {{"boxes", {0, 4}}, {"scores", {0, 1}}});
  CHECK(int8(near, "cat"));
  CHECK(in(near, "cat", 0).quant == to_quant({0, 4}));
}

TEST_CASE("concat: where weights follow, one range is needed anyway") {
  const QuantizedGraph q = quantize(concat_graph(true), {}, {{"a", {0, 640}}, {"b", {0, 1}}});
  CHECK(int8(q, "cat"));
  CHECK(out(q, "a").quant == to_quant({0, 640}));
  CHECK(out(q, "b").quant == to_quant({0, 1}));
}

TEST_CASE("what follows the last weights runs in float") {
  const QuantizedGraph q = quantize(concat_graph(false));
  CHECK(out(q, "a").type == DType::f32);
  CHECK(out(q, "b").type == DType::f32);
  CHECK(layer(q, "cat").why == "behind the last weights");
  CHECK(layer(q, "out").why == "behind the last weights");
  CHECK(count(q.graph, "Convert") == 1);
}

TEST_CASE("a tail that hangs on int8 anyway stays int8") {
  GraphBuilder b;
  const ValueId dw = b.conv("dw", b.input("x", {1, 6, 6, 8}), 8, 3, 1, 1, 8);
  b.output(b.add("flat", Reshape{{1, -1}, false}, {b.relu("relu", dw)}));
  const QuantizedGraph q = quantize(b.graph, {}, {{"relu", {0, 4}}});
  CHECK(int8(q, "relu"));
  CHECK(int8(q, "flat"));
  CHECK(out(q, "flat").quant == to_quant({0, 4}));
  CHECK(find_node(q.graph, "flat.dequantize") != nullptr);
}

TEST_CASE("movements keep the range and move bytes on both ends") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8});
  const ValueId c1 = b.conv("c1", b.to_nhwc(x), 8);
  Pool2d max{Pool2d::Kind::max, {{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}}, false, false};
  const ValueId pooled = b.add("pooled", max, {c1});
  const ValueId up =
      b.add("up", Resize2d{Resize2d::Kind::nearest, {}, {}, {8, 8}, {1, 1}}, {pooled});
  const ValueId padded =
      b.add("padded", Pad{Pad::Mode::constant, {0, 1, 1, 0}, {0, 0, 0, 0}, 0}, {up});
  const ValueId odd =
      b.add("odd", Pad{Pad::Mode::constant, {0, 1, 1, 0}, {0, 0, 0, 0}, 1.5f}, {up});
  b.output(b.conv("last", padded, 3));
  b.output(b.conv("last2", odd, 3));
  const QuantizedGraph q = quantize(b.graph, {}, {{"c1", {-1, 2}}});
  CHECK(in(q, "x_nhwc", 0).name == "x.quantize");
  CHECK(out(q, "x_nhwc").quant == out(q, "x.quantize").quant);
  for (const char* name : {"c1", "pooled", "up", "padded"})
    CHECK(out(q, name).quant == to_quant({-1, 2}));
  CHECK(layer(q, "odd").why == "it pads with 1.500000");
}

TEST_CASE("layers without weights between float ones stay float") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 4});
  b.output(b.relu("alone", b.binary("sum", Binary::Kind::add, x, x)));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(q.graph.nodes.size() == 2);
  CHECK(layer(q, "alone").why == "no int8 layer feeds it");
}

TEST_CASE("a small weighted layer between float ones stays float") {
  GraphBuilder b;
  const ValueId big = b.conv("big", b.input("x", {1, 32, 32, 16}), 16, 3, 1);
  b.output(b.conv("decode", b.add("soft", Softmax{}, {big}), 1));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(int8(q, "big"));
  CHECK(layer(q, "decode").why == "small, and between float layers");
}

TEST_CASE("clamps bound the range") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 6, 4});
  const ValueId c1 = b.conv("c1", x, 4);
  std::get<Conv2d>(b.graph.nodes[0].op).clamp = {0, 6};
  b.output(b.conv("last", b.unary("clamped", Unary::Kind::clamp, c1, 1, 2), 3));
  const QuantizedGraph q = quantize(b.graph, {}, {{"c1", {-0.5f, 9}}, {"clamped", {-9, 9}}});
  CHECK(out(q, "c1").quant == to_quant({0, 6}));
  CHECK(out(q, "clamped").quant == to_quant({1, 2}));
  CHECK(std::get<Conv2d>(find_node(q.graph, "c1")->op).clamp == Clamp{0, 6});
}

TEST_CASE("keep_float: by name, pattern and type") {
  GraphBuilder b;
  const ValueId c1 = b.conv("block1/conv", b.input("x", {1, 6, 6, 4}), 4);
  const ValueId c2 = b.conv("block2/conv", c1, 4);
  b.output(b.dense("head", b.relu("relu", c2), 3));
  QuantizeOptions options;
  options.keep_float = {"block?/c*"};
  const QuantizedGraph q = quantize(b.graph, options);
  CHECK(layer(q, "block1/conv").why == "kept by pattern block?/c*");
  CHECK_FALSE(int8(q, "block2/conv"));
  CHECK(int8(q, "head"));
  options.keep_float = {"type:Dense", "block1/conv"};
  const QuantizedGraph typed = quantize(b.graph, options);
  CHECK_FALSE(int8(typed, "head"));
  CHECK_FALSE(int8(typed, "block1/conv"));
  CHECK(int8(typed, "block2/conv"));
  CHECK(in(typed, "block2/conv", 0).name == "block1/conv.quantize");

  options.keep_float = {"block*", "type:Conv3d", "conv"};
  const auto none = quantize_graph(b.graph, ranges_of(b.graph), options);
  CHECK(none.status().code() == Code::invalid_argument);
  CHECK(none.status().message() == "keep_float: no layer matches \"type:Conv3d\", \"conv\"");
}

TEST_CASE("float_layers: named ones stay float for the given reason") {
  GraphBuilder b;
  b.output(b.conv("c2", b.conv("c1", b.input("x", {1, 6, 6, 4}), 4), 4));
  QuantizeOptions options;
  options.float_layers = {{"c1", "faster in float"}};
  CHECK(layer(quantize(b.graph, options), "c1").why == "faster in float");
  options.float_layers = {{"c9", ""}};
  CHECK(quantize_graph(b.graph, ranges_of(b.graph), options).status().message() ==
        "float_layers: no layer is called \"c9\"");
}

TEST_CASE("all layers kept in float: the graph as it was") {
  GraphBuilder b;
  b.output(b.conv("c2", b.relu("r", b.conv("c1", b.input("x", {1, 6, 6, 4}), 4)), 4));
  QuantizeOptions options;
  options.keep_float = {"*"};
  const QuantizedGraph q = quantize(b.graph, options);
  CHECK(fingerprint(q.graph) == fingerprint(b.graph));
}

TEST_CASE("errors: missing range, bad weights, wrong means") {
  GraphBuilder b;
  b.output(b.conv("c2", b.conv("c1", b.input("x", {1, 6, 6, 4}), 4), 4));
  auto ranges = ranges_of(b.graph);
  CHECK(ranges.erase("c1") == 1);
  const auto missing = quantize_graph(b.graph, ranges);
  CHECK(missing.status().code() == Code::failed_precondition);
  CHECK(missing.status().message() == "c1: its range is needed and was not observed");

  QuantizeOptions options;
  options.channel_means["c1"] = {1, 2, 3};
  CHECK(quantize_graph(b.graph, ranges_of(b.graph), options).status().message() ==
        "c1: 3 channel means, expected 4");

  GraphBuilder bad;
  const ValueId w = bad.constant({1, 1, 1, 1}, {std::nanf("")});
  bad.output(bad.add("c1", Conv2d{}, {bad.input("x", {1, 2, 2, 1}), w}));
  CHECK(quantize_graph(bad.graph, ranges_of(bad.graph)).status().code() == Code::malformed);
}

TEST_CASE("what only moves elements is int8 and shares the range") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 4}), 4);
  const ValueId tiled = b.add("tile", Tile{}, {c1, b.ints({1, 2, 1, 1})});
  const ValueId gathered = b.add("gather", Gather{1}, {tiled, b.ints({3, -1, 0, 7})});
  const ValueId padded =
      b.add("pad", Pad{Pad::Mode::reflect, {0, 1, 2, 0}, {0, 1, 0, 0}}, {gathered});
  const ValueId expanded = b.add("expand", Expand{}, {padded, b.ints({2, 1, 1, 1})});
  b.output(b.conv("c2", expanded, 4));
  const QuantizedGraph q = quantize(b.graph);
  for (const char* name : {"tile", "gather", "pad", "expand"}) {
    CHECK(int8(q, name));
    CHECK(out(q, name).quant == out(q, "c1").quant);
  }
}

TEST_CASE("norms and attention stay float") {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 6, 8});
  const ValueId norm = b.add("norm", LayerNorm{}, {x, b.random({8}), b.random({8})});
  const ValueId dense = b.dense("dense", norm, 8);
  const ValueId turned = b.add("turn", Transpose{{0, 2, 1}}, {dense});
  b.output(b.add("product", MatMul{}, {dense, turned}));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(!int8(q, "norm"));
  CHECK(int8(q, "dense"));
  CHECK(!int8(q, "product"));
}

TEST_CASE("a shape that is read does not make its value float") {
  GraphBuilder b;
  const ValueId c1 = b.conv("c1", b.input("x", {1, 6, 6, 4}), 4);
  const ValueId shape = b.add("shape", ShapeOf{}, {c1});
  b.output(b.conv("c2", c1, 4));
  b.output(b.add("as_float", Convert{DType::f32}, {shape}));
  const QuantizedGraph q = quantize(b.graph);
  CHECK(find_node(q.graph, "c1.dequantize") == nullptr);
}

}  // namespace
}  // namespace firn
