// SPDX-License-Identifier: Apache-2.0
// Tests of shape and type inference: results, every kind of bad attribute, and folded shape chains.
#include <doctest/doctest.h>

#include <climits>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

// "2x3", or why not.
std::string inferred(Op op, const std::vector<Value>& in) {
  OneNode one(std::move(op), in);
  const Status status = one.infer();
  return status.ok() ? to_string(one.y().shape) : text(status);
}

Value image(int32_t h, int32_t w, int32_t c) {
  return open("x", {1, h, w, c});
}

}  // namespace

TEST_CASE("convolutions: shapes") {
  Conv2d op{.window = {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}}};
  CHECK(inferred(op, {image(224, 224, 3), open("w", {32, 3, 3, 3})}) == "1x112x112x32");
  op.window = {.kernel = {3, 5}, .dilation = {2, 1}};
  CHECK(inferred(op, {image(9, 9, 4), open("w", {2, 3, 5, 4}), open("b", {2})}) == "1x5x5x2");
  ConvTranspose2d up{.window = {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}},
                     .output_pad = {1, 0}};
  CHECK(inferred(up, {image(4, 4, 8), open("w", {5, 3, 3, 8})}) == "1x8x7x5");
}

TEST_CASE("convolutions: what is wrong") {
  const Value x = image(8, 8, 24), w = open("w", {32, 3, 3, 24});
  const Conv2d good{.window = {.kernel = {3, 3}}};
  Conv2d op = good;
  CHECK(inferred(op, {x, open("w", {8, 3, 3, 32})}) ==
        "malformed: node: weight channels 32, input has 24");
  CHECK(inferred(op, {open("x", {8, 8, 24}), w}) ==
        "malformed: node: input a is 8x8x24, expected 4 dimensions");
  CHECK(inferred(op, {x, w, open("bias", {31})}) == "malformed: node: bias is 31, expected 32");
  CHECK(inferred(op, {x}) == "malformed: node: has 1 inputs, Conv2d takes 2 to 3");
  CHECK(inferred(op, {x, open("", {})}) == "malformed: node: input 1 is left out");
  CHECK(inferred(op, {open("x", {1, 8, 8, 24}, DType::i64), w}) ==
        "unsupported: node (Conv2d): input a is i64, expected f32 or quantized");
  CHECK(inferred(op, {open("x", {1, -1, 8, 24}), w}) ==
        "failed_precondition: node: the shape of input a is not known: 1x?x8x24");
  CHECK(inferred(op, {image(2, 8, 24), w}) ==
        "malformed: node: kernel 3x3 does not fit input 1x2x8x24");
  op.groups = 0;
  CHECK(inferred(op, {x, w}) == "malformed: node: groups is 0");
  op.groups = 5;
  CHECK(inferred(op, {image(8, 8, 120), w}) == "malformed: node: output channels 32 in 5 groups");
  op = good;
  op.window.stride = {1, 0};
  CHECK(inferred(op, {x, w}) == "malformed: node: stride of columns is 0");
  op = good;
  op.window.dilation = {-1, 1};
  CHECK(inferred(op, {x, w}) == "malformed: node: dilation of rows is -1");
  op = good;
  op.window.kernel = {0, 3};
  CHECK(inferred(op, {x, w}) == "malformed: node: kernel of rows is 0");
  op = good;
  op.window.kernel = {3, 1};
  CHECK(inferred(op, {x, w}) == "malformed: node: weights are 32x3x3x24, kernel is 3x1");
  op = good;
  op.window.pad = {0, -1, 0, 0};
  CHECK(inferred(op, {x, w}) == "malformed: node: padding of columns is -1 and 0");
}

TEST_CASE("hostile windows do not overflow") {
  const Value w = open("w", {1, 3, 3, 1});
  Conv2d op{.window = {.kernel = {3, 3}}};
  op.window.pad = {INT_MAX, INT_MAX, INT_MAX, INT_MAX};
  CHECK(inferred(op, {image(8, 8, 1), w}) ==
        "malformed: node: the window with its padding would be 4294967306");
  op.window.pad = {0, 0, 0, 0};
  op.window.dilation = {INT_MAX, INT_MAX};
  CHECK(inferred(op, {image(8, 8, 1), w}) ==
        "malformed: node: the window with its padding would be 4294967304");
  ConvTranspose2d up{.window = {.kernel = {3, 3}, .stride = {INT_MAX, INT_MAX}}};
  CHECK(inferred(up, {image(8, 8, 1), w}) == "malformed: node: output height would be 15032385532");
  op.window = {.kernel = {3, 3}, .pad = {INT_MAX / 4, INT_MAX / 4, 0, 0}};
  CHECK(inferred(op, {image(8, 8, 1), w}) ==
        "malformed: node: output: shape 1x536870917x536870917x1 is too large");
  Pool2d pool{.window = {.kernel = {INT_MAX, INT_MAX}, .dilation = {INT_MAX, INT_MAX}}};
  CHECK(inferred(pool, {image(8, 8, 1)}) ==
        "malformed: node: the window with its padding would be 4611686011984936972");
}

