// SPDX-License-Identifier: Apache-2.0
// Operands of an operator that moves above a Transpose.
#include "runtime/passes/transpose_above.h"

#include "runtime/passes/quantized.h"

namespace firn {
namespace {

// Broadcasts alike wherever its dimensions go.
bool is_single(const Shape& shape, size_t rank) {
  return shape.known() && shape.elements() == 1 && shape.rank <= rank;
}

Result<ValueId> reshaped(Rewrite& rewrite, ValueId id, const Shape& shape) {
  if (rewrite.shape(id) == shape) return id;
  return rewrite.add(reshape_to(rewrite.shape(id), shape), {id}, rewrite.value(id).name);
}

}  // namespace

std::optional<TransposeAbove> transpose_above(const Rewrite& rewrite, ValueId id) {
  const auto* op = rewrite.made_by<Transpose>(id);
  if (op == nullptr) return std::nullopt;
  const ValueId source = rewrite.node(rewrite.producer(id)).in[0];
  if (!same_encoding(rewrite.value(source), rewrite.value(id))) return std::nullopt;
  return TransposeAbove{op->perm, source};
}

bool can_see_through(const Rewrite& rewrite, ValueId id, const Perm& perm) {
  const Value& value = rewrite.value(id);
  if (is_single(value.shape, perm.size())) return true;
  if (value.quant && !value.quant->per_tensor()) return false;
  if (is_constant_like(rewrite, id)) return value.shape.rank <= perm.size();
  if (const auto above = transpose_above(rewrite, id); above && above->perm == perm) return true;
  return value.shape.known() && value.shape.rank == perm.size() &&
         moves_only_units(value.shape, inverse(perm));
}

Result<ValueId> see_through(Rewrite& rewrite, ValueId id, const Perm& perm) {
  if (const auto above = transpose_above(rewrite, id); above && above->perm == perm)
    return above->source;
  if (is_single(rewrite.shape(id), perm.size())) return id;
  const Perm back = inverse(perm);
  if (!is_constant_like(rewrite, id))
    return reshaped(rewrite, id, permuted(rewrite.shape(id), back));

  const int rank = static_cast<int>(perm.size());
  const bool had_rank = rewrite.shape(id).rank == rank;
  FIRN_ASSIGN(ValueId moved, reshaped(rewrite, id, aligned(rewrite.shape(id), rank)));
  if (moves_only_units(rewrite.shape(moved), back)) {
    FIRN_ASSIGN(moved, reshaped(rewrite, moved, permuted(rewrite.shape(moved), back)));
  } else {
    FIRN_ASSIGN(moved, rewrite.add(Transpose{back}, {moved}, rewrite.value(id).name));
  }
  if (had_rank) return moved;
  const Shape full = rewrite.shape(moved);
  int ones = 0;
  while (ones < rank && full[ones] == 1) ++ones;
  Shape shortest;
  for (int i = ones; i < rank; ++i) shortest[shortest.rank++] = full[i];
  return reshaped(rewrite, moved, shortest);
}

}  // namespace firn
