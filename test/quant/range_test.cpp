// SPDX-License-Identifier: Apache-2.0
// Range estimators on known distributions, and grids that are sane for every range.
#include "quant/range.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace firn {
namespace {

Histogram of(const std::vector<float>& values) {
  Histogram histogram;
  const auto [lo, hi] = std::ranges::minmax_element(values);
  histogram.add_frame(*lo, *hi, values);
  return histogram;
}

std::vector<float> gaussian(size_t n, float sigma = 1, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

double width(Interval range) {
  return static_cast<double>(range.hi) - range.lo;
}

// Rounding every value to the grid and back, as the kernels do.
double true_error(const std::vector<float>& values, Interval range) {
  const Quant quant = to_quant(range);
  double sum = 0;
  for (float v : values) {
    const double q =
        std::clamp<double>(std::nearbyint(v / quant.scale[0]) + quant.zero[0], -128, 127);
    const double error = v - quant.scale[0] * (q - quant.zero[0]);
    sum += error * error;
  }
  return sum / static_cast<double>(values.size());
}

const Method kMethods[] = {Method::automatic, Method::minmax, Method::percentile, Method::mse,
                           Method::kl};

TEST_CASE("expected_error: is the error of the exact quantizer") {
  const std::vector<float> values = gaussian(200000);
  const Histogram histogram = of(values);
  for (Interval range : {Interval{-4, 4}, Interval{-1, 2}, Interval{0, 3}, Interval{-0.3f, 0.2f},
                         Interval{-40, 60}, Interval{-300, 300}}) {
    CAPTURE(range.lo);
    CHECK(expected_error(histogram, range, 8) ==
          doctest::Approx(true_error(values, range)).epsilon(0.01));
  }
}

TEST_CASE("expected_error: exact zeros cost nothing") {
  std::vector<float> values = gaussian(10000);
  const double dense = expected_error(of(values), {-4, 4}, 8);
  values.resize(20000, 0.0f);
  CHECK(expected_error(of(values), {-4, 4}, 8) == doctest::Approx(dense / 2));
}

TEST_CASE("minmax: holds every value") {
  CHECK(pick_range(of({-3, 1, 7}), Method::minmax) == Interval{-3, 7});
}

TEST_CASE("percentile: leaves the right number of values out") {
  std::vector<float> values(100000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 1000 - 50;
  const Interval range = percentile_range(of(values), 0.1);
  CHECK(range.lo == doctest::Approx(-45).epsilon(0.01));
  CHECK(range.hi == doctest::Approx(45).epsilon(0.01));
  // One-sided: values that are 0 stay inside.
  for (float& v : values) v = std::max(v, 0.0f);
  CHECK(percentile_range(of(values), 0.1).lo == 0);
}

TEST_CASE("mse: clips far outliers, keeps a uniform distribution whole") {
  std::vector<float> values = gaussian(400000);
  values[17] = 20;
  values[18] = -16;
  const Interval range = pick_range(of(values), Method::mse);
  CHECK(range.hi < 14);
  CHECK(range.hi > 3.5f);
  CHECK(range.lo > -12);
  CHECK(range.lo < -3.5f);
  CHECK(true_error(values, range) < 0.6 * true_error(values, {-16, 20}));

  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-2, 5);
  for (float& v : values) v = uniform(random);
  const Interval whole = pick_range(of(values), Method::mse);
  CHECK(whole.lo == doctest::Approx(-2).epsilon(0.02));
  CHECK(whole.hi == doctest::Approx(5).epsilon(0.02));
}

TEST_CASE("mse: one outlier side does not cut the other") {
  std::vector<float> values = gaussian(400000, 0.1f);
  values[5] = 2;
  const Interval range = pick_range(of(values), Method::mse);
  CHECK(range.lo < -0.3f);
  CHECK(range.hi < 1.7f);
}

TEST_CASE("kl: clips the tail of a Gaussian with outliers, keeps a uniform distribution") {
  std::vector<float> values = gaussian(200000);
  values[17] = 60;
  const Interval range = pick_range(of(values), Method::kl);
  CHECK(range.hi > 2.5f);
  CHECK(range.hi < 10);
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(0, 5);
  for (float& v : values) v = uniform(random);
  CHECK(pick_range(of(values), Method::kl).hi > 4.5f);
}

TEST_CASE("automatic: no other method does much better") {
  for (float outlier : {0.0f, 8.0f, 50.0f, 1000.0f}) {
    std::vector<float> values = gaussian(50000);
    values[3] = outlier;
    const Histogram histogram = of(values);
    const double chosen = expected_error(histogram, pick_range(histogram, Method::automatic), 8);
    for (Method method : kMethods) {
      CAPTURE(outlier);
      CAPTURE(method_name(method));
      CHECK(chosen * 0.94 <= expected_error(histogram, pick_range(histogram, method), 8));
    }
  }
}

TEST_CASE("every method: inside the extremes, for odd tensors, too") {
  const std::vector<std::vector<float>> tensors{{0},
                                                {0, 0, 0},
                                                {5},
                                                {-5, -5},
                                                {1e-40f, -1e-40f},
                                                {1e38f, -1e38f},
                                                {3, 3, 4},
                                                {0, 0, 1},
                                                {-1e-30f, 1e30f},
                                                {2, 2.5f, 3, 3.5f},
                                                {-7, -3, -0.5f},
                                                gaussian(5000),
                                                gaussian(5000, 1e-20f)};
  for (const std::vector<float>& tensor : tensors) {
    const Histogram histogram = of(tensor);
    for (Method method : kMethods) {
      const Interval range = pick_range(histogram, method);
      CAPTURE(tensor[0]);
      CAPTURE(tensor.size());
      CAPTURE(method_name(method));
      CHECK(range.lo <= range.hi);
      CHECK(range.lo >= histogram.min());
      CHECK(range.hi <= histogram.max());
    }
  }
  for (Method method : kMethods) CHECK(pick_range(Histogram(), method) == Interval{0, 0});
}

TEST_CASE("to_quant: scales are never zero, denormal or infinite, zero points in range") {
  const float big = std::numeric_limits<float>::max(), tiny = 1e-45f;
  for (Interval range : {Interval{0, 0}, Interval{-big, big}, Interval{0, big}, Interval{-tiny, 0},
                         Interval{tiny, tiny}, Interval{5, 5}, Interval{-5, -5}, Interval{3, 4},
                         Interval{-1, 1e-30f}, Interval{-1e-30f, 1}}) {
    for (int bits : {2, 4, 8}) {
      const Quant quant = to_quant(range, bits);
      CAPTURE(range.lo);
      CAPTURE(range.hi);
      REQUIRE(quant.scale.size() == 1);
      CHECK(quant.per_tensor());
      CHECK(std::isnormal(quant.scale[0]));
      CHECK(std::isnormal(quant.scale[0] * quant.scale[0]));
      CHECK(quant.zero[0] >= -(1 << (bits - 1)));
      CHECK(quant.zero[0] < 1 << (bits - 1));
    }
  }
}

TEST_CASE("to_quant: uses all levels, with 0 on the grid") {
  CHECK(to_quant({0, 255}) == Quant{-1, 8, 0, {1}, {-128}});
  CHECK(to_quant({2, 255}) == Quant{-1, 8, 0, {1}, {-128}});
  CHECK(to_quant({-255, 0}) == Quant{-1, 8, 0, {1}, {127}});
  CHECK(to_quant({-127.5f, 127.5f}).scale[0] == 1);
  CHECK(to_interval(to_quant({0, 6})).hi == doctest::Approx(6));
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-3, 3);
  for (int i = 0; i < 200; ++i) {
    const float a = uniform(random), b = uniform(random);
    const Interval range{std::min(a, b), std::max(a, b)};
    const Interval covered = to_interval(to_quant(range));
    const float half = to_quant(range).scale[0] * 0.5001f;
    CHECK(covered.lo <= std::min(range.lo, 0.0f) + half);
    CHECK(covered.hi >= std::max(range.hi, 0.0f) - half);
    CHECK(width(covered) == doctest::Approx(255 * to_quant(range).scale[0]));
  }
}

TEST_CASE("methods by name") {
  for (Method method : kMethods) {
    const Result<Method> found = method_from_name(method_name(method));
    REQUIRE(found.ok());
    CHECK(*found == method);
  }
  const Result<Method> unknown = method_from_name("entropy");
  CHECK(unknown.status().code() == Code::invalid_argument);
  CHECK(unknown.status().message() ==
        "method \"entropy\": expected one of automatic, minmax, percentile, mse, kl");
}

}  // namespace
}  // namespace firn
