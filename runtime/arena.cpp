// SPDX-License-Identifier: Apache-2.0
// Greedy placement of tensors by size.
#include "runtime/arena.h"

#include <algorithm>
#include <numeric>

namespace firn {
namespace {

size_t align_up(size_t n) {
  return (n + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

}  // namespace

ArenaPlan plan_arena(std::span<const Lifetime> blocks) {
  ArenaPlan plan;
  plan.offset.resize(blocks.size());
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });

  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    const Lifetime& block = blocks[i];
    size_t offset = 0;
    for (const size_t j : placed) {
      const Lifetime& other = blocks[j];
      if (other.last < block.first || block.last < other.first) continue;
      if (offset + block.bytes <= plan.offset[j]) break;
      offset = std::max(offset, align_up(plan.offset[j] + other.bytes));
    }
    plan.offset[i] = offset;
    plan.bytes = std::max(plan.bytes, align_up(offset + block.bytes));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](size_t a, size_t b) { return plan.offset[a] < plan.offset[b]; }),
        i);
  }
  return plan;
}

}  // namespace firn
