// SPDX-License-Identifier: Apache-2.0
// Splits a Transpose before a Reshape in two, so that one half can sink past it.
//
//   x [N,H,W,g,c] -> Transpose 0,4,3,1,2 -> Reshape [N,cg,H,W]                  (a channel shuffle)
//   becomes     x -> Transpose 0,1,2,4,3 -> Reshape [N,H,W,cg] -> Transpose 0,3,1,2
//
// That pays only where the second half cancels further down, so optimize() tries it on a copy.
#include <algorithm>
#include <numeric>

#include "runtime/passes/match.h"
#include "runtime/passes/reshape_groups.h"
#include "runtime/passes/rewrite.h"
#include "runtime/passes/transpose_above.h"

namespace firn {
namespace {

Result<bool> split(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Reshape>(&node.op);
  const auto above = op ? transpose_above(rewrite, node.in[0]) : std::nullopt;
  if (!above || op->from_input) return false;
  const Shape in = rewrite.shape(node.in[0]);
  const Shape out = rewrite.shape(node.out[0]);
  if (!in.known() || !out.known()) return false;

  // Groups in the order of the source; within each, the order that the Reshape needs.
  const std::vector<ReshapeGroup> groups = reshape_groups(in, out);
  const auto place = [&](int g) {
    const ReshapeGroup& group = groups[static_cast<size_t>(g)];
    const auto first = above->perm.begin() + group.in_begin;
    const auto last = above->perm.begin() + group.in_end;
    return first == last ? int32_t{kMaxRank} : *std::min_element(first, last);
  };
  std::vector<int> order(groups.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, place);
  Perm first_half;
  for (int g : order) {
    const ReshapeGroup& group = groups[static_cast<size_t>(g)];
    first_half.insert(first_half.end(), above->perm.begin() + group.in_begin,
                      above->perm.begin() + group.in_end);
  }
  if (first_half == above->perm || is_identity(first_half)) return false;

  FIRN_ASSIGN(const ValueId half,
              rewrite.add(Transpose{first_half}, {above->source}, node.name + "_transpose"));
  ReorderedReshape up = reorder(*op, rewrite.shape(half), out, groups, order);
  rewrite.set_op(n, std::move(up.op));
  rewrite.set_input(n, 0, half);
  FIRN_TRY(rewrite.insert_after(n, Transpose{std::move(up.perm)}));
  return true;
}

}  // namespace

Result<int> split_transposes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "split_transposes", split);
}

}  // namespace firn