TEST_CASE("pools and resizes") {
  Pool2d pool{.window = {.kernel = {3, 3}, .stride = {2, 2}}};
  CHECK(inferred(pool, {image(6, 7, 5)}) == "1x2x3x5");
  pool.ceil = true;
  CHECK(inferred(pool, {image(6, 7, 5)}) == "1x3x3x5");
  // A last window that would start in the padding behind the input is dropped.
  pool.window = {.kernel = {2, 2}, .stride = {2, 2}, .pad = {1, 1, 1, 1}};
  CHECK(inferred(pool, {image(3, 4, 1)}) == "1x2x3x1");
  pool.window.pad = {2, 0, 0, 0};
  CHECK(inferred(pool, {image(3, 4, 1)}) ==
        "malformed: node: padding 2 and 0, the window reaches over 2");
  CHECK(inferred(Resize2d{.size = {3, 0}, .scale = {1, 0.7f}}, {image(9, 10, 2)}) == "1x3x7x2");
  CHECK(inferred(Resize2d{.scale = {0.01f, 1}}, {image(9, 10, 2)}) ==
        "malformed: node: input 1x9x10x2 would be resized to nothing");
  CHECK(inferred(Resize2d{.scale = {-1, 1}}, {image(9, 10, 2)}) ==
        "malformed: node: scale is -1.000000");
  CHECK(inferred(Resize2d{.scale = {1e30f, 1}}, {image(9, 10, 2)})
            .starts_with("malformed: node: output height would be"));
  CHECK(inferred(DepthToSpace{.block = 2}, {image(2, 3, 8)}) == "1x4x6x2");
  CHECK(inferred(DepthToSpace{.block = 3}, {image(2, 3, 8)}) ==
        "malformed: node: 8 channels in blocks of 9");
  CHECK(inferred(LocalResponseNorm{.size = 0}, {image(2, 3, 8)}) == "malformed: node: size is 0");
  CHECK(inferred(InstanceNorm{}, {image(2, 3, 8), open("s", {8}), open("b", {7})}) ==
        "malformed: node: input c is 7, input has 8 channels");
}

TEST_CASE("products and elementwise arithmetic") {
  CHECK(inferred(Dense{}, {open("x", {4, 2, 6}), open("w", {3, 6})}) == "4x2x3");
  CHECK(inferred(Dense{}, {open("x", {4, 5}), open("w", {3, 6})}) ==
        "malformed: node: weight columns 6, input has 5");
  CHECK(inferred(MatMul{}, {open("a", {2, 1, 4, 5}), open("b", {3, 5, 6})}) == "2x3x4x6");
  CHECK(inferred(MatMul{}, {open("a", {4, 5}), open("b", {4, 6})}) ==
        "malformed: node: inner dimensions differ: a is 4x5, b is 4x6");
  CHECK(inferred(MatMul{}, {open("a", {2, 4, 5}), open("b", {3, 5, 6})}) ==
        "malformed: node: shapes do not broadcast: a is 2x4x5, b is 3x5x6");
  CHECK(inferred(Binary{}, {open("a", {2, 1, 3}), open("b", {4, 1})}) == "2x4x3");
  CHECK(inferred(Binary{}, {open("a", {0, 3}), open("b", {1, 3})}) == "0x3");
  CHECK(inferred(Binary{}, {open("a", {2}), open("b", {3})}) ==
        "malformed: node: shapes do not broadcast: a is 2, b is 3");
  CHECK(inferred(Binary{}, {open("a", {2}, DType::i64), open("b", {2}, DType::i32)}) ==
        "malformed: node: input b is i32, expected i64");
  CHECK(inferred(Unary{Unary::Kind::exp, 0, 0}, {open("a", {2}, DType::i64)}) ==
        "unsupported: node (Exp): input a is i64, expected f32 or quantized");
  CHECK(inferred(PRelu{}, {open("a", {2, 3}), open("b", {2, 2, 3})}) ==
        "malformed: node: slope does not broadcast to the input: a is 2x3, b is 2x2x3");
  CHECK(inferred(Where{}, {open("c", {2, 1}), open("a", {3}), open("b", {})}) ==
        "malformed: node: input a is f32, expected bool");
  CHECK(inferred(Where{}, {open("c", {2, 1}, DType::boolean), open("a", {3}), open("b", {})}) ==
        "2x3");

  OneNode less(Binary{Binary::Kind::less, {}}, {open("a", {2}), open("b", {2})});
  REQUIRE(less.infer().ok());
  CHECK(less.y().type == DType::boolean);
}

