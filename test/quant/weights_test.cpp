// SPDX-License-Identifier: Apache-2.0
// Weights and biases to integers, and the correction of what rounding does to the mean output.
#include "quant/weights.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "firn/quantize.h"
#include "quant/bias_correct.h"

namespace firn {
namespace {

std::vector<float> gaussian(size_t n, float sigma, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

QuantizedWeights quantize(size_t channels, const std::vector<float>& weights,
                          const std::vector<float>& bias, float input_scale,
                          const WeightGrid& grid = {}, const InputMeans& means = {}) {
  auto result = quantize_weights("layer", channels, weights, bias, input_scale, grid, means);
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return *std::move(result);
}

double squared_error(const std::vector<float>& weights, const QuantizedWeights& q) {
  const size_t row = weights.size() / q.scale.size();
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    sum += std::pow(weights[i] - q.scale[i / row] * q.weights[i], 2);
  return sum;
}

TEST_CASE("weights: each channel uses its own full scale") {
  const QuantizedWeights q = quantize(2, {1, -0.5f, 100, 25}, {}, 1);
  CHECK(q.weights == std::vector<int8_t>{127, -64, 127, 32});
  CHECK(q.scale[0] == doctest::Approx(1 / 127.0));
  CHECK(q.scale[1] == doctest::Approx(100 / 127.0));
  CHECK(q.bias.empty());
}

TEST_CASE("weights: channels that share a scale have the largest one's") {
  const QuantizedWeights q = quantize(2, {1, -0.5f, 100, 25}, {}, 1, {WeightScale::max_abs, false});
  CHECK(q.weights == std::vector<int8_t>{1, -1, 127, 32});
  CHECK(q.scale == std::vector<float>(2, 100.0f / 127));
  // The bias of one channel raises the scale of all.
  const QuantizedWeights raised =
      quantize(2, {1, 1, 1, 1}, {1e9f, 0}, 1e-3f, {WeightScale::max_abs, false});
  CHECK(raised.scale[0] > 900);
  CHECK(raised.scale[1] == raised.scale[0]);
}

TEST_CASE("weights: rounding errors stay within half a step") {
  const std::vector<float> weights = gaussian(16 * 90, 0.3f, 1);
  const QuantizedWeights q = quantize(16, weights, {}, 0.1f);
  for (size_t i = 0; i < weights.size(); ++i) {
    const float scale = q.scale[i / 90];
    REQUIRE(std::fabs(weights[i] - scale * q.weights[i]) <= scale * 0.5001f);
  }
}

TEST_CASE("weights: mse clips an outlier when that helps, and is never worse") {
  std::vector<float> weights = gaussian(20000, 1, 2);
  weights[7] = 9;
  const QuantizedWeights clipped = quantize(1, weights, {}, 1, {WeightScale::mse});
  const QuantizedWeights full = quantize(1, weights, {}, 1);
  CHECK(squared_error(weights, clipped) < 0.95 * squared_error(weights, full));
  CHECK(clipped.scale[0] < full.scale[0]);
}

TEST_CASE("weights: admm ends where scale and rounding suit each other") {
  std::vector<float> weights = gaussian(20000, 1, 2);
  weights[7] = 9;
  const QuantizedWeights found = quantize(1, weights, {}, 1, {WeightScale::admm});
  CHECK(squared_error(weights, found) < 0.95 * squared_error(weights, quantize(1, weights, {}, 1)));
  double product = 0, square = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    product += static_cast<double>(weights[i]) * found.weights[i];
    square += found.weights[i] * found.weights[i];
  }
  CHECK(found.scale[0] == doctest::Approx(product / square).epsilon(1e-5));
  for (uint32_t seed = 0; seed < 20; ++seed) {  // never worse than all weights kept
    const std::vector<float> few = gaussian(30, 0.1f, seed);
    CHECK(squared_error(few, quantize(1, few, {}, 1, {WeightScale::admm})) <=
          squared_error(few, quantize(1, few, {}, 1)));
  }
}

TEST_CASE("weights: scales that are given") {
  const std::vector<float> given{0.5f, 2, 1};
  const QuantizedWeights q = quantize(3, {1, -0.5f, 100, 25, 0, 0}, {}, 1, {{}, true, given});
  CHECK(q.scale == given);
  CHECK(q.weights == std::vector<int8_t>{2, -1, 50, 12, 0, 0});
}

TEST_CASE("weight scales by name") {
  for (WeightScale scale : {WeightScale::max_abs, WeightScale::mse, WeightScale::admm})
    CHECK(*weight_scale_from_name(weight_scale_name(scale)) == scale);
  CHECK(weight_scale_from_name("best").status().message() ==
        "weight scale \"best\": expected one of max-abs, mse, admm");
}

TEST_CASE("weights: bias in units of input and weight scale") {
  const QuantizedWeights q = quantize(1, {1.27f}, {0.5f}, 0.02f);
  CHECK(q.scale[0] == doctest::Approx(0.01));
  CHECK(q.bias == std::vector<int32_t>{2500});
}

TEST_CASE("weights: channels of zeros") {
  const QuantizedWeights q = quantize(3, {0, 0, 0, 0, 1, 1}, {0, 0.7f, 0}, 0.02f);
  CHECK(q.scale[0] == 1);
  CHECK(q.weights[0] == 0);
  CHECK(q.bias[0] == 0);
  // A dead channel still has its bias, precisely.
  CHECK(0.02 * q.scale[1] * q.bias[1] == doctest::Approx(0.7).epsilon(1e-6));
}

TEST_CASE("weights: a bias far larger than the weights raises the scale and stays in range") {
  for (float weight : {1e-3f, 1e-12f, 1e-30f, 1e-44f}) {
    const QuantizedWeights q = quantize(1, {weight}, {1000}, 1e-3f);
    CAPTURE(weight);
    CHECK(std::abs(q.bias[0]) <= 1 << 30);
    CHECK(std::isnormal(q.scale[0]));
    CHECK(1e-3 * q.scale[0] * q.bias[0] == doctest::Approx(1000).epsilon(1e-5));
  }
}

TEST_CASE("weights: the longest row of extreme weights and bias cannot pass int32") {
  for (float bias : {0.0f, 1e20f, -1e20f}) {
    const std::vector<float> weights(kLongestRow, -1.0f);
    const QuantizedWeights q = quantize(1, weights, {bias}, 0.01f);
    int64_t bound = std::abs(static_cast<int64_t>(q.bias[0]));
    for (int8_t w : q.weights) bound += 255 * std::abs(int{w});
    CHECK(bound <= std::numeric_limits<int32_t>::max());
    if (bias == 0) CHECK(q.weights[0] < -50);
  }
}

TEST_CASE("weights: NaN and infinity are named") {
  const std::vector<float> bad{1, std::nanf(""), 2};
  const auto weights = quantize_weights("conv_3", 1, bad, {}, 1, {});
  CHECK(weights.status().code() == Code::malformed);
  CHECK(weights.status().message() == "conv_3: weight 1 is nan");
  const std::vector<float> good{1}, infinite{-std::numeric_limits<float>::infinity()};
  const auto bias = quantize_weights("conv_3", 1, good, infinite, 1, {});
  CHECK(bias.status().message() == "conv_3: bias 0 is -inf");
}

// A convolution of 2 groups, 3 taps, 8 + 8 input channels, on inputs of given means: by how much
// the quantized layer's mean output differs.
TEST_CASE("bias correction takes back the shift of the mean output") {
  constexpr size_t kOut = 6, kTaps = 3, kIn = 16, kGroups = 2, kRow = kTaps * kIn / kGroups;
  const std::vector<float> weights = gaussian(kOut * kRow, 0.2f, 3), bias = gaussian(kOut, 1, 4);
  std::vector<double> means(kIn);
  for (size_t c = 0; c < kIn; ++c) means[c] = 1 + 0.3 * static_cast<double>(c);
  const float input_scale = 0.01f;
  const auto worst_shift = [&](const QuantizedWeights& q) {
    double worst = 0;
    for (size_t o = 0; o < kOut; ++o) {
      double shift = static_cast<double>(input_scale) * q.scale[o] * q.bias[o] - bias[o];
      for (size_t i = 0; i < kRow; ++i) {
        const size_t at = o * kRow + i, group = o / (kOut / kGroups);
        shift += (static_cast<double>(q.scale[o]) * q.weights[at] - weights[at]) *
                 means[group * kIn / kGroups + i % (kIn / kGroups)];
      }
      worst = std::max(worst, std::fabs(shift));
    }
    return worst;
  };
  const QuantizedWeights plain = quantize(kOut, weights, bias, input_scale);
  const QuantizedWeights corrected =
      quantize(kOut, weights, bias, input_scale, {}, {means, kGroups});
  CHECK(corrected.weights == plain.weights);
  CHECK(worst_shift(plain) > 1e-3);
  // What is left is the rounding of the bias itself.
  for (float scale : corrected.scale) CHECK(worst_shift(corrected) <= input_scale * scale);

  SUBCASE("and makes a bias where there was none") {
    const QuantizedWeights made = quantize(kOut, weights, {}, input_scale, {}, {means, kGroups});
    const std::vector<double> shift =
        expected_shift(weights, made.weights, made.scale, means, kGroups);
    REQUIRE(made.bias.size() == kOut);
    for (size_t o = 0; o < kOut; ++o)
      CHECK(made.bias[o] ==
            std::lrint(-shift[o] / (static_cast<double>(input_scale) * made.scale[o])));
  }
}

}  // namespace
}  // namespace firn
