// SPDX-License-Identifier: Apache-2.0
// Tests of the reference operators that move, make, convert and quantize elements.
#include <doctest/doctest.h>

#include <climits>
#include <limits>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;
using Longs = std::vector<int64_t>;

namespace {

// A value of a quantized type for evaluate() to fill.
Value result(DType type, Quant quant) {
  Value y = open("y", {}, type);
  y.quant = std::move(quant);
  return y;
}

}  // namespace

TEST_CASE("Concat, Transpose and Reshape") {
  CHECK(run(Concat{0}, {matrix(), floats({1, 3}, {7, 8, 9})}) == Floats{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(run(Concat{-1}, {matrix(), floats({2, 1}, {7, 8}), floats({2, 0}, {})}) ==
        Floats{1, 2, 3, 7, 4, 5, 6, 8});
  CHECK(run(Transpose{{1, 0}}, {matrix()}) == Floats{1, 4, 2, 5, 3, 6});
  // NHWC to NCHW.
  CHECK(run<int64_t>(Transpose{{0, 3, 1, 2}}, {longs({1, 1, 2, 3}, {1, 2, 3, 4, 5, 6})}) ==
        Longs{1, 4, 2, 5, 3, 6});
  CHECK(run(Reshape{{3, 2}, false}, {matrix()}) == Floats{1, 2, 3, 4, 5, 6});
}

TEST_CASE("Slice: both directions, clipped") {
  const Value x = longs({5}, {0, 1, 2, 3, 4});
  const auto slice = [&](int32_t begin, int32_t end, int32_t step) {
    return run<int64_t>(Slice{{begin}, {end}, {step}}, {x});
  };
  CHECK(slice(1, 4, 1) == Longs{1, 2, 3});
  CHECK(slice(-2, INT_MAX, 1) == Longs{3, 4});
  CHECK(slice(0, INT_MAX, 2) == Longs{0, 2, 4});
  CHECK(slice(INT_MAX, INT_MIN, -1) == Longs{4, 3, 2, 1, 0});
  CHECK(slice(-2, 0, -2) == Longs{3, 1});
  CHECK(slice(4, INT_MIN, INT_MIN) == Longs{4});
  CHECK(slice(3, 3, 1).empty());
  CHECK(run(Slice{{0, 2}, {2, INT_MIN}, {1, -1}}, {matrix()}) == Floats{3, 2, 1, 6, 5, 4});
}

TEST_CASE("Pad: modes and crops") {
  using Mode = Pad::Mode;
  const Value x = longs({4}, {1, 2, 3, 4});
  const auto pad = [&](Mode mode, int32_t before, int32_t after) {
    return run<int64_t>(Pad{mode, {before}, {after}, 9}, {x});
  };
  CHECK(pad(Mode::constant, 1, 2) == Longs{9, 1, 2, 3, 4, 9, 9});
  CHECK(pad(Mode::edge, 2, 1) == Longs{1, 1, 1, 2, 3, 4, 4});
  CHECK(pad(Mode::reflect, 3, 2) == Longs{4, 3, 2, 1, 2, 3, 4, 3, 2});
  CHECK(pad(Mode::constant, -1, -2) == Longs{2});
  CHECK(pad(Mode::constant, -3, 1) == Longs{4, 9});
  CHECK(run(Pad{Mode::constant, {0, 1}, {1, 0}, 0.5f}, {matrix()}) ==
        Floats{0.5f, 1, 2, 3, 0.5f, 4, 5, 6, 0.5f, 0.5f, 0.5f, 0.5f});
}

TEST_CASE("Gather: negative indices, and those out of range") {
  CHECK(run(Gather{1}, {matrix(), longs({2}, {-1, 0})}) == Floats{3, 1, 6, 4});
  CHECK(run(Gather{0}, {matrix(), ints({}, {1})}) == Floats{4, 5, 6});
  CHECK(text(evaluate(Gather{1}, {matrix(), longs({1}, {3})}).status()) ==
        "invalid_argument: node (Gather): index 3, axis 1 of the input has 3");
  CHECK(text(evaluate(Gather{1}, {matrix(), longs({1}, {-4})}).status()) ==
        "invalid_argument: node (Gather): index -4, axis 1 of the input has 3");
  CHECK(text(evaluate(Gather{1}, {matrix(), longs({1}, {INT64_MIN})}).status()) ==
        "invalid_argument: node (Gather): index -9223372036854775808, axis 1 of the input has 3");
}

TEST_CASE("ShapeOf, Expand, Fill, Range and Where") {
  CHECK(run<int64_t>(ShapeOf{}, {open("x", {4, 5, 6})}) == Longs{4, 5, 6});
  CHECK(run<int64_t>(ShapeOf{-2, 2}, {open("x", {4, 5, 6})}) == Longs{5});
  CHECK(run(Expand{}, {floats({2, 1}, {1, 2}), longs({2}, {1, 3})}) == Floats{1, 1, 1, 2, 2, 2});
  CHECK(run(Fill{DType::f32, 1.5}, {longs({1}, {3})}) == Floats{1.5f, 1.5f, 1.5f});
  CHECK(run<int64_t>(Fill{DType::i64, double{1LL << 40}}, {longs({1}, {2})}) ==
        Longs{1LL << 40, 1LL << 40});
  CHECK(run<int64_t>(Fill{DType::i64, 0}, {longs({1}, {0})}).empty());
  CHECK(run<int64_t>(Range{}, {longs({}, {5}), longs({}, {-2}), longs({}, {-3})}) ==
        Longs{5, 2, -1});
  CHECK(run<int64_t>(Range{}, {longs({}, {5}), longs({}, {5}), longs({}, {1})}).empty());
  CHECK(run(Range{}, {floats({}, {0}), floats({}, {1}), floats({}, {0.5f})}) == Floats{0, 0.5f});
  CHECK(run<int64_t>(Where{}, {booleans({2, 1}, {1, 0}), longs({2}, {1, 2}), longs({}, {9})}) ==
        Longs{1, 2, 9, 9});
}

TEST_CASE("DepthToSpace: both orders of the channels") {
  // One pixel of 2x2 blocks of two channels.
  const Value x = floats({1, 1, 1, 8}, {0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(run(DepthToSpace{2, false}, {x}) == Floats{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(run(DepthToSpace{2, true}, {x}) == Floats{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(run(DepthToSpace{2, false}, {floats({1, 1, 2, 4}, {0, 1, 2, 3, 4, 5, 6, 7})}) ==
        Floats{0, 1, 4, 5, 2, 3, 6, 7});
}

TEST_CASE("Convert: casts saturate, truncate and wrap") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Value x = floats({6}, {1.9f, -1.9f, 1e20f, -kInf, kNan, 300});
  CHECK(run<int64_t>(Convert{DType::i64}, {x}) == Longs{1, -1, INT64_MAX, INT64_MIN, 0, 300});
  CHECK(run<int32_t>(Convert{DType::i32}, {x}) ==
        std::vector<int32_t>{1, -1, INT32_MAX, INT32_MIN, 0, 300});
  CHECK(run<int8_t>(Convert{DType::i8}, {x}) == std::vector<int8_t>{1, -1, 127, -128, 0, 127});
  CHECK(run<uint8_t>(Convert{DType::u8}, {x}) == std::vector<uint8_t>{1, 0, 255, 0, 0, 255});
  CHECK(run_booleans(Convert{DType::boolean}, {floats({3}, {0, 0.5f, -1})}) ==
        std::vector<uint8_t>{0, 1, 1});
  CHECK(run<int32_t>(Convert{DType::i32}, {longs({2}, {(int64_t{1} << 32) + 5, -1})}) ==
        std::vector<int32_t>{5, -1});
  CHECK(run(Convert{DType::f32}, {longs({2}, {3, -4})}) == Floats{3, -4});
  CHECK(run<int64_t>(Convert{DType::i64}, {booleans({2}, {0, 255})}) == Longs{0, 1});
}

TEST_CASE("Convert: half precision") {
  const Floats exact{1, -2.5f, 65504, 5.9604645e-8f, 6.1035156e-5f, 0};
  Result<Value> half = evaluate(Convert{DType::f16}, {floats({6}, exact)});
  REQUIRE(half.ok());
  CHECK(half->as<uint16_t>()[0] == 0x3c00);
  CHECK(half->as<uint16_t>()[2] == 0x7bff);
  CHECK(half->as<uint16_t>()[3] == 0x0001);
  CHECK(run(Convert{DType::f32}, {*half}) == exact);
  // Ties to even; overflow to infinity.
  half =
      evaluate(Convert{DType::f16}, {floats({4}, {1.00048828125f, 1.00146484375f, 65519, 65520})});
  REQUIRE(half.ok());
  CHECK(half->as<uint16_t>()[0] == 0x3c00);
  CHECK(half->as<uint16_t>()[1] == 0x3c02);
  CHECK(half->as<uint16_t>()[2] == 0x7bff);
  CHECK(half->as<uint16_t>()[3] == 0x7c00);
}

TEST_CASE("Convert: quantize rounds ties to even and saturates") {
  const Value x = floats({6}, {0.25f, 0.75f, -0.25f, 100, -100, 1});
  CHECK(
      values<int8_t>(evaluate(Convert{DType::i8}, {x}, result(DType::i8, per_tensor(0.5f, 10)))) ==
      std::vector<int8_t>{10, 12, 10, 127, -128, 12});
  CHECK(values<uint8_t>(
            evaluate(Convert{DType::u8}, {x}, result(DType::u8, per_tensor(0.5f, 138)))) ==
        std::vector<uint8_t>{138, 140, 138, 255, 0, 140});
  Quant nibble = per_tensor(0.5f, 0);
  nibble.bits = 4;
  CHECK(values<int8_t>(evaluate(Convert{DType::i8}, {x}, result(DType::i8, nibble))) ==
        std::vector<int8_t>{0, 2, 0, 7, -8, 2});
}

TEST_CASE("Convert: scales of channels and blocks") {
  Quant channels;
  channels.axis = 0;
  channels.scale = {1, 0.5f};
  channels.zero = {0, 2};
  CHECK(run(Convert{DType::f32}, {bytes({2, 2}, {1, 2, 3, 4}, channels)}) == Floats{1, 2, 0.5f, 1});
  channels.axis = 1;
  CHECK(run(Convert{DType::f32}, {bytes({2, 2}, {1, 2, 3, 4}, channels)}) == Floats{1, 0, 3, 1});
  Quant blocks;
  blocks.block = 2;
  blocks.scale = {1, 10, 100, 1000};
  blocks.zero = {0, 0, 0, 0};
  CHECK(run(Convert{DType::f32}, {bytes({2, 3}, {1, 2, 3, 4, 5, 6}, blocks)}) ==
        Floats{1, 2, 30, 400, 500, 6000});
}

TEST_CASE("requantization is one multiplication by the ratio of the scales") {
  const Value x = bytes({4}, {1, 3, 127, -128}, per_tensor(0.25f, -1));
  // (q + 1) * 0.5, ties to even, + 4.
  CHECK(values<int8_t>(evaluate(Convert{DType::i8}, {x}, result(DType::i8, per_tensor(0.5f, 4)))) ==
        std::vector<int8_t>{5, 6, 68, -60});
  // What moves quantized values to another scale does the same.
  CHECK(values<int8_t>(evaluate(Concat{0}, {x, bytes({1}, {7}, per_tensor(0.5f, 4))},
                                result(DType::i8, per_tensor(0.5f, 4)))) ==
        std::vector<int8_t>{5, 6, 68, -60, 7});
  CHECK(values<int8_t>(evaluate(Pad{.before = {1}, .after = {0}}, {x},
                                result(DType::i8, per_tensor(0.5f, 4)))) ==
        std::vector<int8_t>{4, 5, 6, 68, -60});
}

TEST_CASE("quantized values are computed in float and quantized again") {
  const Quant half = per_tensor(0.5f, 1);
  const Value a = bytes({2}, {3, -1}, half), b = bytes({2}, {5, 5}, half);  // 1, -1 and 2, 2
  CHECK(values<int8_t>(evaluate(Binary{Binary::Kind::mul, {}}, {a, b}, result(DType::i8, half))) ==
        std::vector<int8_t>{5, -3});
  CHECK(values<float>(evaluate(Binary{}, {a, b})) == Floats{3, 1});

  // A quantized convolution with its bias in accumulators: 0.5 * 0.25 = 1/8 each.
  Quant weights;
  weights.axis = 0;
  weights.scale = {0.25f, 0.125f};
  weights.zero = {0, 0};
  const Value x = bytes({1, 1, 1, 2}, {3, -1}, half);
  const Value w = bytes({2, 1, 1, 2}, {4, 8, 8, 0}, weights);
  CHECK(values<float>(evaluate(Conv2d{}, {x, w, ints({2}, {8, 16})})) == Floats{0, 2});
  CHECK(values<int8_t>(evaluate(Conv2d{}, {x, w, ints({2}, {8, 16})},
                                result(DType::i8, per_tensor(0.25f, 0)))) ==
        std::vector<int8_t>{0, 8});
}

TEST_CASE("the reference checks what it is given") {
  OneNode one(Unary{Unary::Kind::abs, 0, 0}, {open("a", {2})});
  REQUIRE(one.infer().ok());
  std::vector<float> data{1, 2};
  const Tensor good = view(Shape{2}, data.data()), bad = view(Shape{1}, data.data());
  const Tensor missing{DType::f32, Shape{2}, nullptr};
  const auto given = [&](const Tensor& in, const Tensor& out) {
    return text(reference(one.graph, one.graph.nodes[0], std::span(&in, 1), std::span(&out, 1)));
  };
  CHECK(given(good, good) == "ok");
  CHECK(given(bad, good) == "internal: node (Abs): a is given as f32 1, expected f32 2");
  CHECK(given(good, bad) == "internal: node (Abs): y is given as f32 1, expected f32 2");
  CHECK(given(missing, good) == "internal: node (Abs): a has no data");
  Value zero_scale = bytes({1}, {1}, per_tensor(0.0f, 0));
  CHECK(evaluate(Convert{DType::f32}, {zero_scale}).status().code() == Code::malformed);
}
