// SPDX-License-Identifier: Apache-2.0
// Blocks of weights to few bits: what each method minimizes, and what no method may do.
#include "quant/weights_block.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "quant/report.h"
#include "runtime/half.h"
#include "runtime/packed.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

std::vector<float> gaussian(size_t n, uint32_t seed, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, 0.05f);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

double error(const std::vector<float>& weights, const Block& block, const BlockFormat& format,
             double power) {
  double sum = 0;
  for (const float w : weights) {
    const int q = round_to(block, levels_of(format), w);
    sum += std::pow(std::fabs(w - block.scale * static_cast<float>(q - block.zero)), power);
  }
  return sum;
}

}  // namespace

TEST_CASE("blocks: max-abs reaches every weight") {
  for (unsigned bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {false, true}) {
      const BlockFormat format{bits, symmetric, WeightRounding::max_abs};
      const std::vector<float> weights = gaussian(64, bits, symmetric ? 0 : 0.03f);
      const Block block = fit_block(weights, format);
      if (symmetric) CHECK(block.zero == 0);
      const Levels levels = levels_of(format);
      CHECK(block.zero >= levels.lo);
      CHECK(block.zero <= levels.hi);
      // A zero point is rounded: the ends may be half a step off.
      for (const float w : weights) {
        const int q = round_to(block, levels, w);
        CHECK(std::fabs(w - block.scale * static_cast<float>(q - block.zero)) <=
              block.scale * 1.001f);
      }
    }
  }
  CHECK(levels_of({8, true, {}}).lo == -127);
  CHECK(levels_of({8, false, {}}).lo == -128);
  CHECK(levels_of({4, true, {}}).lo == -8);
}

TEST_CASE("blocks: zero points serve weights that lie on one side") {
  const std::vector<float> weights = gaussian(32, 3, 0.1f);
  for (const WeightRounding rounding : {WeightRounding::max_abs, WeightRounding::mse}) {
    const BlockFormat symmetric{4, true, rounding}, asymmetric{4, false, rounding};
    CHECK(error(weights, fit_block(weights, asymmetric), asymmetric, 2) <
          0.7 * error(weights, fit_block(weights, symmetric), symmetric, 2));
  }
}

TEST_CASE("blocks: mse has the least squared error, hqq less mean error than max-abs") {
  for (unsigned bits = 2; bits <= 5; ++bits) {
    for (const bool symmetric : {false, true}) {
      std::map<WeightRounding, double> squares, means;
      for (uint32_t seed = 0; seed < 50; ++seed) {
        std::vector<float> weights = gaussian(64, seed);
        weights[5] *= 4;  // an outlier
        for (const WeightRounding rounding :
             {WeightRounding::max_abs, WeightRounding::mse, WeightRounding::hqq}) {
          const BlockFormat format{bits, symmetric, rounding};
          const Block block = fit_block(weights, format);
          squares[rounding] += error(weights, block, format, 2);
          means[rounding] += error(weights, block, format, 1);
        }
      }
      CAPTURE(bits);
      CAPTURE(symmetric);
      CHECK(squares[WeightRounding::mse] < 0.95 * squares[WeightRounding::max_abs]);
      CHECK(squares[WeightRounding::mse] <= squares[WeightRounding::hqq]);
      CHECK(means[WeightRounding::hqq] < means[WeightRounding::max_abs]);
    }
  }
}

TEST_CASE("blocks: weights that lie on the levels come back exactly") {
  for (const WeightRounding rounding :
       {WeightRounding::max_abs, WeightRounding::mse, WeightRounding::hqq}) {
    std::vector<float> weights;
    for (int q = -7; q <= 7; ++q) weights.push_back(0.25f * static_cast<float>(q));
    const BlockFormat format{4, true, rounding};
    CHECK(error(weights, fit_block(weights, format), format, 1) == 0);
    for (float& w : weights) w = 0;
    CHECK(error(weights, fit_block(weights, format), format, 1) == 0);
  }
}

TEST_CASE("blocks: balanced rows have errors that add up to next to nothing") {
  for (const bool symmetric : {false, true}) {
    const BlockFormat format{4, symmetric, WeightRounding::hqq};
    const std::vector<float> weights = gaussian(8 * 200, 12);
    const BlockWeights before = must(quantize_blocks("layer", weights, 200, 32, format));
    BlockWeights after = before;
    balance_rows(weights, 200, 32, format, after);
    const auto sum = [&](const BlockWeights& made, size_t r) {
      double all = 0;
      for (size_t i = r * 200; i < (r + 1) * 200; ++i) {
        const size_t b = r * 7 + i % 200 / 32;
        all += made.scale[b] * static_cast<float>(made.q[i] - made.zero[b]) - weights[i];
      }
      return std::fabs(all);
    };
    double worst = 0;
    for (size_t r = 0; r < 8; ++r) {
      const float step = *std::ranges::max_element(std::span(after.scale).subspan(r * 7, 7));
      CHECK(sum(after, r) <= 0.51 * step);
      worst = std::max(worst, sum(before, r) / step);
      for (size_t i = r * 200; i < (r + 1) * 200; ++i)
        CHECK(std::abs(after.q[i] - before.q[i]) <= 1);
    }
    CHECK(worst > 1);  // there was something to do
  }
}

TEST_CASE("blocks: rows are cut, scales are halves where those hold them") {
  const std::vector<float> weights = gaussian(3 * 70, 9);
  const BlockFormat format{4, false, WeightRounding::max_abs};
  const BlockWeights made = must(quantize_blocks("layer", weights, 70, 32, format));
  CHECK(made.q.size() == 210);
  REQUIRE(made.scale.size() == 9);
  for (size_t r = 0; r < 3; ++r) {
    for (size_t i = 0; i < 70; ++i) {
      const size_t b = r * 3 + i / 32;
      const float back = made.scale[b] * static_cast<float>(made.q[r * 70 + i] - made.zero[b]);
      CHECK(std::fabs(back - weights[r * 70 + i]) <= made.scale[b] * 1.01f);
    }
  }
  for (const float s : made.scale) CHECK(half_to_float(float_to_half(s)) == s);
  std::vector<float> tiny = weights;
  for (float& w : tiny) w *= 1e-6f;
  const BlockWeights exact = must(quantize_blocks("layer", tiny, 70, 32, format));
  CHECK(std::ranges::any_of(exact.scale,
                            [](float s) { return half_to_float(float_to_half(s)) != s; }));
  tiny[100] = std::numeric_limits<float>::quiet_NaN();
  CHECK(quantize_blocks("layer", tiny, 70, 32, format).status().message() ==
        "layer: weight 100 is nan");
}

}  // namespace firn::test
