// SPDX-License-Identifier: Apache-2.0
// Splits a Reshape into independent splits and merges.
#include "runtime/passes/reshape_groups.h"

#include <algorithm>
#include <numeric>

namespace firn {

std::vector<ReshapeGroup> reshape_groups(const Shape& in, const Shape& out) {
  std::vector<ReshapeGroup> groups;
  int i = 0, j = 0;
  while (i < in.rank || j < out.rank) {
    ReshapeGroup group{i, i, j, j};
    size_t in_product = i < in.rank ? static_cast<size_t>(in[i++]) : 1;
    size_t out_product = j < out.rank ? static_cast<size_t>(out[j++]) : 1;
    while (in_product != out_product && (i < in.rank || j < out.rank)) {
      if ((in_product < out_product && i < in.rank) || j == out.rank)
        in_product *= static_cast<size_t>(in[i++]);
      else
        out_product *= static_cast<size_t>(out[j++]);
    }
    // Ones with no partner on the other side go with the dimension before them.
    const auto one = [](const Shape& shape, int axis) {
      return axis < shape.rank && shape[axis] == 1;
    };
    while (one(in, i) && !one(out, j)) ++i;
    while (one(out, j) && !one(in, i)) ++j;
    group.in_end = i;
    group.out_end = j;
    groups.push_back(group);
  }
  return groups;
}

std::optional<std::vector<int>> group_order(const Shape& shape,
                                            std::span<const std::vector<int>> axes) {
  const auto counts = [&](int axis) { return axis == 0 || shape[axis] != 1; };
  const auto key = [&](const std::vector<int>& group) {
    const auto first = std::ranges::find_if(group, counts);
    if (first != group.end()) return *first;
    return group.empty() ? int{shape.rank} : group.front();
  };
  std::vector<int> order(axes.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int g) { return key(axes[static_cast<size_t>(g)]); });
  int last = -1;
  for (int g : order) {
    for (int axis : axes[static_cast<size_t>(g)]) {
      if (!counts(axis)) continue;
      if (axis < last) return std::nullopt;
      last = axis;
    }
  }
  return order;
}

ReorderedReshape reorder(const Reshape& op, const Shape& source, const Shape& out,
                         std::span<const ReshapeGroup> groups, std::span<const int> order) {
  Shape shape;
  Perm perm(out.rank);
  int32_t open = 0;  // where the -1 goes
  for (int g : order) {
    const ReshapeGroup& group = groups[static_cast<size_t>(g)];
    for (int axis = group.out_begin; axis < group.out_end; ++axis) {
      perm[static_cast<size_t>(axis)] = shape.rank;
      if (op.shape[static_cast<size_t>(axis)] == -1) open = shape.rank;
      shape[shape.rank++] = out[axis];
    }
  }
  Reshape reshape = reshape_to(source, shape);
  // The first dimension stays as reshape_to() has it: a copy of the batch is exact.
  if (open > 0) reshape.shape[static_cast<size_t>(open)] = -1;
  return {std::move(reshape), std::move(perm)};
}

}  // namespace firn