TEST_CASE("quantized outputs keep their type, float ones get theirs") {
  Value a = open("a", {2}, DType::i8), y = open("y", {}, DType::i8);
  a.quant = y.quant = per_tensor(0.5f, 3);
  OneNode quantized(Binary{}, {a, a}, y);
  REQUIRE(quantized.infer().ok());
  CHECK(quantized.y().type == DType::i8);
  CHECK(quantized.y().quant == y.quant);
  OneNode to_float(Binary{}, {a, a}, open("y", {}, DType::i8));
  REQUIRE(to_float.infer().ok());
  CHECK(to_float.y().type == DType::f32);
  CHECK(text(OneNode(Convert{DType::f32}, {a}, y).infer()) ==
        "malformed: node: converts to f32, but output y is quantized");
}

TEST_CASE("reductions and axes") {
  const Value x = open("x", {2, 3, 4});
  CHECK(inferred(Reduce{Reduce::Kind::mean, {0, 2}, false}, {x}) == "3");
  CHECK(inferred(Reduce{Reduce::Kind::mean, {1}, true}, {x}) == "2x1x4");
  CHECK(inferred(Reduce{Reduce::Kind::mean, {3}, true}, {x}) ==
        "malformed: node: axis 3, input is 2x3x4");
  CHECK(inferred(Reduce{Reduce::Kind::mean, {1, 1}, true}, {x}) ==
        "malformed: node: axes are not in order");
  CHECK(inferred(Reduce{Reduce::Kind::max, {1}, true}, {open("x", {2, 0}, DType::i32)}) ==
        "malformed: node: reduces input a of no elements: 2x0");
  CHECK(inferred(Softmax{-3, false}, {x}) == "2x3x4");
  CHECK(inferred(Softmax{INT_MIN, false}, {x}) ==
        "malformed: node: axis -2147483648, input has 3 dimensions");
  CHECK(inferred(ArgMax{1, false, false}, {x}) == "2x4");
  CHECK(inferred(ArgMax{0, true, false}, {open("x", {0, 2})}) ==
        "malformed: node: axis 0 of input 0x2 is empty");
}

