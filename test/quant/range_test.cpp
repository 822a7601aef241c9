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

const Method kMethods[] = {
    Method::automatic, Method::minmax,      Method::ema,     Method::percentile, Method::mse,
    Method::kl,        Method::kl_tensorrt, Method::kl_ncnn, Method::aciq,       Method::eq};

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

TEST_CASE("ema: the mean of the frames' extremes, whatever their order and however merged") {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> frames(40, std::vector<float>(50));
  double lo = 0, hi = 0;
  for (size_t f = 0; f < frames.size(); ++f) {
    for (float& v : frames[f]) v = normal(random) * std::exp2(static_cast<float>(f % 9) * 4 - 20);
    lo += *std::ranges::min_element(frames[f]) / 40.0;
    hi += *std::ranges::max_element(frames[f]) / 40.0;
  }
  const auto add = [](Histogram& h, const std::vector<float>& frame) {
    const auto [a, b] = std::ranges::minmax_element(frame);
    h.add_frame(*a, *b, frame);
  };
  Histogram whole;
  for (const auto& frame : frames) add(whole, frame);
  const Interval range = pick_range(whole, Method::ema);
  CHECK(range.lo == doctest::Approx(lo));
  CHECK(range.hi == doctest::Approx(hi));
  for (int round = 0; round < 10; ++round) {
    std::ranges::shuffle(frames, random);
    Histogram merged, other;
    for (size_t f = 0; f < frames.size(); ++f) add(f % 3 == 0 ? merged : other, frames[f]);
    merged.merge(other);
    CHECK(merged == whole);
    CHECK(pick_range(merged, Method::ema) == range);
  }
}

