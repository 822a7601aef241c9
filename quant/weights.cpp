// SPDX-License-Identifier: Apache-2.0
// Per-channel symmetric weights, biases that fit them, and scales that keep sums inside int32.
#include "quant/weights.h"

#include <algorithm>
#include <cmath>

#include "quant/bias_correct.h"

namespace firn {
namespace {

constexpr double kLargestBias = 1 << 30;

int8_t round_weight(float w, float per_scale) {
  return static_cast<int8_t>(std::nearbyint(std::clamp(w * per_scale, -127.0f, 127.0f)));
}

double squared_error(std::span<const float> row, float scale) {
  double sum = 0;
  for (float w : row) {
    const double error = static_cast<double>(scale) * round_weight(w, 1 / scale) - w;
    sum += error * error;
  }
  return sum;
}

float max_abs_scale(std::span<const float> row) {
  float largest = 0;
  for (float w : row) largest = std::max(largest, std::fabs(w));
  return largest / 127;
}

float mse_scale(std::span<const float> row) {
  const float full = max_abs_scale(row);
  float best = full;
  double least = squared_error(row, full);
  for (int percent = 98; percent >= 50; percent -= 2) {
    const float scale = full * static_cast<float>(percent) / 100;
    const double error = squared_error(row, scale);
    if (error >= least) continue;
    best = scale;
    least = error;
  }
  return best;
}

// Each step takes the best integers for the scale, then the best scale for the integers, so that
// the error never grows. The two starts end in different minima.
float admm_scale(std::span<const float> row) {
  constexpr int kMaxSteps = 100;
  const float full = max_abs_scale(row);
  float best = full;
  double least = squared_error(row, full);
  for (const float start : {full, full * 0.8f}) {
    float scale = start;
    for (int step = 0; step < kMaxSteps; ++step) {
      double product = 0, square = 0;
      for (float w : row) {
        const double q = round_weight(w, 1 / scale);
        product += q * w;
        square += q * q;
      }
      const auto next = static_cast<float>(product / square);
      if (!std::isnormal(next) || next == scale) break;
      scale = next;
    }
    const double error = squared_error(row, scale);
    if (error >= least) continue;
    best = scale;
    least = error;
  }
  return best;
}

// A new way to find scales is a function and a line here. Of no weights but zeros: 0.
constexpr struct {
  WeightScale scale;
  const char* name;
  float (*find)(std::span<const float> row);
} kWeightScales[] = {
    {WeightScale::max_abs, "max-abs", max_abs_scale},
    {WeightScale::mse, "mse", mse_scale},
    {WeightScale::admm, "admm", admm_scale},
};

float weight_scale(std::span<const float> row, WeightScale method) {
  if (max_abs_scale(row) == 0) return 0;
  for (const auto& each : kWeightScales)
    if (each.scale == method) return each.find(row);
  return max_abs_scale(row);
}

std::vector<float> weight_scales(size_t channels, std::span<const float> weights,
                                 WeightScale method, bool per_channel) {
  if (!per_channel) return std::vector<float>(channels, weight_scale(weights, method));
  const size_t row = weights.size() / channels;
  std::vector<float> scales;
  for (size_t c = 0; c < channels; ++c)
    scales.push_back(weight_scale(weights.subspan(c * row, row), method));
  return scales;
}

// At least `scale`, normal, finite, and such that the bias stays within its limit and the products'
// sum within what that leaves of int32. A channel without weights has the scale that gives its bias
// 24 bits: it needs no other precision.
float safe_scale(float scale, std::span<const float> row, float bias, float input_scale) {
  const double per_input = std::fabs(static_cast<double>(bias)) / input_scale;
  double safe = scale;
  if (scale == 0) safe = bias == 0 ? 1 : per_input / (1 << 24);
  double sum = 0;
  for (float w : row) sum += std::fabs(static_cast<double>(w));
  // Rounding may add half a step to each weight; 255 is an input's largest distance to its zero
  // point.
  const double room = kLargestBias - 255 * 0.5 * static_cast<double>(row.size());
  constexpr double kMargin = 1.000001;  // a float just below the quotient would let them pass
  safe = std::max({safe, per_input / kLargestBias * kMargin, 255 * sum / room * kMargin});
  return static_cast<float>(std::clamp(safe, std::ldexp(1.0, -60), std::ldexp(1.0, 60)));
}

Status check_input(const std::string& name, std::span<const float> values, const char* what) {
  const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  if (bad == values.end()) return {};
  return Status(Code::malformed, name + ": " + what + " " + std::to_string(bad - values.begin()) +
                                     " is " + std::to_string(*bad));
}

}  // namespace

RoundedWeights nearest_weights(size_t channels, std::span<const float> weights, WeightScale method,
                               bool per_channel) {
  RoundedWeights made{weight_scales(channels, weights, method, per_channel), {}};
  const size_t row = weights.size() / channels;
  for (size_t i = 0; i < weights.size(); ++i) {
    const float scale = made.scale[i / row];
    made.weights.push_back(scale == 0 ? int8_t{0} : round_weight(weights[i], 1 / scale));
  }
  return made;
}

const char* weight_scale_name(WeightScale scale) {
  for (const auto& each : kWeightScales)
    if (each.scale == scale) return each.name;
  return "unknown";
}

Result<WeightScale> weight_scale_from_name(const std::string& name) {
  std::string known;
  for (const auto& each : kWeightScales) {
    if (name == each.name) return each.scale;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  return Status(Code::invalid_argument, "weight scale \"" + name + "\": expected one of " + known);
}

Result<QuantizedWeights> quantize_weights(const std::string& name, size_t channels,
                                          std::span<const float> weights,
                                          std::span<const float> bias, float input_scale,
                                          const WeightGrid& grid, const InputMeans& means) {
  FIRN_TRY(check_input(name, weights, "weight"));
  FIRN_TRY(check_input(name, bias, "bias"));
  const size_t row = weights.size() / channels;
  QuantizedWeights out;
  const std::vector<float> wanted =
      grid.given.empty() ? weight_scales(channels, weights, grid.method, grid.per_channel)
                         : std::vector<float>(grid.given.begin(), grid.given.end());
  for (size_t c = 0; c < channels; ++c)
    out.scale.push_back(safe_scale(wanted[c], weights.subspan(c * row, row),
                                   bias.empty() ? 0 : bias[c], input_scale));
  if (!grid.per_channel && grid.given.empty())
    out.scale.assign(channels, std::ranges::max(out.scale));
  for (size_t c = 0; c < channels; ++c) {
    const bool chosen = grid.rounded != nullptr && grid.rounded->scale[c] == out.scale[c];
    for (size_t i = c * row; i < (c + 1) * row; ++i)
      out.weights.push_back(chosen ? grid.rounded->weights[i]
                                   : round_weight(weights[i], 1 / out.scale[c]));
  }
  std::vector<double> shift(channels);
  if (!means.mean.empty())
    shift = expected_shift(weights, out.weights, out.scale, means.mean, means.groups);
  else if (bias.empty())
    return out;
  for (size_t c = 0; c < channels; ++c) {
    const double wanted = (bias.empty() ? 0.0 : static_cast<double>(bias[c])) - shift[c];
    out.real_bias.push_back(wanted);
    const double q = std::nearbyint(wanted / (static_cast<double>(input_scale) * out.scale[c]));
    out.bias.push_back(static_cast<int32_t>(std::clamp(q, -kLargestBias, kLargestBias)));
  }
  return out;
}

}  // namespace firn
