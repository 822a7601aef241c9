// SPDX-License-Identifier: Apache-2.0
// Loops that every compiler vectorizes for the baseline instruction set.
#include "kernels/stats_s8.h"

namespace firn::kernels {

void add_stats_s8(size_t n, const int8_t* x, StatsS8& stats) {
  // As unsigned bytes: SSE2 has minima, maxima and sums of those only. A block's counts fit a byte.
  constexpr size_t kBlock = 128;
  auto min = static_cast<uint8_t>(stats.min + 128), max = static_cast<uint8_t>(stats.max + 128);
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t count = n - begin < kBlock ? n - begin : kBlock;
    uint8_t low = 0, high = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<uint8_t>(static_cast<uint8_t>(x[begin + i]) ^ 0x80);
      low = static_cast<uint8_t>(low + (value == 0));
      high = static_cast<uint8_t>(high + (value == 255));
      min = value < min ? value : min;
      max = value > max ? value : max;
    }
    stats.low += low;
    stats.high += high;
  }
  stats.min = static_cast<int8_t>(min - 128);
  stats.max = static_cast<int8_t>(max - 128);
}

}  // namespace firn::kernels
