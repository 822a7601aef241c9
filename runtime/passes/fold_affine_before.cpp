// SPDX-License-Identifier: Apache-2.0
// Pass: per-channel arithmetic before a layer moves into its weights and bias, as input
// normalisation does.
//
//   x -> Mul, Div by constant [C] or [] -> (Transpose) -> Conv2d, ConvTranspose2d, Dense
//   x -> Add, Sub                       -> (Transpose) -> Conv2d without padding, Dense
//   becomes     x -> (Transpose) -> layer, weights * scale, bias + sum of weights * shift
//
// A shift before padding stays: the padding is not shifted.
#include <algorithm>

#include "runtime/passes/layer.h"

namespace firn {
namespace {

// How many groups the channels fall into, and whether every weight meets every input of its
// channel.
struct Reach {
  int32_t groups = 1;
  bool everywhere = false;
};

Reach reach_of(const Op& op) {
  if (const auto* o = std::get_if<Conv2d>(&op)) return {o->groups, o->window.pad == Window{}.pad};
  if (const auto* o = std::get_if<ConvTranspose2d>(&op)) return {o->groups, false};
  return {1, true};
}

Result<bool> fold(Rewrite& rewrite, int n) {
  if (!is_foldable_layer(rewrite, n)) return false;
  const Node node = rewrite.node(n);
  // The layer's channels as an axis of the Binary's output.
  ValueId y = node.in[0];
  int axis = rewrite.shape(y).rank - 1;
  int transpose = -1;
  if (const auto* op = rewrite.made_by<Transpose>(y)) {
    if (!rewrite.has_one_reader(y)) return false;
    transpose = rewrite.producer(y);
    axis = op->perm.back();
    y = rewrite.node(transpose).in[0];
  }
  const int binary = rewrite.producer(y);
  const std::optional<Affine> affine = binary < 0 ? std::nullopt : affine_of(rewrite, binary, axis);
  if (!affine || !clamp_of(rewrite.node(binary).op)->none()) return false;
  if (!rewrite.has_one_reader(y)) {
    rewrite.note(n, "others read " + rewrite.value(y).name + ", too");
    return false;
  }
  const Reach reach = reach_of(node.op);
  const bool shifts = std::ranges::any_of(affine->shift, [](double s) { return s != 0; });
  if (shifts && !reach.everywhere) {
    rewrite.note(n, "padding is not shifted with " + rewrite.value(affine->x).name);
    return false;
  }

  const std::span<const float> before = rewrite.value(node.in[1]).as<float>();
  const Shape& shape = rewrite.shape(node.in[1]);
  const size_t per_group = static_cast<size_t>(shape[shape.rank - 1]);  // input channels
  std::vector<double> bias = bias_of(rewrite, n);
  const size_t filter = bias.empty() ? 0 : before.size() / bias.size();
  const size_t outputs_per_group =
      std::max<size_t>(1, bias.size() / static_cast<size_t>(reach.groups));
  std::vector<float> weights(before.size());
  for (size_t c = 0; c < bias.size(); ++c) {
    const size_t first = c / outputs_per_group * per_group;
    for (size_t i = 0; i < filter; ++i) {
      const size_t channel = first + i % per_group;
      const double weight = before[c * filter + i];
      weights[c * filter + i] = static_cast<float>(weight * affine->scale[channel]);
      bias[c] += weight * affine->shift[channel];
    }
  }
  FIRN_ASSIGN(const bool folded, set_constants(rewrite, n, std::move(weights), bias));
  if (!folded) {
    rewrite.note(n, "the weights would overflow");
    return false;
  }
  if (transpose >= 0)
    rewrite.set_input(transpose, 0, affine->x);
  else
    rewrite.set_input(n, 0, affine->x);
  return true;
}

}  // namespace

Result<int> fold_affine_before(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fold_affine_before", fold);
}

}  // namespace firn