TEST_CASE("concat, slice, pad and transpose") {
  const Value a = open("a", {2, 3}), b = open("b", {2, 5});
  CHECK(inferred(Concat{-1}, {a, b, a}) == "2x11");
  CHECK(inferred(Concat{0}, {a, b}) ==
        "malformed: node: input b is 2x5, a is 2x3, joined along axis 0");
  CHECK(inferred(Concat{2}, {a, b}) == "malformed: node: axis 2, input has 2 dimensions");
  CHECK(inferred(Concat{0}, {}) == "malformed: node: has 0 inputs, Concat takes 1 or more");
  CHECK(inferred(Concat{0}, {open("a", {INT_MAX}), open("b", {1})}) ==
        "malformed: node: joined axis would be 2147483648");

  const Value x = open("x", {10, 4});
  CHECK(inferred(Slice{{1, -3}, {INT_MAX, INT_MAX}, {3, 1}}, {x}) == "3x3");
  CHECK(inferred(Slice{{-1, 0}, {INT_MIN, 9}, {-4, 1}}, {x}) == "3x4");
  CHECK(inferred(Slice{{8, 0}, {2, 4}, {1, 1}}, {x}) == "0x4");
  CHECK(inferred(Slice{{INT_MAX, INT_MIN}, {INT_MIN, INT_MAX}, {INT_MIN, INT_MAX}}, {x}) == "1x1");
  CHECK(inferred(Slice{{0, 0}, {1, 1}, {0, 1}}, {x}) == "malformed: node: step of axis 0 is 0");
  CHECK(inferred(Slice{{0}, {1, 1}, {1, 1}}, {x}) ==
        "malformed: node: begin has 1 entries, input is 10x4");

  CHECK(inferred(Pad{.before = {1, -2}, .after = {2, 0}}, {x}) == "13x2");
  CHECK(inferred(Pad{.before = {-11, 0}, .after = {20, 0}}, {x}) ==
        "malformed: node: padding -11 and 20 of axis 0 crops more than the input's 10");
  CHECK(inferred(Pad{.mode = Pad::Mode::reflect, .before = {0, 4}, .after = {0, 0}}, {x}) ==
        "malformed: node: padding 4 and 0 of axis 1 reflects past the input's 4");
  CHECK(inferred(Pad{.before = {INT_MAX, 0}, .after = {INT_MAX, 0}}, {x}) ==
        "malformed: node: padded axis would be 4294967304");

  CHECK(inferred(Transpose{{1, 0}}, {x}) == "4x10");
  CHECK(inferred(Transpose{{0, 0}}, {x}) ==
        "malformed: node: perm is not a permutation: entry 1 is 0");
  CHECK(inferred(Transpose{{0, -1}}, {x}) ==
        "malformed: node: perm is not a permutation: entry 1 is -1");
}

TEST_CASE("reshapes") {
  const Value x = open("x", {2, 3, 4});
  CHECK(inferred(Reshape{{0, -1}, false}, {x}) == "2x12");
  CHECK(inferred(Reshape{{24}, false}, {x}) == "24");
  CHECK(inferred(Reshape{{}, true}, {x, longs({2}, {-1, 6})}) == "4x6");
  CHECK(inferred(Reshape{{}, true}, {x, longs({7}, {1, 1, 1, 1, 1, 1, 24})}) ==
        "malformed: node: a shape of 7 dimensions, at most 6 are known");
  CHECK(inferred(Reshape{{-1, -1}, false}, {x}) == "malformed: node: shape has more than one -1");
  CHECK(inferred(Reshape{{5, -1}, false}, {x}) ==
        "malformed: node: shape 5x4 of input 2x3x4 with 24 elements");
  CHECK(inferred(Reshape{{1, 1, 1, 0}, false}, {x}) ==
        "malformed: node: shape copies dimension 3 of input 2x3x4");
  CHECK(inferred(Reshape{{-2}, false}, {x}) == "malformed: node: shape has dimension -2");
  CHECK(inferred(Reshape{{}, true}, {x, longs({3}, {INT64_MAX, INT64_MAX, 4})}) ==
        "malformed: node: shape is too large");
  CHECK(inferred(Reshape{{}, true}, {x, open("shape", {2}, DType::i64)}) ==
        "unsupported: node (Reshape): depends on the values of b, which is not constant");
  CHECK(inferred(Reshape{{}, true}, {x, floats({1}, {24})}) ==
        "malformed: node: input b is f32, expected i64 or i32");
}

