// SPDX-License-Identifier: Apache-2.0
// Reads int8 scales; turns weights, biases and inputs to int8.
#include "runtime/import/ncnn_int8.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace firn::ncnn {
namespace {

Quant symmetric(float scale) {
  return {-1, 8, 0, {1 / scale}, {0}};
}

Status check_scale(const Context& c, const char* what, float scale, bool zero_allowed) {
  const bool good = std::isnormal(scale) && scale > 0 && std::isnormal(1 / scale);
  if (good || (zero_allowed && scale == 0)) return {};
  return c.malformed(std::string(what) + " is " + std::to_string(scale));
}

// ncnn rounds halves away from zero, and never to -128.
int8_t to_int8(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<int8_t>(std::clamp(std::round(value), -127.0f, 127.0f));
}

Result<Value> weights_to_int8(const Context& c, const Value& weights,
                              const std::vector<float>& scales) {
  const std::span<const float> from = weights.as<float>();
  FIRN_TRY(c.allow(from.size()));
  FIRN_ASSIGN(auto memory, Buffer::allocate(from.size()));
  auto* to = reinterpret_cast<int8_t*>(memory.second.data());
  const size_t step = from.size() / scales.size();
  for (size_t i = 0; i < from.size(); ++i) to[i] = to_int8(from[i] * scales[i / step]);
  Value result = weights;
  result.type = DType::i8;
  result.constant = std::move(memory.first);
  return result;
}

// The weights' scales as a Quant has them. A channel of zeros has any: one that leaves its bias
// precise.
std::vector<float> weight_steps(const Int8Scales& scales, std::span<const float> bias) {
  std::vector<float> steps;
  for (size_t i = 0; i < scales.weight.size(); ++i) {
    float step = 1 / scales.weight[i];
    if (scales.weight[i] == 0) {
      step = bias.empty() ? 1 : std::abs(bias[i]) * scales.bottom * 0x1p-20f;
      if (!std::isnormal(step)) step = 1;
    }
    steps.push_back(step);
  }
  return steps;
}

}  // namespace

Result<std::optional<Int8Scales>> read_int8_scales(Context& c, const ScaleCounts& counts) {
  FIRN_ASSIGN(const int32_t term, c.param(8, 0));
  if (term == 0) return std::optional<Int8Scales>();
  Int8Scales scales;
  const bool one_for_all = counts.groups && (term == 2 || term == 102);
  const int32_t count = one_for_all ? 1 : counts.groups.value_or(counts.channels);
  const float made_up = 127 / Spread::of_weights(counts.inputs).hi;
  FIRN_ASSIGN(const std::vector<float> weight, c.weight_floats(count, {made_up, made_up}));
  for (int32_t i = 0; i < counts.channels; ++i) {
    const auto at = static_cast<size_t>(int64_t{i} * count / counts.channels);
    FIRN_TRY(check_scale(c, "a weight scale", weight[at], true));
    scales.weight.push_back(weight[at]);
  }
  // Made-up activations rarely pass 4.
  FIRN_ASSIGN(const std::vector<float> bottom, c.weight_floats(1, {32, 32}));
  FIRN_TRY(check_scale(c, "the input's scale", bottom[0], false));
  scales.bottom = bottom[0];
  if (counts.top && term > 100) {
    FIRN_ASSIGN(const std::vector<float> top, c.weight_floats(1, {32, 32}));
    FIRN_TRY(check_scale(c, "the output's scale", top[0], false));
    scales.top = top[0];
  }
  return std::optional(std::move(scales));
}

Result<Int8Operands> quantize_operands(Context& c, Value weights, ValueId bias,
                                       const std::vector<int32_t>& perm, const Int8Scales& scales) {
  std::span<const float> biases;
  if (bias != ValueId::none) biases = c.builder.value(bias).as<float>();
  if (weights.type == DType::f32) {
    FIRN_ASSIGN(weights, weights_to_int8(c, weights, scales.weight));
  }
  FIRN_ASSIGN(ValueId w, c.add_constant("integers", std::move(weights)));
  if (!perm.empty()) {
    FIRN_ASSIGN(w, c.transpose("integers", w, perm));
  }

  const std::vector<float> steps = weight_steps(scales, biases);
  const std::vector<int32_t> zeros(steps.size());
  Int8Operands operands;
  Value quantized = c.builder.value(w);
  quantized.quant = Quant{0, 8, 0, steps, zeros};
  FIRN_ASSIGN(operands.weights, c.add_constant("weights", std::move(quantized)));
  if (biases.empty()) return operands;

  std::vector<int32_t> sums;
  std::vector<float> bias_steps;
  for (size_t i = 0; i < biases.size(); ++i) {
    const float step = steps[i] / scales.bottom;
    const double sum = std::nearbyint(double{biases[i]} / step);
    if (!(std::abs(sum) <= std::numeric_limits<int32_t>::max())) {
      return c.malformed("bias " + std::to_string(biases[i]) + " in units of " +
                         std::to_string(step) + " passes 32 bits");
    }
    sums.push_back(static_cast<int32_t>(sum));
    bias_steps.push_back(step);
  }
  FIRN_ASSIGN(const ValueId plain,
              c.constant<int32_t>("sums", {static_cast<int32_t>(sums.size())}, sums));
  Value quantized_bias = c.builder.value(plain);
  quantized_bias.quant = Quant{0, 32, 0, std::move(bias_steps), zeros};
  FIRN_ASSIGN(operands.bias, c.add_constant("bias", std::move(quantized_bias)));
  return operands;
}

Result<ValueId> quantize_input(Context& c, ValueId x, float scale) {
  const std::optional<Quant>& given = c.builder.value(x).quant;
  if (given) {
    // Written with few digits on both sides.
    if (std::abs(given->scale[0] * scale - 1) < 1e-3f) return x;
    FIRN_ASSIGN(x, c.convert("real", x, DType::f32));
  }
  return c.emit("quantize", Convert{DType::i8}, {x}, symmetric(scale));
}

std::optional<Quant> output_quant(const Int8Scales& scales) {
  if (!scales.top) return std::nullopt;
  return symmetric(*scales.top);
}

Result<Value> dequantized(const Context& c, Value weights, const std::vector<float>& scales) {
  if (weights.type == DType::f32) return weights;
  for (const float scale : scales) FIRN_TRY(check_scale(c, "a weight scale", scale, true));
  const std::span<const int8_t> from = weights.as<int8_t>();
  FIRN_TRY(c.allow(from.size() * sizeof(float)));
  FIRN_ASSIGN(auto memory, Buffer::allocate(from.size() * sizeof(float)));
  auto* to = reinterpret_cast<float*>(memory.second.data());
  const size_t step = from.size() / scales.size();
  for (size_t i = 0; i < from.size(); ++i) {
    const float scale = scales[i / step];
    to[i] = scale == 0 ? 0 : static_cast<float>(from[i]) / scale;
  }
  weights.type = DType::f32;
  weights.constant = std::move(memory.first);
  return weights;
}

}  // namespace firn::ncnn
