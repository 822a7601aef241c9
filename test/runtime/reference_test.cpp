// SPDX-License-Identifier: Apache-2.0
// Tests of the reference operators that compute, against values worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;
using Longs = std::vector<int64_t>;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Floats iota(int n, float first = 1) {
  Floats data(static_cast<size_t>(n));
  std::iota(data.begin(), data.end(), first);
  return data;
}

void check_near(const Floats& got, const Floats& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    CHECK_MESSAGE(std::abs(got[i] - expected[i]) <= 1e-5f * (1 + std::abs(expected[i])), "element ",
                  i, ": ", got[i], ", expected ", expected[i]);
}

float unary(Unary::Kind kind, float x, float alpha = 0, float beta = 0) {
  return run(Unary{kind, alpha, beta}, {floats({}, {x})})[0];
}

Longs binary(Binary::Kind kind, const Longs& a, const Longs& b) {
  const int32_t n = static_cast<int32_t>(a.size());
  return run<int64_t>(Binary{kind, {}}, {longs({n}, a), longs({n}, b)});
}

}  // namespace

TEST_CASE("Conv2d: padding, stride, bias and clamp") {
  const Value x = floats({1, 3, 3, 1}, iota(9));
  const Value w = floats({1, 2, 2, 1}, {1, 10, 100, 1000});
  Conv2d op{.window = {.kernel = {2, 2}}};
  CHECK(run(op, {x, w}) == Floats{5421, 6532, 8754, 9865});
  op.window.pad = {1, 1, 0, 0};
  op.window.stride = {2, 2};
  CHECK(run(op, {x, w, floats({1}, {0.5f})}) == Floats{1000.5f, 3200.5f, 7040.5f, 9865.5f});
  op.clamp = {2000, 8000};
  CHECK(run(op, {x, w}) == Floats{2000, 3200, 7040, 8000});
}

TEST_CASE("Conv2d: dilation, groups, several images") {
  Conv2d dilated{.window = {.kernel = {1, 2}, .dilation = {1, 2}}};
  CHECK(run(dilated, {floats({2, 1, 3, 1}, {1, 2, 3, 4, 5, 6}), floats({1, 1, 2, 1}, {1, 10})}) ==
        Floats{31, 64});
  // Two groups of two channels, two filters each.
  Conv2d grouped{.groups = 2};
  const Value w = floats({4, 1, 1, 2}, {1, 0, 0, 1, 1, 1, 1, -1});
  CHECK(run(grouped, {floats({1, 1, 1, 4}, {5, 6, 7, 9}), w}) == Floats{5, 6, 16, -2});
}

TEST_CASE("ConvTranspose2d spreads inputs") {
  ConvTranspose2d op{.window = {.kernel = {1, 3}, .stride = {1, 2}}};
  const Value x = floats({1, 1, 2, 1}, {1, 10}), w = floats({1, 1, 3, 1}, {1, 2, 3});
  CHECK(run(op, {x, w}) == Floats{1, 2, 3 + 10, 20, 30});
  op.window.pad = {0, 1, 0, 1};
  CHECK(run(op, {x, w}) == Floats{2, 13, 20});
  op.output_pad = {0, 1};
  CHECK(run(op, {x, w, floats({1}, {100})}) == Floats{102, 113, 120, 130});
}

TEST_CASE("Dense and MatMul") {
  const Value x = floats({2, 3}, iota(6)), w = floats({2, 3}, {1, 0, 1, 0, 2, 0});
  CHECK(run(Dense{}, {x, w, floats({2}, {0, 100})}) == Floats{4, 104, 10, 110});
  CHECK(run(Dense{{5, 9}}, {x, w}) == Floats{5, 5, 9, 9});
  CHECK(run(MatMul{}, {floats({2, 2}, {1, 2, 3, 4}), floats({2, 2}, {0, 1, 1, 0})}) ==
        Floats{2, 1, 4, 3});
  // One matrix times a batch of two.
  CHECK(run(MatMul{}, {floats({1, 2}, {1, 10}), floats({2, 2, 1}, {1, 2, 3, 4})}) ==
        Floats{21, 43});
}

