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

// int8, symmetric, with one scale or one per output channel.
bool fits_kernels(const Value& weights) {
  const auto is_zero = [](int32_t z) { return z == 0; };
  return weights.constant != nullptr && weights.type == DType::i8 && weights.quant &&
         weights.quant->bits == 8 && weights.quant->block == 0 && weights.quant->axis <= 0 &&
         weights.shape.elements() > 0 && std::ranges::all_of(weights.quant->zero, is_zero);
}

bool is_depthwise(const Rewrite& rewrite, const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  return conv != nullptr && conv->groups > 1 && conv->groups == rewrite.shape(node.in[0])[3] &&
         conv->groups == rewrite.shape(node.in[1])[0];
}

// The bias in `units`, one per channel; nothing where it is not constant, or int32 does not hold it.
std::optional<std::vector<int32_t>> bias_in_units(const Rewrite& rewrite, ValueId bias,
                                                  const std::vector<float>& units) {
  const ValueId source = dequantized_from(rewrite, bias);
  const Value& value = rewrite.value(source != ValueId::none ? source : bias);
  const bool integers = value.type == DType::i32 && value.quant && value.quant->axis <= 0 &&
                        value.quant->block == 0;
  if (value.constant == nullptr || value.shape.elements() != units.size() ||
      (!integers && !is_plain(value)))
    return std::nullopt;
  std::vector<int32_t> rounded;
  for (size_t c = 0; c < units.size(); ++c) {
    double in_units = 0;
    if (integers) {
      // Stated in these very units, but for the rounding of their product, it is exact.
      const float scale = value.quant->scale[value.quant->per_tensor() ? 0 : c];
      const double ratio = double{scale} / double{units[c]};
      constexpr double kSame = 1e-5;
      in_units = value.as<int32_t>()[c] * (std::abs(ratio - 1) < kSame ? 1.0 : ratio);
    } else {
      in_units = double{value.as<float>()[c]} / double{units[c]};
    }
    in_units = std::nearbyint(in_units);
    if (!(std::abs(in_units) <= INT32_MAX)) return std::nullopt;
    rounded.push_back(static_cast<int32_t>(in_units));
  }
  return rounded;
}

// Whether int32 holds all sums: 255 is an input's largest distance to its zero point.
bool sums_fit(const Value& weights, const std::vector<int32_t>& bias) {
  const std::span<const int8_t> all = weights.as<int8_t>();
  const size_t channels = static_cast<size_t>(weights.shape[0]), row = all.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    int64_t sum = bias.empty() ? 0 : std::abs(int64_t{bias[c]});
    for (const int8_t w : all.subspan(c * row, row)) sum += 255 * std::abs(int64_t{w});
    if (sum > INT32_MAX) return false;
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
  if (!fits_kernels(weights)) {
    rewrite.note(n, "its weights are not symmetric int8 with scales per output channel");
    return false;
  }
  const int quantizer = quantizer_of(rewrite, node.out[0]);
  if (quantizer < 0 && (!float_output || is_depthwise(rewrite, node))) return false;

  FIRN_ASSIGN(const ValueId x, int8_behind(rewrite, node.in[0]));
  const Value& scaled = rewrite.value(w);
  const size_t channels = static_cast<size_t>(scaled.shape[0]);
  std::vector<float> units;
  for (size_t c = 0; c < channels; ++c) {
    const float scale = scaled.quant->scale[scaled.quant->per_tensor() ? 0 : c];
    units.push_back(rewrite.value(x).quant->scale[0] * scale);
    if (std::isnormal(units.back())) continue;
    rewrite.note(n, "the product of its scales is " + std::to_string(units.back()));
    return false;
  }
  std::vector<ValueId> in{x, w};
  std::vector<int32_t> sums;
  if (node.in.size() > 2 && node.in[2] != ValueId::none) {
    std::optional<std::vector<int32_t>> rounded = bias_in_units(rewrite, node.in[2], units);
    if (!rounded) {
      rewrite.note(n, "its bias is not constant or does not fit int32");
      return false;
    }
    sums = *std::move(rounded);
  }
  if (!sums_fit(scaled, sums)) {
    rewrite.note(n, "its sums do not fit int32");
    return false;
  }
  if (!sums.empty()) {
    FIRN_ASSIGN(const ValueId bias,
                rewrite.add_constant<int32_t>(rewrite.value(node.in[2]).name,
                                              {static_cast<int32_t>(channels)}, sums));
    rewrite.graph().value(bias).quant =
        Quant{0, 32, 0, std::move(units), std::vector<int32_t>(channels)};
    in.push_back(bias);
  }
  rewrite.set_inputs(n, std::move(in));
  if (quantizer >= 0) rewrite.make(n, rewrite.node(quantizer).out[0]);
  return true;
}

}  // namespace firn
