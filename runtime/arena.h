// SPDX-License-Identifier: Apache-2.0
// The static memory plan: where in one block of memory each intermediate tensor lives.
#ifndef FIRN_RUNTIME_ARENA_H_
#define FIRN_RUNTIME_ARENA_H_

#include <cstddef>
#include <span>
#include <vector>

namespace firn {

// A block of `bytes` that must hold its contents from step `first` to step `last`, both included.
struct Lifetime {
  size_t bytes = 0;
  int first = 0, last = 0;
};

struct ArenaPlan {
  std::vector<size_t> offset;  // of each block, aligned to kArenaAlignment
  size_t bytes = 0;
};

inline constexpr size_t kArenaAlignment = 64;

// Greedy by size: the largest block first, each at the lowest offset where it overlaps no block
// that lives at the same time (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net
// Inference, 2020).
ArenaPlan plan_arena(std::span<const Lifetime> blocks);

}  // namespace firn

#endif  // FIRN_RUNTIME_ARENA_H_
