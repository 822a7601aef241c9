// SPDX-License-Identifier: Apache-2.0
// Values seen from the other side of a Transpose.
#ifndef FIRN_RUNTIME_PASSES_TRANSPOSE_ABOVE_H_
#define FIRN_RUNTIME_PASSES_TRANSPOSE_ABOVE_H_

#include <optional>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {

// `id` is `source`, transposed by `perm`.
struct TransposeAbove {
  Perm perm;
  ValueId source = ValueId::none;
};
// Nothing where `id` is not made by a Transpose, or by one that changes the quantization.
std::optional<TransposeAbove> transpose_above(const Rewrite& rewrite, ValueId id);

// Whether a value that, seen from below a Transpose by `perm`, is `id`, is had without a new
// Transpose: it comes from one like it, is a constant, or has only ones to move.
bool can_see_through(const Rewrite& rewrite, ValueId id, const Perm& perm);
// That value. Constants of lower rank stay so where they can: [C,1,1] below NHWC -> NCHW is [C].
Result<ValueId> see_through(Rewrite& rewrite, ValueId id, const Perm& perm);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_TRANSPOSE_ABOVE_H_
