// SPDX-License-Identifier: Apache-2.0
// Pass: a clamp (ReLU, ReLU6, Clip) moves into the operator before it.
//
//   x -> Conv2d, ConvTranspose2d, Dense, Add, ... -> clamp -> y   becomes   x -> op with clamp -> y
//   x -> clamp -> clamp -> y                                      becomes   x -> clamp -> y
//   x -> Max, Min with a constant scalar                          becomes   x -> clamp
#include <algorithm>
#include <limits>

#include "runtime/passes/layer.h"

namespace firn {
namespace {

// The clamp that does `first`, then `second`, also where the two ranges do not meet.
Clamp both(const Clamp& first, const Clamp& second) {
  const auto limit = [&](float v) { return std::min(std::max(v, second.lo), second.hi); };
  return {limit(first.lo), limit(first.hi)};
}

// What a node does if it is a clamp of one value, and that value.
struct ClampOf {
  ValueId x = ValueId::none;
  Clamp clamp;
};
std::optional<ClampOf> match(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  if (const auto* op = std::get_if<Unary>(&node.op)) {
    if (op->kind != Unary::Kind::clamp || !is_plain(rewrite, n)) return std::nullopt;
    return ClampOf{node.in[0], {op->alpha, op->beta}};
  }
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || (op->kind != Binary::Kind::max && op->kind != Binary::Kind::min))
    return std::nullopt;
  const std::optional<WithScalar> found = with_scalar(rewrite, n);
  if (!found || rewrite.shape(found->x) != rewrite.shape(node.out[0])) return std::nullopt;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float c = static_cast<float>(found->c);
  const Clamp own = op->kind == Binary::Kind::max ? Clamp{c, kInfinity} : Clamp{-kInfinity, c};
  return ClampOf{found->x, both(own, op->clamp)};
}

bool is_clamp(const Op& op) {
  const auto* unary = std::get_if<Unary>(&op);
  return unary != nullptr && unary->kind == Unary::Kind::clamp;
}

Result<bool> fuse(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const std::optional<ClampOf> found = match(rewrite, n);
  if (!found) return false;
  const Unary alone{Unary::Kind::clamp, found->clamp.lo, found->clamp.hi};
  const bool rename = !is_clamp(node.op);
  if (rename) {
    rewrite.set_op(n, alone);
    rewrite.set_inputs(n, {found->x});
  }

  const int before = rewrite.producer(found->x);
  if (before < 0) return rename;
  const Op& op = rewrite.node(before).op;
  const Clamp* fused = clamp_of(op);
  if (fused == nullptr && !is_clamp(op)) return rename;
  if (!is_plain(rewrite, before)) return rename;
  if (!rewrite.has_one_reader(found->x)) {
    rewrite.note(n, "others read " + rewrite.value(found->x).name + ", too");
    return rename;
  }
  if (fused != nullptr) {
    rewrite.set_op(before, with_clamp(op, both(*fused, found->clamp)));
  } else {
    const Unary inner = std::get<Unary>(op);
    const Clamp merged = both({inner.alpha, inner.beta}, found->clamp);
    rewrite.set_op(before, Unary{Unary::Kind::clamp, merged.lo, merged.hi});
  }
  rewrite.make(before, node.out[0]);
  return true;
}

}  // namespace

Result<int> fuse_clamp(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fuse_clamp", fuse);
}

}  // namespace firn
