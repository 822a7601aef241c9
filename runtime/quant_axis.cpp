// SPDX-License-Identifier: Apache-2.0
// Follows scales through Transposes and Reshapes, and across the two 8-bit types.
#include "runtime/quant_axis.h"

#include <algorithm>

namespace firn {
namespace {

size_t elements_before(const Shape& shape, int axis) {
  size_t product = 1;
  for (int i = 0; i < axis; ++i) product *= static_cast<size_t>(shape[i]);
  return product;
}

}  // namespace

std::optional<Quant> moved_quant(const Quant& quant, const Op& op, const Shape& from,
                                 const Shape& to) {
  const auto* transpose = std::get_if<Transpose>(&op);
  if (transpose == nullptr && !std::holds_alternative<Reshape>(op)) return std::nullopt;
  if (quant.block != 0) return std::nullopt;
  if (quant.axis < 0 || quant.scale.size() == 1)
    return Quant{-1, quant.bits, 0, quant.scale, quant.zero};
  Quant moved = quant;
  if (transpose != nullptr) {
    const auto at = std::ranges::find(transpose->perm, static_cast<int32_t>(quant.axis));
    if (at == transpose->perm.end()) return std::nullopt;
    moved.axis = static_cast<int8_t>(at - transpose->perm.begin());
    return moved;
  }
  if (!from.known() || !to.known() || quant.axis >= from.rank) return std::nullopt;
  for (int axis = 0; axis < to.rank; ++axis) {
    if (to[axis] != from[quant.axis] ||
        elements_before(to, axis) != elements_before(from, quant.axis))
      continue;
    moved.axis = static_cast<int8_t>(axis);
    return moved;
  }
  return std::nullopt;
}

Quant as_int8(Quant of_uint8) {
  for (int32_t& zero : of_uint8.zero) zero -= 128;
  return of_uint8;
}

}  // namespace firn
