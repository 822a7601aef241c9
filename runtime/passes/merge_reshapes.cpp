// SPDX-License-Identifier: Apache-2.0
// Pass: makes one Reshape of two, and its target as free of the batch size as it can be.
//
//   x -> Reshape -> Reshape -> y     becomes     x -> Reshape -> y
//   Reshape by a constant in[1]                  Reshape by its own list
//   [1, 64] where x's first dimension is 1       [0, 64]
#include <limits>
#include <optional>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

std::optional<std::vector<int32_t>> constant_target(const Value& value) {
  std::vector<int32_t> target;
  for (int64_t d : value.as<int64_t>()) {
    if (d < -1 || d > std::numeric_limits<int32_t>::max()) return std::nullopt;
    target.push_back(static_cast<int32_t>(d));
  }
  return target;
}

// The target of x -> inner -> mid -> outer.
std::vector<int32_t> merged(const Shape& x, const Reshape& inner, const Shape& mid,
                            const Reshape& outer) {
  std::vector<int32_t> target = outer.shape;
  bool open = false;  // a -1 is there already
  for (int32_t d : target) open = open || d == -1;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] != 0) continue;
    const int axis = static_cast<int>(i);
    const bool copied = !inner.from_input && inner.shape[i] == 0;
    if (copied || (i == 0 && x.rank > 0 && x[0] == mid[0])) continue;
    const bool rest = !inner.from_input && inner.shape[i] == -1 && !open;
    target[i] = rest ? -1 : mid[axis];
    open = open || rest;
  }
  return target;
}

Result<bool> merge(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Reshape>(&node.op);
  if (op == nullptr) return false;
  const Shape& in = rewrite.shape(node.in[0]);
  const Shape& out = rewrite.shape(node.out[0]);
  if (!in.known() || !out.known()) return false;

  if (op->from_input) {
    if (!rewrite.is_constant(node.in[1]) || rewrite.value(node.in[1]).type != DType::i64)
      return false;
    const auto target = constant_target(rewrite.value(node.in[1]));
    if (!target) return false;
    rewrite.set_op(n, Reshape{*target, false});
    rewrite.set_inputs(n, {node.in[0]});
    return true;
  }

  if (const auto* inner = rewrite.made_by<Reshape>(node.in[0])) {
    const ValueId x = rewrite.node(rewrite.producer(node.in[0])).in[0];
    if (rewrite.shape(x).known() && same_encoding(rewrite.value(x), rewrite.value(node.in[0]))) {
      rewrite.set_op(n, Reshape{merged(rewrite.shape(x), *inner, in, *op), false});
      rewrite.set_input(n, 0, x);
      return true;
    }
    rewrite.note(n, "the Reshape before it changes the quantization");
  }

  if (in.rank == 0 || out.rank == 0 || op->shape[0] <= 0 || in[0] != out[0]) return false;
  Reshape open = *op;
  open.shape[0] = 0;
  rewrite.set_op(n, std::move(open));
  return true;
}

}  // namespace

Result<int> merge_reshapes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "merge_reshapes", merge);
}

}  // namespace firn
