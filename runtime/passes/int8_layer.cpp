// SPDX-License-Identifier: Apache-2.0
// Layers between Dequantizes and a Quantize become int8 ones: weights as they are, biases in units
// of the products.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "runtime/int8_ops.h"
#include "runtime/passes/match.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

bool is_depthwise(const Rewrite& rewrite, const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  return conv != nullptr && conv->groups > 1 && conv->groups == rewrite.shape(node.in[0])[3] &&
         conv->groups == rewrite.shape(node.in[1])[0];
}

// A layer's constants: weights and bias of channel c are in units of scale[c], and of scale[c]
// times the input's.
struct Channels {
  std::vector<int8_t> weights;
  std::vector<int32_t> zero;
  std::vector<float> scale;
  std::vector<double> bias;  // empty where there is none
  size_t row() const { return weights.size() / scale.size(); }
};

// Whether int32 holds all sums of channel c when its unit is `factor` times as large: 255 is an
// input's largest distance to its zero point, and rounding may add half a step to each weight.
bool sums_fit(const Channels& channels, size_t c, double factor) {
  const std::span<const int8_t> all = channels.weights;
  double sum = channels.bias.empty() ? 0 : std::abs(channels.bias[c]) / factor;
  if (factor > 1) sum += 255 * 0.5 * static_cast<double>(channels.row());
  for (const int8_t w : all.subspan(c * channels.row(), channels.row()))
    sum += 255 / factor * std::abs(w - channels.zero[c]);
  return sum <= INT32_MAX;
}

// Biases in their units, rounded. A channel whose bias dwarfs its weights, as folded normalisation
// leaves behind dead ones, is given a larger unit, in which its weights are as precise as its sums
// need. False where none will do.
bool fit_channels(Channels& channels, float input_scale) {
  for (size_t c = 0; c < channels.scale.size(); ++c) {
    // Rounded, as those round it who state biases in this unit.
    const double unit = channels.scale[c] * input_scale;
    if (!channels.bias.empty()) channels.bias[c] /= unit;
    double factor = 1;
    constexpr double kMost = 1e60;
    while (factor < kMost &&
           !(std::isnormal(static_cast<float>(unit * factor)) && sums_fit(channels, c, factor)))
      factor *= 2;
    const float scale = static_cast<float>(double{channels.scale[c]} * factor);
    if (factor >= kMost || !std::isnormal(scale)) return false;
    channels.scale[c] = scale;
    if (!channels.bias.empty()) channels.bias[c] = std::nearbyint(channels.bias[c] / factor);
    if (factor == 1) continue;
    for (int8_t& w : std::span(channels.weights).subspan(c * channels.row(), channels.row()))
      w = static_cast<int8_t>(
          std::clamp(std::nearbyint((w - channels.zero[c]) / factor), -128.0, 127.0));
    channels.zero[c] = 0;
  }
  return true;
}

}  // namespace

Result<bool> make_int8_layer(Rewrite& rewrite, int n, bool float_output) {
  const Node node = rewrite.node(n);
  const bool layer =
      std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
  if (!layer || !is_from_int8(rewrite, node.in[0])) return false;
  const ValueId w = dequantized_from(rewrite, node.in[1]);
  if (w == ValueId::none || !rewrite.is_constant(w)) return false;
  const Value& weights = rewrite.value(w);
  if (!is_int8_weights(weights) || weights.shape.elements() == 0) {
    rewrite.note(n, "its weights are not int8 with scales per output channel");
    return false;
  }
  const int quantizer = quantizer_of(rewrite, node.out[0]);
  if (quantizer < 0 && (!float_output || is_depthwise(rewrite, node))) return false;

  const size_t count = static_cast<size_t>(weights.shape[0]);
  Channels channels;
  channels.weights.assign(weights.as<int8_t>().begin(), weights.as<int8_t>().end());
  channels.scale = weights.quant->scale;
  channels.scale.resize(count, channels.scale[0]);
  const std::vector<float> stated_scale = channels.scale;
  channels.zero = weights.quant->zero;
  channels.zero.resize(count, channels.zero[0]);
  if (node.in.size() > 2 && node.in[2] != ValueId::none) {
    std::optional<std::vector<double>> bias = constant_numbers(rewrite, node.in[2]);
    if (!bias || bias->size() != count) {
      rewrite.note(n, "its bias is not constant");
      return false;
    }
    channels.bias = *std::move(bias);
  }
  FIRN_ASSIGN(const ValueId x, int8_behind(rewrite, node.in[0]));
  const float input_scale = rewrite.value(x).quant->scale[0];
  if (!fit_channels(channels, input_scale)) {
    rewrite.note(n, "its sums do not fit int32");
    return false;
  }

  std::vector<ValueId> in{x, w};
  if (channels.scale != stated_scale) {
    const Value stated = rewrite.value(w);
    FIRN_ASSIGN(in[1], rewrite.add_constant<int8_t>(stated.name, stated.shape, channels.weights));
    rewrite.graph().value(in[1]).quant = Quant{0, 8, 0, channels.scale, channels.zero};
  }
  if (!channels.bias.empty()) {
    const std::vector<int32_t> sums(channels.bias.begin(), channels.bias.end());
    std::vector<float> units;
    for (const float scale : channels.scale) units.push_back(scale * input_scale);
    FIRN_ASSIGN(const ValueId bias,
                rewrite.add_constant<int32_t>(rewrite.value(node.in[2]).name,
                                              {static_cast<int32_t>(count)}, sums));
    rewrite.graph().value(bias).quant =
        Quant{0, 32, 0, std::move(units), std::vector<int32_t>(count)};
    in.push_back(bias);
  }
  rewrite.set_inputs(n, std::move(in));
  if (quantizer >= 0) rewrite.make(n, rewrite.node(quantizer).out[0]);
  return true;
}

}  // namespace firn