TEST_CASE("ExactSum: no term is lost beside any other") {
  const float big = std::numeric_limits<float>::max(), tiny = 1e-45f;
  ExactSum sum;
  for (float x : {big, tiny, 1.0f, -big, tiny, -1.0f}) sum.add(x);
  CHECK(sum.value() == 2 * static_cast<double>(tiny));
  ExactSum back;
  for (float x : {-1.0f, tiny, tiny, 1.0f, -big, big}) back.add(x);
  CHECK(back == sum);
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  ExactSum values;
  double expected = 0;
  for (int i = 0; i < 1000; ++i) {
    const float x = uniform(random);
    values.add(x);
    expected += x;
  }
  CHECK(values.value() == doctest::Approx(expected).epsilon(1e-12));
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

// The magnitudes' bins, as the rules count them.
std::vector<double> magnitudes(const Histogram& histogram) {
  std::vector<double> bins(static_cast<size_t>(std::max(histogram.last(), -histogram.first())));
  for (size_t i = 0; i < bins.size(); ++i)
    bins[i] = static_cast<double>(histogram[static_cast<int>(i)] + histogram[~static_cast<int>(i)]);
  return bins;
}

// Both rules as they are told, bin by bin: P, Q and the divergence of n bins.
double told_tensorrt(const std::vector<double>& bins, size_t n) {
  std::vector<double> p(bins.begin(), bins.begin() + static_cast<ptrdiff_t>(n)), q(n);
  for (size_t i = n; i < bins.size(); ++i) p[n - 1] += bins[i];
  for (size_t group = 0; group < 128; ++group) {
    const size_t begin = group * (n / 128), end = group == 127 ? n : begin + n / 128;
    double sum = 0, filled = 0;
    for (size_t i = begin; i < end; ++i) {
      sum += bins[i];
      filled += p[i] != 0;
    }
    for (size_t i = begin; i < end; ++i) q[i] = p[i] != 0 ? sum / filled : 0;
  }
  double total_p = 0, total_q = 0, divergence = 0;
  for (size_t i = 0; i < n; ++i) {
    total_p += p[i];
    total_q += q[i];
  }
  for (size_t i = 0; i < n; ++i)
    if (p[i] != 0) divergence += p[i] / total_p * std::log(p[i] / total_p / (q[i] / total_q));
  return divergence;
}

double told_ncnn(const std::vector<double>& bins, size_t n) {
  double total = 0;
  for (double b : bins) total += b;
  std::vector<double> p(n, 1e-4), q(n, 1e-4);
  for (size_t i = 0; i < bins.size(); ++i) p[std::min(i, n - 1)] += bins[i] / total;
  const double size = static_cast<double>(n) / 128;
  for (size_t group = 0; group < 128; ++group) {
    const double begin = static_cast<double>(group) * size, end = begin + size;
    const auto part = [&](size_t i) {  // of bin i, that lies in the group
      const double x = static_cast<double>(i);
      return std::max(0.0, std::min(end, x + 1) - std::max(begin, x));
    };
    const size_t first = static_cast<size_t>(begin), last = std::min(n, first + n / 128 + 2);
    double mean = 0;
    for (size_t i = first; i < last; ++i) mean += part(i) * bins[i] / total / size;
    for (size_t i = first; i < last; ++i) q[i] += part(i) * mean;
  }
  double divergence = 0;
  for (size_t i = 0; i < n; ++i) divergence += p[i] * std::log(p[i] / q[i]);
  return divergence;
}

TEST_CASE("kl: the bin rules of TensorRT and ncnn pick what their definitions pick") {
  for (float outlier : {5.0f, 30.0f}) {
    std::vector<float> values = gaussian(20000, 1, static_cast<uint32_t>(outlier));
    values[17] = outlier;
    const Histogram histogram = of(values);
    const std::vector<double> bins = magnitudes(histogram);
    // Of several nearly equal ones any may be picked.
    const auto check = [&](KlRule rule, auto told) {
      const float picked = kl_range(histogram, 8, rule).hi;
      const auto n = static_cast<size_t>(std::lround(picked / histogram.width() - 0.5));
      REQUIRE(picked < outlier);
      CHECK(picked == static_cast<float>((static_cast<double>(n) + 0.5) * histogram.width()));
      const double lost = told(bins, n);
      double least = lost;
      for (size_t other = 128; other < bins.size(); ++other)
        least = std::min(least, told(bins, other));
      CAPTURE(outlier);
      CHECK(lost <= least + 1e-9);
      CHECK(told(bins, n / 2) > 1.01 * least);  // it does make a difference
    };
    check(KlRule::tensorrt, told_tensorrt);
    check(KlRule::ncnn, told_ncnn);
  }
}

TEST_CASE("aciq: the published thresholds, for the distribution that fits") {
  std::mt19937 random(4);
  std::exponential_distribution<float> exponential(1);
  std::vector<float> laplace(1000000);
  for (float& v : laplace) v = exponential(random) * (random() % 2 ? 1.0f : -1.0f);
  std::vector<float> one_sided = laplace;
  for (float& v : one_sided) v = std::max(v, 0.0f);
  // Table 1 of the paper's code: alpha / b and alpha / sigma for 8 bits; of one sign, for 9.
  CHECK(pick_range(of(laplace), Method::aciq).hi == doctest::Approx(9.897).epsilon(0.01));
  CHECK(pick_range(of(laplace), Method::aciq).lo == doctest::Approx(-9.897).epsilon(0.01));
  CHECK(pick_range(of(one_sided), Method::aciq).hi == doctest::Approx(11.163).epsilon(0.01));
  std::vector<float> normal = gaussian(1000000);
  CHECK(pick_range(of(normal), Method::aciq).hi == doctest::Approx(3.924).epsilon(0.01));
  for (float& v : normal) v += 20;  // around its mean, where that is not 0
  CHECK(pick_range(of(normal), Method::aciq).hi > 23.5f);
}

TEST_CASE("eq: no less similar than the range it starts from, nor than one around it") {
  std::vector<float> values = gaussian(50000);
  values[3] = 30;
  const Histogram histogram = of(values);
  const auto similarity = [&](Interval range) {
    const Quant quant = to_quant(range);
    double product = 0, square = 0, rounded = 0;
    for (float v : values) {
      const double q =
          quant.scale[0] *
          (std::clamp<double>(std::nearbyint(v / quant.scale[0]) + quant.zero[0], -128, 127) -
           quant.zero[0]);
      product += v * q;
      square += v * v;
      rounded += q * q;
    }
    return product / std::sqrt(square * rounded);
  };
  const Interval start = kl_range(histogram, 8, KlRule::ncnn);
  const Interval found = pick_range(histogram, Method::eq);
  CHECK(found != start);
  CHECK(similarity(found) > similarity(start));
  for (float factor : {0.6f, 0.8f, 1.25f, 1.6f}) {
    CAPTURE(factor);
    const Interval other{std::max(start.lo * factor, histogram.min()),
                         std::min(start.hi * factor, histogram.max())};
    CHECK(similarity(found) > similarity(other) - 1e-5);
  }
}

TEST_CASE("symmetric: zero point 0, and a scale of exactly the largest value / 127") {
  std::mt19937 random(6);
  for (int i = 0; i < 2000; ++i) {
    const float largest = std::ldexp(1 + static_cast<float>(random() >> 8) / (1 << 24),
                                     static_cast<int>(random() % 80) - 40);
    const float other = largest * static_cast<float>(random() % 100) / 100;
    const Interval range = i % 2 ? Interval{-largest, other} : Interval{-other, largest};
    const Quant quant = to_quant(symmetric_range(range, 8));
    CHECK(quant.zero[0] == 0);
    CHECK(quant.scale[0] == largest / 127);
  }
  for (Method method : kMethods) {
    const std::vector<float> values = gaussian(5000);
    const Quant quant = to_quant(pick_range(of(values), method, 8, true));
    CHECK(quant.zero[0] == 0);
  }
  const float big = std::numeric_limits<float>::max();
  CHECK(std::isfinite(symmetric_range({-big, 0}, 8).lo));
  CHECK(symmetric_range({0, 0}, 8) == Interval{0, 0});
}

TEST_CASE("candidates: what the methods pick, nearly equal ones once") {
  std::vector<float> values = gaussian(50000);
  values[3] = 50;
  const Histogram histogram = of(values);
  const std::vector<Candidate> candidates = candidate_ranges(histogram, 8, false);
  CHECK(candidates[0] == Candidate{Method::minmax, minmax_range(histogram)});
  CHECK(candidates.size() >= 4);
  for (Method method : kMethods) {
    const Interval range = pick_range(histogram, method);
    CHECK(std::ranges::any_of(candidates, [&](const Candidate& c) {
      return std::fabs(c.range.lo - range.lo) + std::fabs(c.range.hi - range.hi) <=
             0.02 * width(c.range);
    }));
  }
  CHECK(candidate_ranges(of({3}), 8, false) == std::vector<Candidate>{{Method::minmax, {3, 3}}});
}

TEST_CASE("candidates: pixels from -1 to 1 can have a scale that does not miss all of them") {
  std::vector<float> pixels, positive;
  for (int p = 0; p < 256; ++p) {
    pixels.push_back((static_cast<float>(p) - 127.5f) / 127.5f);
    positive.push_back(static_cast<float>(p) / 255);
  }
  const std::vector<Candidate> candidates = candidate_ranges(of(pixels), 8, false);
  CHECK(candidates.front().range == Interval{-1, 1});
  CHECK(candidates.back().range == symmetric_range({-1, 1}, 8));
  CHECK(true_error(pixels, candidates.back().range) <
        0.4 * true_error(pixels, candidates.front().range));
  const Interval one_sided = symmetric_range({0, 1}, 8);
  for (const Candidate& candidate : candidate_ranges(of(positive), 8, false))
    CHECK(candidate.range != one_sided);
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
        "method \"entropy\": expected one of automatic, minmax, ema, percentile, mse, kl, "
        "kl-tensorrt, kl-ncnn, aciq, eq");
}

}  // namespace
}  // namespace firn