TEST_CASE("gathers, expansions, fills and ranges") {
  const Value x = open("x", {5, 6, 7});
  CHECK(inferred(Gather{1}, {x, open("i", {2, 3}, DType::i64)}) == "5x2x3x7");
  CHECK(inferred(Gather{0}, {x, open("i", {}, DType::i32)}) == "6x7");
  CHECK(inferred(Gather{0}, {x, open("i", {2})}) ==
        "malformed: node: indices b are f32, expected i64 or i32");
  CHECK(inferred(Gather{0}, {x, open("i", {1, 1, 1, 1, 1}, DType::i64)}) ==
        "malformed: node: a shape of 7 dimensions, at most 6 are known");
  CHECK(inferred(ShapeOf{1, kMaxRank}, {x}) == "2");
  CHECK(inferred(ShapeOf{-1, INT_MAX}, {x}) == "1");
  CHECK(inferred(ShapeOf{2, 1}, {x}) == "0");
  CHECK(inferred(Expand{}, {open("x", {3, 1}), longs({3}, {2, 1, 4})}) == "2x3x4");
  CHECK(inferred(Expand{}, {open("x", {3}), longs({1}, {2})}) ==
        "malformed: node: input 3 does not expand to 2");
  CHECK(inferred(Fill{}, {longs({2}, {2, -1})}) == "malformed: node: shape 2x?");
  CHECK(inferred(Fill{}, {longs({2}, {INT32_MAX, INT32_MAX})}) ==
        "malformed: node: output: shape 2147483647x2147483647 is too large");
  CHECK(inferred(Range{}, {longs({}, {3}), longs({}, {10}), longs({}, {3})}) == "3");
  CHECK(inferred(Range{}, {longs({}, {3}), longs({}, {-4}), longs({}, {-2})}) == "4");
  CHECK(inferred(Range{},
                 {longs({}, {INT64_MIN}), longs({}, {INT64_MAX}), longs({}, {INT64_MAX})}) == "3");
  CHECK(inferred(Range{}, {longs({}, {INT64_MIN}), longs({}, {INT64_MAX}), longs({}, {1})}) ==
        "malformed: node: range of 18446744073709551615 values");
  CHECK(inferred(Range{}, {longs({}, {0}), longs({}, {1}), longs({}, {0})}) ==
        "malformed: node: delta is 0");
  CHECK(inferred(Range{}, {floats({}, {0}), floats({}, {1}), floats({}, {0.25f})}) == "4");
  CHECK(inferred(Range{}, {floats({}, {0}), floats({}, {1e30f}), floats({}, {1})})
            .starts_with("malformed: node: range of"));
  CHECK(inferred(Range{}, {open("s", {}), floats({}, {1}), floats({}, {1})}) ==
        "unsupported: node (Range): depends on the value of a, which is not constant");
}

namespace {

// x [N,2,3,4] -> Reshape to {N, -1}, the N by way of ShapeOf, Gather and Concat.
Graph flatten(int32_t batch) {
  Graph graph;
  const auto add = [&](const std::string& name, Op op, std::vector<ValueId> in) {
    const ValueId out = graph.add(open(name + "_out", {-1}));
    graph.add({name, std::move(op), std::move(in), {out}});
    return out;
  };
  const ValueId x = graph.add(open("x", {batch, 2, 3, 4}));
  const ValueId zero = graph.add(longs({1}, {0})), rest = graph.add(longs({1}, {-1}));
  const ValueId shape = add("shape", ShapeOf{}, {x});
  const ValueId n = add("batch", Gather{0}, {shape, zero});
  const ValueId to = add("to", Concat{0}, {n, rest});
  const ValueId y = add("flatten", Reshape{{}, true}, {x, to});
  graph.inputs = {x};
  graph.outputs = {y};
  return graph;
}

}  // namespace

TEST_CASE("shapes that are computed resolve, and again for other inputs") {
  Graph graph = flatten(5);
  REQUIRE(text(infer_shapes(graph)) == "ok");
  CHECK(graph.value(graph.outputs[0]).shape == Shape{5, 24});
  graph.value(graph.inputs[0]).shape = {7, 2, 3, 5};
  REQUIRE(text(infer_shapes(graph)) == "ok");
  CHECK(graph.value(graph.outputs[0]).shape == Shape{7, 30});
  sweep(graph);
  CHECK(graph.nodes.size() == 1);
  CHECK(check(graph).ok());
}

TEST_CASE("inference says what it lacks") {
  Graph graph = flatten(-1);
  CHECK(text(infer_shapes(graph)) ==
        "failed_precondition: the shape of input x is not known: ?x2x3x4");
  graph = flatten(2);
  graph.nodes[3].in[1] = ValueId{77};
  CHECK(text(infer_shapes(graph)) == "malformed: flatten (Reshape): input value 77 of 7");
}

TEST_CASE("folding is for constants, and bounded") {
  OneNode open_input(Binary{}, {open("a", {2}), floats({2}, {1, 2})});
  CHECK(text(fold_node(open_input.graph, open_input.graph.nodes[0])) ==
        "failed_precondition: node (Add): has inputs that are not constant");
  CHECK(text(evaluate(Fill{}, {longs({1}, {1 << 27})}).status()) ==
        "refused: node (Fill): its constant result 134217728 passes 268435456 bytes");
  // Quantized constants keep their Converts: passes fuse those.
  Quant quant = per_tensor(0.5f, 0);
  OneNode dequantize(Convert{DType::f32}, {bytes({2}, {1, 2}, quant)});
  REQUIRE(infer_shapes(dequantize.graph).ok());
  CHECK(dequantize.y().constant == nullptr);
}