TEST_CASE("Binary: broadcasting, clamps and comparisons") {
  using Kind = Binary::Kind;
  const Value column = floats({2, 1}, {10, 20}), row = floats({3}, {1, 2, 3});
  CHECK(run(Binary{Kind::sub, {}}, {column, row}) == Floats{9, 8, 7, 19, 18, 17});
  CHECK(run(Binary{Kind::mul, {15, 40}}, {column, row}) == Floats{15, 20, 30, 20, 40, 40});
  CHECK(run(Binary{Kind::div, {}}, {row, floats({}, {2})}) == Floats{0.5f, 1, 1.5f});
  CHECK(run(Binary{Kind::pow, {}}, {row, floats({1}, {2})}) == Floats{1, 4, 9});
  CHECK(run(Binary{Kind::max, {}}, {row, floats({}, {2})}) == Floats{2, 2, 3});
  CHECK(run(Binary{Kind::min, {}}, {row, floats({}, {2})}) == Floats{1, 2, 2});
  CHECK(std::isnan(run(Binary{Kind::max, {}}, {floats({}, {1}), floats({}, {kNan})})[0]));
  CHECK(std::isnan(run(Binary{Kind::min, {}}, {floats({}, {kNan}), floats({}, {1})})[0]));
  using Booleans = std::vector<uint8_t>;
  CHECK(run_booleans(Binary{Kind::less, {}}, {row, floats({}, {2})}) == Booleans{1, 0, 0});
  CHECK(run_booleans(Binary{Kind::greater, {}}, {row, floats({}, {2})}) == Booleans{0, 0, 1});
  CHECK(run_booleans(Binary{Kind::equal, {}}, {row, floats({}, {2})}) == Booleans{0, 1, 0});
  const Value p = booleans({4}, {0, 0, 1, 7}), q = booleans({4}, {0, 1, 0, 1});
  CHECK(run_booleans(Binary{Kind::logical_and, {}}, {p, q}) == Booleans{0, 0, 0, 1});
  CHECK(run_booleans(Binary{Kind::logical_or, {}}, {p, q}) == Booleans{0, 1, 1, 1});
  CHECK(run_booleans(Binary{Kind::equal, {}}, {p, q}) == Booleans{1, 0, 0, 1});
  CHECK(run_booleans(Unary{Unary::Kind::logical_not, 0, 0}, {p}) == Booleans{1, 1, 0, 0});
}

TEST_CASE("Binary: integers are exact, wrap and do not divide by zero") {
  using Kind = Binary::Kind;
  const int64_t large = (int64_t{1} << 53) + 1;  // not a double
  CHECK(binary(Kind::add, {large, INT64_MAX}, {2, 1}) == Longs{large + 2, INT64_MIN});
  CHECK(binary(Kind::mul, {INT64_MIN, 3}, {-1, large}) == Longs{INT64_MIN, 3 * large});
  CHECK(binary(Kind::div, {-7, 7, INT64_MIN}, {2, -2, -1}) == Longs{-3, -3, INT64_MIN});
  CHECK(binary(Kind::pow, {2, -3, 2, -1}, {10, 3, -1, -3}) == Longs{1024, -27, 0, -1});
  CHECK(run<int32_t>(Binary{}, {ints({1}, {INT32_MAX}), ints({1}, {1})}) ==
        std::vector<int32_t>{INT32_MIN});
  CHECK(run<int64_t>(Binary{Kind::add, {0, 6.5f}}, {longs({3}, {-5, 3, 9}), longs({}, {0})}) ==
        Longs{0, 3, 6});
  CHECK(text(evaluate(Binary{Kind::div, {}}, {longs({}, {5}), longs({}, {0})}).status()) ==
        "invalid_argument: node (Div): divides the integer 5 by zero");
  CHECK(text(evaluate(Binary{Kind::pow, {}}, {longs({}, {0}), longs({}, {-1})}).status()) ==
        "invalid_argument: node (Pow): divides the integer 0 by zero");
  CHECK(std::isinf(run(Binary{Kind::div, {}}, {floats({}, {5}), floats({}, {0})})[0]));
}

