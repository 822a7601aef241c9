// SPDX-License-Identifier: Apache-2.0
// The range with the least mean squared rounding and clipping error.
#include <algorithm>
#include <cmath>

#include "quant/range.h"

namespace firn {

// The error has several minima, so the ends are searched, not descended to: first the same
// threshold for both, geometrically down to a thousandth of the extremes, then each end alone
// around what was found.
Interval mse_range(const Histogram& histogram, int bits) {
  const Interval all = minmax_range(histogram);
  Interval best = all;
  double least = expected_error(histogram, best, bits);
  const auto consider = [&](float lo, float hi) {
    const Interval range{std::max(lo, all.lo), std::min(hi, all.hi)};
    if (range == best || range.lo > range.hi) return;
    const double error = expected_error(histogram, range, bits);
    if (error >= least) return;
    least = error;
    best = range;
  };
  const float largest = std::max(-all.lo, all.hi);
  for (int eighth = 1; eighth <= 80; ++eighth) {
    const float threshold = largest * std::exp2(-static_cast<float>(eighth) / 8);
    consider(-threshold, threshold);
  }
  for (int round = 0; round < 2; ++round) {
    const Interval low = best;
    for (int step = -8; step <= 8; ++step)
      consider(low.lo * std::exp2(static_cast<float>(step) / 32), low.hi);
    const Interval high = best;
    for (int step = -8; step <= 8; ++step)
      consider(high.lo, high.hi * std::exp2(static_cast<float>(step) / 32));
  }
  return best;
}

}  // namespace firn
