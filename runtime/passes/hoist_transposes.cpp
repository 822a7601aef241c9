// SPDX-License-Identifier: Apache-2.0
// Pass: moves a Transpose up over a Reshape where it meets another one: two become one. This is
// what NCHW channel shuffles leave.
//
//   x -> Transpose p -> Reshape -> Transpose q -> z     becomes     x -> Transpose -> Reshape -> z
#include "runtime/passes/match.h"
#include "runtime/passes/reshape_groups.h"
#include "runtime/passes/rewrite.h"
#include "runtime/passes/transpose_above.h"

namespace firn {
namespace {

Result<bool> hoist(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto lower = transpose_above(rewrite, node.out[0]);
  if (!lower || !rewrite.has_one_reader(lower->source)) return false;
  const auto* reshape = rewrite.made_by<Reshape>(lower->source);
  if (reshape == nullptr || reshape->from_input) return false;
  const ValueId t = rewrite.node(rewrite.producer(lower->source)).in[0];
  const auto upper = transpose_above(rewrite, t);
  if (!upper || !same_encoding(rewrite.value(t), rewrite.value(lower->source))) return false;
  if (!rewrite.has_one_reader(t)) {
    rewrite.note(n, "others read the Transpose before the Reshape, too");
    return false;
  }

  const Shape& t_shape = rewrite.shape(t);
  const Shape& z_shape = rewrite.shape(node.out[0]);
  if (!t_shape.known() || !z_shape.known()) return false;
  const std::vector<ReshapeGroup> groups = reshape_groups(t_shape, rewrite.shape(lower->source));
  const Perm place = inverse(lower->perm);
  std::vector<std::vector<int>> axes;  // of z, for each group
  for (const ReshapeGroup& group : groups)
    axes.emplace_back(place.begin() + group.out_begin, place.begin() + group.out_end);
  const auto order = group_order(z_shape, axes);
  if (!order) return false;

  Perm moved;
  for (int g : *order) {
    const ReshapeGroup& group = groups[static_cast<size_t>(g)];
    for (int axis = group.in_begin; axis < group.in_end; ++axis) moved.push_back(axis);
  }
  Reshape target = reshape_to(permuted(t_shape, moved), z_shape);
  for (size_t i = 1; i < target.shape.size(); ++i)
    if (reshape->shape[static_cast<size_t>(lower->perm[i])] == -1) target.shape[i] = -1;
  FIRN_ASSIGN(const ValueId merged,
              rewrite.add(Transpose{composed(upper->perm, moved)}, {upper->source}, node.name));
  rewrite.set_op(n, std::move(target));
  rewrite.set_input(n, 0, merged);
  return true;
}

}  // namespace

Result<int> hoist_transposes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "hoist_transposes", hoist);
}

}  // namespace firn
