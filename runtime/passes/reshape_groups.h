// SPDX-License-Identifier: Apache-2.0
// Which dimensions a Reshape splits and merges, so that Transposes can move across it.
#ifndef FIRN_RUNTIME_PASSES_RESHAPE_GROUPS_H_
#define FIRN_RUNTIME_PASSES_RESHAPE_GROUPS_H_

#include <optional>
#include <span>
#include <vector>

#include "firn/tensor.h"
#include "runtime/passes/match.h"

namespace firn {

// Dimensions [in_begin, in_end) become [out_begin, out_end): both have one product.
struct ReshapeGroup {
  int in_begin = 0, in_end = 0, out_begin = 0, out_end = 0;
};

// The finest such groups, in order. Both shapes are known and have equally many elements.
std::vector<ReshapeGroup> reshape_groups(const Shape& in, const Shape& out);

// The order of groups after their dimensions moved: axes[g] lists where the dimensions of group g
// are now, in their old order. Nothing where a group is torn apart or turned round; dimensions of
// size 1 (but for the batch, which may change) may lie anywhere. `shape` has the moved dimensions.
std::optional<std::vector<int>> group_order(const Shape& shape,
                                            std::span<const std::vector<int>> axes);

// A Reshape of the same groups in another order, and the permutation from its result to the one of
// the Reshape it stands for.
struct ReorderedReshape {
  Reshape op;
  Perm perm;
};
// `source` has the groups in the new order already; `out` is what `op` makes of the old one.
ReorderedReshape reorder(const Reshape& op, const Shape& source, const Shape& out,
                         std::span<const ReshapeGroup> groups, std::span<const int> order);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_RESHAPE_GROUPS_H_
