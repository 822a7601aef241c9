// SPDX-License-Identifier: Apache-2.0
// Pass: per-channel arithmetic after a layer with 8-bit weights moves into their scales and its
// bias, so that the weights stay as they are. This is how normalisation behind layers that were
// trained quantized goes.
//
//   weights int8 -> Dequantize -> layer -> Mul, Div, Add, Sub by constant [C] or [] -> y
//   becomes     weights int8 -> Dequantize with scales * scale -> layer, bias -> y
#include <algorithm>
#include <cmath>

#include "runtime/passes/layer.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

bool is_symmetric_int8(const Value& weights) {
  return weights.type == DType::i8 && weights.quant && weights.quant->bits == 8 &&
         weights.quant->block == 0 && weights.quant->axis <= 0 &&
         std::ranges::all_of(weights.quant->zero, [](int32_t z) { return z == 0; }) &&
         std::ranges::find(weights.as<int8_t>(), int8_t{-128}) == weights.as<int8_t>().end();
}

// The int8 constant behind the weights of layer n, whose output has a dimension for each of its
// rows; none where it is no such layer.
ValueId weights_of(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const bool layer = std::holds_alternative<Conv2d>(node.op) ||
                     std::holds_alternative<ConvTranspose2d>(node.op) ||
                     std::holds_alternative<Dense>(node.op);
  if (!layer || !is_plain(rewrite, n)) return ValueId::none;
  const ValueId source = dequantized_from(rewrite, node.in[1]);
  const bool fits = source != ValueId::none && rewrite.is_constant(source) &&
                    is_symmetric_int8(rewrite.value(source));
  return fits ? source : ValueId::none;
}

Result<bool> fold(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr) return false;
  const std::optional<Affine> affine = affine_of(rewrite, n, rewrite.shape(node.out[0]).rank - 1);
  const int layer = affine ? rewrite.producer(affine->x) : -1;
  if (layer < 0 || !rewrite.has_one_reader(affine->x)) return false;
  const ValueId source = weights_of(rewrite, layer);
  if (source == ValueId::none || !clamp_of(rewrite.node(layer).op)->none()) return false;

  const Node before = rewrite.node(layer);
  const Value weights = rewrite.value(source);
  const size_t channels = affine->scale.size();
  std::vector<double> bias(channels);
  if (before.in.size() > 2 && before.in[2] != ValueId::none) {
    std::optional<std::vector<double>> found = constant_numbers(rewrite, before.in[2]);
    if (!found || found->size() != channels) return false;
    bias = *std::move(found);
  }
  std::vector<int8_t> q(weights.as<int8_t>().begin(), weights.as<int8_t>().end());
  const size_t row = q.size() / channels;
  std::vector<float> scale = weights.quant->scale;
  scale.resize(channels, scale[0]);
  for (size_t c = 0; c < channels; ++c) {
    const double by = affine->scale[c];
    for (int8_t& w : std::span(q).subspan(c * row, row))
      w = static_cast<int8_t>(by < 0 ? -w : by == 0 ? 0 : w);
    if (by != 0) scale[c] = static_cast<float>(scale[c] * std::abs(by));
    bias[c] = bias[c] * by + affine->shift[c];
    if (std::isnormal(scale[c]) && std::isfinite(static_cast<float>(bias[c]))) continue;
    rewrite.note(n, "the scales of the weights would leave their range");
    return false;
  }
  FIRN_ASSIGN(const ValueId scaled, rewrite.add_constant<int8_t>(weights.name, weights.shape, q));
  rewrite.graph().value(scaled).quant =
      Quant{0, 8, 0, std::move(scale), std::vector<int32_t>(channels)};
  FIRN_ASSIGN(const ValueId real, rewrite.add_dequantize(scaled, rewrite.value(before.in[1]).name));
  FIRN_ASSIGN(const ValueId sums,
              rewrite.add_floats(before.name + "_bias", {static_cast<int32_t>(channels)}, bias));
  rewrite.set_inputs(layer, {before.in[0], real, sums});
  rewrite.set_op(layer, with_clamp(before.op, op->clamp));
  rewrite.make(layer, node.out[0]);
  return true;
}

}  // namespace

Result<int> fold_affine_quantized(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fold_affine_quantized", fold);
}

}  // namespace firn
