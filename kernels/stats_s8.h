// SPDX-License-Identifier: Apache-2.0
// What a watch reads from an int8 tensor: how many values lie at the ends, and how far they reach.
#ifndef FIRN_KERNELS_STATS_S8_H_
#define FIRN_KERNELS_STATS_S8_H_

#include <cstddef>
#include <cstdint>

namespace firn::kernels {

// Of no elements: no counts, {127, -128}.
struct StatsS8 {
  uint32_t low = 0, high = 0;  // values that are -128, 127
  int8_t min = 127, max = -128;

  bool operator==(const StatsS8&) const = default;
};

// Adds n values to what `stats` has of others.
void add_stats_s8(size_t n, const int8_t* x, StatsS8& stats);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_STATS_S8_H_
