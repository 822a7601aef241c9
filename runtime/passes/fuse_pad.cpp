// SPDX-License-Identifier: Apache-2.0
// Pass: a Pad around height and width moves into the window after it.
//
//   x -> Pad by 0          -> (Transpose) -> Conv2d
//   x -> Pad by 0          -> (Transpose) -> AveragePool that counts padding, or has none
//   x -> Pad by <= min(x)  -> (Transpose) -> MaxPool, every window of which sees some of x
//   becomes     x -> (Transpose) -> op with padding
#include <limits>

#include "runtime/passes/layer.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

// A Pad, seen from below the Transpose, if one is between.
struct Found {
  int pad = -1, transpose = -1;
  std::array<int32_t, 4> window{};  // top, left, bottom, right
};

std::optional<Found> find_pad(const Rewrite& rewrite, int n) {
  Found found;
  ValueId y = rewrite.node(n).in[0];
  Perm perm{0, 1, 2, 3};
  if (const auto* op = rewrite.made_by<Transpose>(y)) {
    if (!rewrite.has_one_reader(y)) return std::nullopt;
    perm = op->perm;
    found.transpose = rewrite.producer(y);
    y = rewrite.node(found.transpose).in[0];
  }
  const auto* pad = rewrite.made_by<Pad>(y);
  if (pad == nullptr || pad->mode != Pad::Mode::constant || perm.size() != 4 ||
      pad->before.size() != 4)
    return std::nullopt;
  found.pad = rewrite.producer(y);
  if (!rewrite.has_one_reader(y)) return std::nullopt;
  for (size_t axis = 0; axis < 4; ++axis) {
    const int32_t before = pad->before[static_cast<size_t>(perm[axis])];
    const int32_t after = pad->after[static_cast<size_t>(perm[axis])];
    const bool spatial = axis == 1 || axis == 2;
    if (before < 0 || after < 0 || (!spatial && (before != 0 || after != 0))) return std::nullopt;
    if (!spatial) continue;
    found.window[axis - 1] = before;
    found.window[axis + 1] = after;
  }
  return found;
}

// A bound below all values of `id`, from the clamp of what makes it.
float least(const Rewrite& rewrite, ValueId id) {
  const int n = rewrite.producer(id);
  if (n >= 0 && is_plain(rewrite.value(id))) {
    const Op& op = rewrite.node(n).op;
    if (const Clamp* clamp = clamp_of(op)) return clamp->lo;
    if (const auto* unary = std::get_if<Unary>(&op); unary && unary->kind == Unary::Kind::clamp)
      return unary->alpha;
    if (std::holds_alternative<Transpose>(op)) return least(rewrite, rewrite.node(n).in[0]);
  }
  return std::numeric_limits<float>::lowest();
}

// The operator with more padding, or nothing where that computes something else.
std::optional<Op> padded(const Rewrite& rewrite, const Op& op, const Found& found) {
  const Node& pad_node = rewrite.node(found.pad);
  const float value = std::get<Pad>(pad_node.op).value;
  const auto widen = [&](Window window) {
    for (size_t i = 0; i < 4; ++i) window.pad[i] += found.window[i];
    return window;
  };
  if (const auto* conv = std::get_if<Conv2d>(&op)) {
    if (value != 0) return std::nullopt;
    Conv2d wider = *conv;
    wider.window = widen(conv->window);
    return wider;
  }
  const auto* pool = std::get_if<Pool2d>(&op);
  if (pool == nullptr || pool->ceil || pool->window.dilation != Window{}.dilation)
    return std::nullopt;
  Pool2d wider = *pool;
  wider.window = widen(pool->window);
  if (pool->kind == Pool2d::Kind::average) {
    const bool counts = pool->count_pad || pool->window.pad == Window{}.pad;
    if (value != 0 || !counts) return std::nullopt;
    wider.count_pad = true;
    return wider;
  }
  for (size_t i = 0; i < 4; ++i)
    if (wider.window.pad[i] >= wider.window.kernel[i % 2]) return std::nullopt;
  if (value > least(rewrite, pad_node.in[0])) return std::nullopt;
  return wider;
}

Result<bool> fuse(Rewrite& rewrite, int n) {
  const Op& op = rewrite.node(n).op;
  if (!std::holds_alternative<Conv2d>(op) && !std::holds_alternative<Pool2d>(op)) return false;
  const std::optional<Found> found = find_pad(rewrite, n);
  if (!found) return false;
  // Of quantized values a convolution pads with their zero point, which is 0 as well.
  const Node& pad = rewrite.node(found->pad);
  const bool quantized_alike =
      std::holds_alternative<Conv2d>(op) && is_int8(rewrite.value(pad.in[0])) &&
      same_encoding(rewrite.value(pad.in[0]), rewrite.value(pad.out[0])) &&
      same_encoding(rewrite.value(pad.in[0]), rewrite.value(rewrite.node(n).in[0]));
  if (!quantized_alike && (!is_plain(rewrite, n) || !is_plain(rewrite, found->pad))) {
    rewrite.note(n, "the padding before it is quantized");
    return false;
  }
  std::optional<Op> wider = padded(rewrite, op, *found);
  if (!wider) {
    rewrite.note(n, "does not pad as " + describe(rewrite.node(found->pad)) + " does");
    return false;
  }
  const ValueId x = rewrite.node(found->pad).in[0];
  rewrite.set_op(n, std::move(*wider));
  if (found->transpose < 0) {
    rewrite.set_input(n, 0, x);
    return true;
  }
  rewrite.set_input(found->transpose, 0, x);
  FIRN_TRY(rewrite.infer_again(found->transpose));
  return true;
}

}  // namespace

Result<int> fuse_pad(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fuse_pad", fuse);
}

}  // namespace firn
