// SPDX-License-Identifier: Apache-2.0
// The one pass of a calibration: extremes, finiteness, where the samples lie.
#include "kernels/stats_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace firn::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

const std::vector<size_t> kSizes{1, 2, 3, 4, 5, 15, 16, 17, 31, 64, 4095, 4096, 4097, 10007};

TEST_CASE("stats_f32: exact extremes wherever they stand") {
  for (size_t n : kSizes) {
    for (size_t at : {size_t{0}, n / 3, n - 1}) {
      CAPTURE(n);
      CAPTURE(at);
      std::vector<float> x = random_floats(n, 1);
      x[at] = 100;
      CHECK(stats_f32(n, x.data()).max == 100);
      x[at] = -100;
      const StatsF32 stats = stats_f32(n, x.data());
      CHECK(stats.min == -100);
      CHECK(stats.max == *std::ranges::max_element(x));
      CHECK(stats.finite);
    }
  }
}

TEST_CASE("stats_f32: one NaN or infinity is found") {
  for (float bad : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()})
    for (size_t n : kSizes)
      for (size_t at = 0; at < n; at += n / 7 + 1) {
        std::vector<float> x = random_floats(n, 2);
        x[at] = bad;
        CAPTURE(n);
        CAPTURE(at);
        CHECK_FALSE(stats_f32(n, x.data()).finite);
        std::vector<float> samples(n);
        CHECK_FALSE(sample_f32(n, x.data(), SamplePattern(n, 64), samples.data()).finite);
      }
}

TEST_CASE("stats_f32: opposite infinities do not cancel, and a sum that overflows is no infinity") {
  std::vector<float> x(100, 0.0f);
  x[3] = kInf;
  x[19] = -kInf;
  CHECK_FALSE(stats_f32(x.size(), x.data()).finite);
  std::ranges::fill(x, std::numeric_limits<float>::max());
  CHECK(stats_f32(x.size(), x.data()).finite);
}

TEST_CASE("stats_f32: of nothing") {
  const StatsF32 stats = stats_f32(0, nullptr);
  CHECK(stats.min == kInf);
  CHECK(stats.max == -kInf);
  CHECK(stats.finite);
}

TEST_CASE("sample_f32: takes the elements of the pattern, and sees all the others") {
  for (size_t n : kSizes) {
    CAPTURE(n);
    const std::vector<float> x = random_floats(n, 3);
    const SamplePattern pattern(n, 64);
    CHECK(pattern.count <= 64);
    CHECK(2 * pattern.count > std::min<size_t>(n, 64));
    std::vector<float> samples(pattern.count);
    const StatsF32 stats = sample_f32(n, x.data(), pattern, samples.data());
    CHECK(stats.min == *std::ranges::min_element(x));
    CHECK(stats.max == *std::ranges::max_element(x));
    for (size_t i = 0; i < pattern.count; ++i) {
      REQUIRE(pattern[i] >= i * pattern.stride);
      REQUIRE(pattern[i] < (i + 1) * pattern.stride);
      REQUIRE(samples[i] == x[pattern[i]]);
    }
  }
}

TEST_CASE("SamplePattern: no channel count falls into step with it") {
  for (size_t channels : {3, 7, 16, 24, 32, 64, 96, 144}) {
    const size_t n = 112 * 112 * channels;
    const SamplePattern pattern(n, 4096);
    std::vector<size_t> hits(channels);
    for (size_t i = 0; i < pattern.count; ++i) ++hits[pattern[i] % channels];
    const double even = static_cast<double>(pattern.count) / static_cast<double>(channels);
    CAPTURE(channels);
    CHECK(static_cast<double>(*std::ranges::min_element(hits)) > 0.5 * even);
    CHECK(static_cast<double>(*std::ranges::max_element(hits)) < 1.5 * even);
  }
}

TEST_CASE("sum_channels_f32: adds the pattern's pixels") {
  const size_t channels = 5, pixels = 40;
  const std::vector<float> x = random_floats(channels * pixels, 4);
  const SamplePattern pattern(pixels, 8);
  std::vector<float> sums(channels), expected(channels);
  for (size_t p = 0; p < pattern.count; ++p)
    for (size_t c = 0; c < channels; ++c) expected[c] += x[pattern[p] * channels + c];
  sum_channels_f32(channels, x.data(), pattern, sums.data());
  CHECK(sums == expected);
}

}  // namespace
}  // namespace firn::kernels