TEST_CASE("Unary: values") {
  using Kind = Unary::Kind;
  CHECK(unary(Kind::clamp, 7, 0, 6) == 6.0f);
  CHECK(std::isnan(unary(Kind::clamp, kNan, 0, 6)));
  CHECK(unary(Kind::sigmoid, 0) == 0.5f);
  CHECK(unary(Kind::sigmoid, -1000) == 0.0f);
  CHECK(unary(Kind::tanh, 1) == doctest::Approx(0.76159416));
  CHECK(unary(Kind::exp, 1) == doctest::Approx(2.71828183));
  CHECK(unary(Kind::log, 2) == doctest::Approx(0.69314718));
  CHECK(unary(Kind::sqrt, 9) == 3.0f);
  CHECK(unary(Kind::reciprocal, 4) == 0.25f);
  CHECK(unary(Kind::abs, -4) == 4.0f);
  CHECK(unary(Kind::neg, -4) == 4.0f);
  CHECK(unary(Kind::floor, -1.5f) == -2.0f);
  CHECK(unary(Kind::ceil, -1.5f) == -1.0f);
  CHECK(unary(Kind::round, 2.5f) == 2.0f);
  CHECK(unary(Kind::round, 3.5f) == 4.0f);
  CHECK(unary(Kind::erf, 0.5f) == doctest::Approx(0.52049988));
  CHECK(unary(Kind::sin, 1) == doctest::Approx(0.84147098));
  CHECK(unary(Kind::cos, 1) == doctest::Approx(0.54030231));
  CHECK(unary(Kind::hard_sigmoid, 1, 0.25f, 0.5f) == 0.75f);
  CHECK(unary(Kind::hard_sigmoid, 9, 0.25f, 0.5f) == 1.0f);
  CHECK(unary(Kind::hard_swish, 1.5f) == 1.125f);
  CHECK(unary(Kind::hard_swish, -4) == 0.0f);
  CHECK(unary(Kind::silu, 1, 1) == doctest::Approx(0.73105858));
  CHECK(unary(Kind::silu, 1, 1.702f) == doctest::Approx(0.84579577));
  CHECK(unary(Kind::mish, 1) == doctest::Approx(0.86509839));
  CHECK(unary(Kind::softplus, 1) == doctest::Approx(1.31326169));
  CHECK(unary(Kind::softplus, 1000) == 1000.0f);
  CHECK(unary(Kind::softsign, -3) == -0.75f);
  CHECK(unary(Kind::elu, -1, 2) == doctest::Approx(-1.26424112));
  CHECK(unary(Kind::leaky_relu, -3, 0.5f) == -1.5f);
  CHECK(unary(Kind::gelu, 1) == doctest::Approx(0.84134475));
  CHECK(unary(Kind::gelu_tanh, 1) == doctest::Approx(0.84119199));
  CHECK(run(PRelu{}, {floats({2, 2}, {-1, -2, 3, -4}), floats({2}, {10, 100})}) ==
        Floats{-10, -200, 3, -400});
  CHECK(run<int64_t>(Unary{Kind::abs, 0, 0}, {longs({2}, {-3, INT64_MIN})}) == Longs{3, INT64_MIN});
  CHECK(run<int64_t>(Unary{Kind::neg, 0, 0}, {longs({2}, {-3, 4})}) == Longs{3, -4});
  CHECK(run<int64_t>(Unary{Kind::clamp, 1.5f, kInf}, {longs({2}, {-3, 4})}) == Longs{2, 4});
}

