// SPDX-License-Identifier: Apache-2.0
// Pass: moves Transposes down through operators, so that they meet others and cancel.
//
//   x -> Transpose -> op     becomes     x -> op' -> Transpose
//
// where op is element by element, a Concat, Pad, Slice, Expand, Softmax, reduction, Gather, Dense
// or Reshape that can work on x as it lies. All other inputs must come from Transposes alike or
// move for free, so that a Transpose is never added, only moved down: the pass ends.
#include <algorithm>

#include "runtime/passes/match.h"
#include "runtime/passes/reshape_groups.h"
#include "runtime/passes/rewrite.h"
#include "runtime/passes/transpose_above.h"

namespace firn {
namespace {

// What the operator is on untransposed inputs, and what its result still needs.
struct Sunk {
  Op op;
  Perm perm;
};

// One operator to move: its shapes as they are below the Transpose.
struct Site {
  const Rewrite& rewrite;
  const Node& node;
  const Perm& perm;     // of the Transpose above
  const Shape& source;  // what it transposes
  const Shape& out;
  size_t rank() const { return perm.size(); }
  int32_t above(int32_t axis) const {
    return perm[static_cast<size_t>(axis < 0 ? axis + static_cast<int32_t>(rank()) : axis)];
  }
};

// What is left of a permutation when `axes`, counted below it, are reduced away.
Perm without(const Perm& perm, const std::vector<int32_t>& axes) {
  Perm left;
  for (size_t i = 0; i < perm.size(); ++i)
    if (std::ranges::find(axes, static_cast<int32_t>(i)) == axes.end()) left.push_back(perm[i]);
  Perm result;
  for (int32_t axis : left)
    result.push_back(static_cast<int32_t>(
        std::ranges::count_if(left, [axis](int32_t other) { return other < axis; })));
  return result;
}

std::vector<int32_t> moved_up(const std::vector<int32_t>& per_axis, const Perm& perm) {
  std::vector<int32_t> result(per_axis.size());
  for (size_t i = 0; i < per_axis.size(); ++i) result[static_cast<size_t>(perm[i])] = per_axis[i];
  return result;
}

std::optional<Sunk> sink(const Reduce& op, const Site& site) {
  Reduce up = op;
  for (int32_t& axis : up.axes) axis = site.above(axis);
  std::ranges::sort(up.axes);
  return Sunk{up, op.keep ? site.perm : without(site.perm, op.axes)};
}

std::optional<Sunk> sink(const ArgMax& op, const Site& site) {
  const int32_t axis = op.axis < 0 ? op.axis + static_cast<int32_t>(site.rank()) : op.axis;
  return Sunk{ArgMax{site.above(axis), op.keep, op.min},
              op.keep ? site.perm : without(site.perm, {axis})};
}

std::optional<Sunk> sink(const Softmax& op, const Site& site) {
  const int32_t last = static_cast<int32_t>(site.rank()) - 1;
  const bool was_innermost = op.axis == -1 || op.axis == last;
  if (was_innermost && site.above(op.axis) != last) return std::nullopt;  // strides cost more
  return Sunk{Softmax{site.above(op.axis), op.log}, site.perm};
}

std::optional<Sunk> sink(const Pad& op, const Site& site) {
  return Sunk{Pad{op.mode, moved_up(op.before, site.perm), moved_up(op.after, site.perm), op.value},
              site.perm};
}

std::optional<Sunk> sink(const Slice& op, const Site& site) {
  return Sunk{Slice{moved_up(op.begin, site.perm), moved_up(op.end, site.perm),
                    moved_up(op.step, site.perm)},
              site.perm};
}

std::optional<Sunk> sink(const Gather& op, const Site& site) {
  const Shape& indices = site.rewrite.shape(site.node.in[1]);
  const int32_t axis = op.axis < 0 ? op.axis + static_cast<int32_t>(site.rank()) : op.axis;
  if (indices.rank > 1) return std::nullopt;
  return Sunk{Gather{site.above(axis)}, indices.rank == 1 ? site.perm : without(site.perm, {axis})};
}

std::optional<Sunk> sink(const Dense& op, const Site& site) {
  const int32_t last = static_cast<int32_t>(site.rank()) - 1;
  if (site.perm.back() != last) return std::nullopt;
  return Sunk{op, site.perm};
}

std::optional<Sunk> sink(const Reshape& op, const Site& site) {
  if (op.from_input || !site.source.known() || !site.out.known()) return std::nullopt;
  const std::vector<ReshapeGroup> groups =
      reshape_groups(permuted(site.source, site.perm), site.out);
  std::vector<std::vector<int>> axes;  // of the source, for each group
  for (const ReshapeGroup& group : groups)
    axes.emplace_back(site.perm.begin() + group.in_begin, site.perm.begin() + group.in_end);
  const auto order = group_order(site.source, axes);
  if (!order) return std::nullopt;

  ReorderedReshape up = reorder(op, site.source, site.out, groups, *order);
  return Sunk{std::move(up.op), std::move(up.perm)};
}

// Quantized uint8 is what users see of int8: nothing but a Convert is to work on it.
std::optional<Sunk> sink(const Convert& op, const Site& site) {
  const Value& out = site.rewrite.value(site.node.out[0]);
  if (out.type == DType::u8 && out.quant) return std::nullopt;
  return Sunk{op, site.perm};
}

std::optional<Sunk> sink(const Unary& op, const Site& site) {
  return Sunk{op, site.perm};
}

template <typename T>
std::optional<Sunk> sink(const T&, const Site&) {
  return std::nullopt;
}

// Operators all of whose inputs are to be seen through the Transpose; the others look at in[0]
// alone.
bool reads_alike(const Op& op) {
  return std::holds_alternative<Binary>(op) || std::holds_alternative<PRelu>(op) ||
         std::holds_alternative<Where>(op) || std::holds_alternative<Concat>(op);
}

Op moved_up(const Op& op, const Perm& perm) {
  const auto* concat = std::get_if<Concat>(&op);
  if (concat == nullptr) return op;
  const int32_t rank = static_cast<int32_t>(perm.size());
  return Concat{perm[static_cast<size_t>(concat->axis < 0 ? concat->axis + rank : concat->axis)]};
}

Result<bool> sink_alike(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const Value& out = rewrite.value(node.out[0]);
  // The permutation of the largest transposed input: small ones often move for free.
  std::optional<TransposeAbove> above;
  for (ValueId id : node.in) {
    const auto found = transpose_above(rewrite, id);
    if (!found || found->perm.size() != out.shape.rank) continue;
    if (!above || rewrite.shape(found->source).elements() > rewrite.shape(above->source).elements())
      above = found;
  }
  if (!above) return false;
  const auto seen = [&](ValueId id) {
    const bool rank_fits =
        !std::holds_alternative<Concat>(node.op) || rewrite.shape(id).rank == above->perm.size();
    return rank_fits && can_see_through(rewrite, id, above->perm);
  };
  if (const auto odd = std::ranges::find_if_not(node.in, seen); odd != node.in.end()) {
    rewrite.note(n,
                 "its input " + rewrite.value(*odd).name + " does not come from such a Transpose");
    return false;
  }
  std::vector<ValueId> in;
  for (ValueId id : node.in) {
    FIRN_ASSIGN(in.emplace_back(), see_through(rewrite, id, above->perm));
  }
  rewrite.set_op(n, moved_up(node.op, above->perm));
  rewrite.set_inputs(n, std::move(in));
  FIRN_TRY(rewrite.insert_after(n, Transpose{above->perm}));
  return true;
}

// An Expand to a constant shape, which is permuted with it.
Result<bool> sink_expand(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto above = transpose_above(rewrite, node.in[0]);
  const Shape& out = rewrite.shape(node.out[0]);
  if (!above || !rewrite.is_constant(node.in[1]) || above->perm.size() != out.rank) return false;
  const Shape up = permuted(out, inverse(above->perm));
  const std::vector<int64_t> target(up.dims().begin(), up.dims().end());
  FIRN_ASSIGN(const ValueId shape,
              rewrite.add_constant<int64_t>(node.name + "_shape", {up.rank}, target));
  rewrite.set_inputs(n, {above->source, shape});
  FIRN_TRY(rewrite.insert_after(n, Transpose{above->perm}));
  return true;
}

Result<bool> sink_one(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const Value& out = rewrite.value(node.out[0]);
  if (out.quant && !out.quant->per_tensor()) return false;
  if (std::holds_alternative<Expand>(node.op)) return sink_expand(rewrite, n);
  if (reads_alike(node.op)) return sink_alike(rewrite, n);
  const auto above = transpose_above(rewrite, node.in[0]);
  if (!above) return false;
  const Site site{rewrite, node, above->perm, rewrite.shape(above->source),
                  rewrite.shape(node.out[0])};
  std::optional<Sunk> sunk = std::visit([&](const auto& op) { return sink(op, site); }, node.op);
  if (!sunk) return false;
  rewrite.set_op(n, std::move(sunk->op));
  rewrite.set_input(n, 0, above->source);
  if (!is_identity(sunk->perm)) FIRN_TRY(rewrite.insert_after(n, Transpose{std::move(sunk->perm)}));
  return true;
}

}  // namespace

Result<int> sink_transposes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "sink_transposes", sink_one);
}

}  // namespace firn
