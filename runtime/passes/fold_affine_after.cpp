// SPDX-License-Identifier: Apache-2.0
// Pass: per-channel arithmetic after a layer moves into its weights and bias. This is how batch
// normalisation and separate biases go.
//
//   x -> Conv2d, ConvTranspose2d, Dense -> Mul, Div, Add, Sub by constant [C] or [] -> y
//   becomes     x -> layer, weights * scale, bias * scale + shift -> y
#include "runtime/passes/layer.h"

namespace firn {
namespace {

Result<bool> fold(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr) return false;
  const std::optional<Affine> affine = affine_of(rewrite, n, rewrite.shape(node.out[0]).rank - 1);
  if (!affine) return false;
  const int layer = rewrite.producer(affine->x);
  if (layer < 0 || !is_foldable_layer(rewrite, layer)) return false;
  if (!rewrite.has_one_reader(affine->x)) {
    rewrite.note(n, "others read " + rewrite.value(affine->x).name + ", too");
    return false;
  }
  if (!clamp_of(rewrite.node(layer).op)->none()) return false;

  const std::span<const float> before = rewrite.value(rewrite.node(layer).in[1]).as<float>();
  std::vector<double> bias = bias_of(rewrite, layer);
  const size_t filter = bias.empty() ? 0 : before.size() / bias.size();
  std::vector<float> weights(before.size());
  for (size_t c = 0; c < bias.size(); ++c) {
    bias[c] = bias[c] * affine->scale[c] + affine->shift[c];
    for (size_t i = c * filter; i < (c + 1) * filter; ++i)
      weights[i] = static_cast<float>(before[i] * affine->scale[c]);
  }
  FIRN_ASSIGN(const bool folded, set_constants(rewrite, layer, std::move(weights), bias));
  if (!folded) {
    rewrite.note(n, "the weights would overflow");
    return false;
  }
  rewrite.set_op(layer, with_clamp(rewrite.node(layer).op, op->clamp));
  rewrite.make(layer, node.out[0]);
  return true;
}

}  // namespace

Result<int> fold_affine_after(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fold_affine_after", fold);
}

}  // namespace firn