TEST_CASE("Pool2d: max and the count rules of the average") {
  Pool2d pool{.kind = Pool2d::Kind::max, .window = {.kernel = {2, 2}, .stride = {2, 2}}};
  const Value x = floats({1, 3, 3, 1}, {-9, -8, -7, -6, -5, -4, -3, -2, -1});
  CHECK(run(pool, {x}) == Floats{-5});
  pool.window.pad = {1, 1, 0, 0};
  CHECK(run(pool, {x}) == Floats{-9, -7, -3, -1});  // padding never wins

  pool.kind = Pool2d::Kind::average;
  const Value y = floats({1, 3, 3, 1}, iota(9));
  CHECK(run(pool, {y}) == Floats{1, 2.5f, 5.5f, 7});
  pool.count_pad = true;
  CHECK(run(pool, {y}) == Floats{0.25f, 1.25f, 2.75f, 7});
  // Rounded up without padding: the window's part behind the input never counts.
  pool = {.kind = Pool2d::Kind::average,
          .window = {.kernel = {2, 2}, .stride = {2, 2}},
          .count_pad = true,
          .ceil = true};
  CHECK(run(pool, {y}) == Floats{3, 4.5f, 7.5f, 9});
}

TEST_CASE("Resize2d: coordinates and rounding") {
  using Coordinates = Resize2d::Coordinates;
  using Nearest = Resize2d::Nearest;
  const Value x = floats({1, 1, 4, 1}, {0, 10, 20, 30});
  const auto resize = [&](Resize2d op) { return run(op, {x}); };
  Resize2d linear{.kind = Resize2d::Kind::bilinear, .scale = {1, 2}};
  CHECK(resize(linear) == Floats{0, 2.5f, 7.5f, 12.5f, 17.5f, 22.5f, 27.5f, 30});
  linear.coordinates = Coordinates::asymmetric;
  CHECK(resize(linear) == Floats{0, 5, 10, 15, 20, 25, 30, 30});
  linear.coordinates = Coordinates::align_corners;
  linear.size = {0, 7};
  CHECK(resize(linear) == Floats{0, 5, 10, 15, 20, 25, 30});
  linear.size = {0, 1};
  CHECK(resize(linear) == Floats{0});
  linear.coordinates = Coordinates::pytorch_half_pixel;
  CHECK(resize(linear) == Floats{0});
  linear.coordinates = Coordinates::half_pixel;
  CHECK(resize(linear) == Floats{15});

  // Two outputs read 0.5 and 2.5: ties.
  Resize2d nearest{.size = {0, 2}};
  CHECK(resize(nearest) == Floats{0, 20});
  nearest.nearest = Nearest::round_prefer_ceil;
  CHECK(resize(nearest) == Floats{10, 30});
  nearest.nearest = Nearest::floor;
  CHECK(resize(nearest) == Floats{0, 20});
  nearest.nearest = Nearest::ceil;
  CHECK(resize(nearest) == Floats{10, 30});
  nearest = {.coordinates = Coordinates::asymmetric, .nearest = Nearest::floor, .size = {2, 8}};
  CHECK(resize(nearest) == Floats{0, 0, 10, 10, 20, 20, 30, 30, 0, 0, 10, 10, 20, 20, 30, 30});
}

