// SPDX-License-Identifier: Apache-2.0
// Tests of resizes along any axes and of sampling by a grid.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;

namespace {

Value row() {
  return floats({4}, {1, 2, 3, 4});
}

Resize by_size(Resize::Kind kind, int32_t size) {
  return {.kind = kind, .axes = {0}, .size = {size}};
}

}  // namespace

TEST_CASE("Resize: linear and nearest, coordinates") {
  using Coordinates = Resize::Coordinates;
  Resize op = by_size(Resize::Kind::linear, 8);
  CHECK(run(op, {row()}) == Floats{1, 1.25f, 1.75f, 2.25f, 2.75f, 3.25f, 3.75f, 4});
  op.coordinates = Coordinates::asymmetric;
  CHECK(run(op, {row()}) == Floats{1, 1.5f, 2, 2.5f, 3, 3.5f, 4, 4});
  op = by_size(Resize::Kind::linear, 7);
  op.coordinates = Coordinates::align_corners;
  CHECK(run(op, {row()}) == Floats{1, 1.5f, 2, 2.5f, 3, 3.5f, 4});
  CHECK(run<int64_t>(by_size(Resize::Kind::nearest, 2), {longs({4}, {1, 2, 3, 4})}) ==
        std::vector<int64_t>{1, 3});
  // Both axes of a matrix, the inner one by a scale.
  const Resize both{.kind = Resize::Kind::nearest, .axes = {1, 0}, .size = {0, 1}, .scale = {2, 1}};
  CHECK(run(both, {floats({2, 2}, {1, 2, 3, 4})}) == Floats{1, 1, 2, 2});
}

TEST_CASE("Resize: cubic, antialiased, cropped") {
  // Keys' kernel passes constants and, inside, straight lines.
  const Floats cubic = run(by_size(Resize::Kind::cubic, 8), {row()});
  CHECK(cubic[3] == doctest::Approx(2.25f - 0.0f).epsilon(0.02));
  const Floats flat = run(by_size(Resize::Kind::cubic, 9), {floats({3}, {5, 5, 5})});
  for (const float y : flat) CHECK(y == doctest::Approx(5));
  Resize op = by_size(Resize::Kind::linear, 2);
  CHECK(run(op, {row()}) == Floats{1.5f, 3.5f});
  op.antialias = true;  // a triangle over four positions, the edges repeated
  const Floats wide = run(op, {row()});
  CHECK(wide[0] == doctest::Approx((1 + 3 * 1 + 3 * 2 + 3) / 8.0));
  CHECK(wide[1] == doctest::Approx((2 + 3 * 3 + 3 * 4 + 4) / 8.0));
  op = by_size(Resize::Kind::linear, 3);
  op.coordinates = Resize::Coordinates::crop;
  op.begin = {0};
  op.end = {2};
  op.extrapolation = -9;
  CHECK(run(op, {row()}) == Floats{1, 4, -9});
}

TEST_CASE("Resize: parameters from inputs, aspects, what is wrong") {
  const Value picture = floats({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  Resize op{.kind = Resize::Kind::nearest, .from = Resize::From::sizes, .axes = {0, 1}};
  CHECK(evaluate(op, {picture, longs({2}, {4, 2})})->shape == Shape{4, 2});
  op.aspect = Resize::Aspect::not_larger;
  CHECK(evaluate(op, {picture, longs({2}, {4, 2})})->shape == Shape{1, 2});
  op.aspect = Resize::Aspect::not_smaller;
  CHECK(evaluate(op, {picture, longs({2}, {4, 2})})->shape == Shape{4, 8});
  op.from = Resize::From::scales;
  op.aspect = Resize::Aspect::stretch;
  CHECK(evaluate(op, {picture, floats({2}, {1.5f, 0.5f})})->shape == Shape{3, 2});
  CHECK(text(evaluate(op, {picture, floats({2}, {1.5f, -1})}).status()) ==
        "malformed: node: axis 1 has no size and no scale above 0");
  CHECK(text(evaluate(op, {picture, floats({2}, {1.5f, 0.1f})}).status()) ==
        "malformed: node: input 2x4 would be resized to nothing");
  CHECK(text(evaluate(op, {picture, floats({1}, {1})}).status()) ==
        "malformed: node: 1 scales for 2 axes");
}

TEST_CASE("GridSample: kinds, paddings, volumes") {
  const Value x = floats({1, 2, 2, 1}, {1, 2, 3, 4});
  const auto sample = [&](GridSample op, float gx, float gy) {
    return run(op, {x, floats({1, 1, 1, 2}, {gx, gy})})[0];
  };
  using Kind = GridSample::Kind;
  using Padding = GridSample::Padding;
  const GridSample corners{Kind::linear, Padding::zeros, true};
  CHECK(sample(corners, -1, -1) == 1);
  CHECK(sample(corners, 1, -1) == 2);
  CHECK(sample(corners, 0, 0) == 2.5f);
  CHECK(sample({Kind::linear, Padding::zeros, false}, 1, 1) == 1);  // a quarter of it
  CHECK(sample({Kind::linear, Padding::border, false}, 1, 1) == 4);
  CHECK(sample({Kind::nearest, Padding::zeros, false}, 9, 0) == 0);
  CHECK(sample({Kind::nearest, Padding::border, false}, 9, -9) == 2);
  CHECK(sample({Kind::linear, Padding::reflection, true}, 3, -1) == 1);
  CHECK(sample({Kind::linear, Padding::zeros, true}, std::numeric_limits<float>::quiet_NaN(), -1) ==
        0);
  CHECK(sample({Kind::cubic, Padding::border, true}, 0, 0) == doctest::Approx(2.5));
  const Value volume = floats({1, 2, 1, 1, 1}, {1, 3});
  CHECK(run(corners, {volume, floats({1, 1, 1, 1, 3}, {0, 0, 0})}) == Floats{2});
}