TEST_CASE("Reduce, Softmax and ArgMax") {
  using Kind = Reduce::Kind;
  const Value x = floats({2, 3}, {1, 2, 3, 4, 5, -6});
  const auto rows = [&](Kind kind) { return run(Reduce{kind, {1}, false}, {x}); };
  CHECK(rows(Kind::mean) == Floats{2, 1});
  CHECK(rows(Kind::sum) == Floats{6, 3});
  CHECK(rows(Kind::max) == Floats{3, 5});
  CHECK(rows(Kind::min) == Floats{1, -6});
  CHECK(rows(Kind::prod) == Floats{6, -120});
  CHECK(rows(Kind::sum_square) == Floats{14, 77});
  CHECK(rows(Kind::l1) == Floats{6, 15});
  check_near(rows(Kind::l2), {3.7416574f, 8.7749644f});
  check_near(rows(Kind::log_sum_exp), {3.4076059f, 5.3132739f});
  CHECK(run(Reduce{Kind::sum, {0}, true}, {x}) == Floats{5, 7, -3});
  CHECK(run(Reduce{Kind::sum, {0, 1}, false}, {x}) == Floats{9});
  CHECK(run(Reduce{Kind::log_sum_exp, {0}, false}, {floats({2}, {1000, 1000})})[0] ==
        doctest::Approx(1000.6931));
  CHECK(std::isnan(run(Reduce{Kind::max, {0}, false}, {floats({3}, {1, kNan, 2})})[0]));
  CHECK(run<int64_t>(Reduce{Kind::prod, {0}, false}, {longs({3}, {2, 3, 7})}) == Longs{42});
  CHECK(run<int64_t>(Reduce{Kind::l1, {0}, true}, {longs({2}, {-2, 3})}) == Longs{5});

  check_near(run(Softmax{}, {floats({2, 2}, {0, 0, 1000, 1001})}),
             {0.5f, 0.5f, 0.26894142f, 0.73105858f});
  check_near(run(Softmax{0, true}, {floats({2, 1}, {0, 1})}), {-1.3132617f, -0.31326169f});

  CHECK(run<int64_t>(ArgMax{1, false, false}, {floats({2, 3}, {1, 3, 3, 9, 2, 2})}) == Longs{1, 0});
  CHECK(run<int64_t>(ArgMax{1, false, true}, {floats({2, 3}, {1, 3, 3, 9, 2, 2})}) == Longs{0, 1});
  CHECK(run<int64_t>(ArgMax{0, true, false}, {longs({2, 2}, {5, 6, 5, 7})}) == Longs{0, 1});
}

TEST_CASE("LocalResponseNorm and InstanceNorm") {
  const LocalResponseNorm lrn{.size = 3, .alpha = 3, .beta = 1, .bias = 1};
  check_near(run(lrn, {floats({1, 1, 1, 4}, {1, 2, 3, 4})}),
             {1.0f / 6, 2.0f / 15, 3.0f / 30, 4.0f / 26});
  const LocalResponseNorm even{.size = 2, .alpha = 2, .beta = 0.5f, .bias = 0};
  check_near(run(even, {floats({1, 1, 1, 2}, {3, 4})}), {3.0f / 5, 1});

  // Channel 0: 1, 3; channel 1: 10, 10.
  check_near(run(InstanceNorm{0.01f}, {floats({1, 1, 2, 2}, {1, 10, 3, 10}), floats({2}, {2, 5}),
                                       floats({2}, {100, 7})}),
             {100 - 2 / std::sqrt(1.01f), 7, 100 + 2 / std::sqrt(1.01f), 7});
}

TEST_CASE("a whole graph runs, and its inputs are checked") {
  Graph graph;
  const ValueId x = graph.add(open("x", {2}));
  Value weights = floats({2}, {10, 20});
  weights.name = "w";
  const ValueId w = graph.add(weights);
  const ValueId sum = graph.add(open("sum", {2})), y = graph.add(open("y", {2}));
  graph.add({"add", Binary{}, {x, w}, {sum}});
  graph.add({"relu", Unary{Unary::Kind::clamp, 0, 15}, {sum}, {y}});
  graph.inputs = {x};
  graph.outputs = {y, x, sum};
  std::vector<float> data{1, -30};
  const Tensor input = view(Shape{2}, data.data());
  auto out = reference_run(graph, std::span(&input, 1));
  REQUIRE(out.ok());
  REQUIRE(out->size() == 3);
  CHECK((*out)[0].as<float>()[0] == 11.0f);
  CHECK((*out)[0].as<float>()[1] == 0.0f);
  CHECK((*out)[1].as<float>()[1] == -30.0f);
  CHECK((*out)[2].as<float>()[1] == -10.0f);

  const Tensor wrong = view(Shape{1}, data.data());
  CHECK(text(reference_run(graph, std::span(&wrong, 1)).status()) ==
        "invalid_argument: input x is f32 1, expected f32 2");
  CHECK(text(reference_run(graph, {}).status()) == "invalid_argument: 0 inputs, expected 1");
}
