// SPDX-License-Identifier: Apache-2.0
// From a histogram to the range that int8 covers, and from a range to scale and zero point.
#ifndef FIRN_QUANT_RANGE_H_
#define FIRN_QUANT_RANGE_H_

#include "firn/quantize.h"
#include "firn/tensor.h"
#include "quant/histogram.h"

namespace firn {

// Finite, lo <= hi.
struct Interval {
  float lo = 0, hi = 0;
  bool operator==(const Interval&) const = default;
};

// The range that the method picks for values quantized to `bits` (2 to 8): inside the extremes, and
// {0, 0} for a histogram without frames.
Interval pick_range(const Histogram& histogram, Method method, int bits = 8);

// The estimators behind it; `automatic` takes the one with the least expected_error.
Interval minmax_range(const Histogram& histogram);
// The smallest range outside which each tail holds at most half of `outside` of the values.
Interval percentile_range(const Histogram& histogram, double outside);
Interval mse_range(const Histogram& histogram, int bits);
Interval kl_range(const Histogram& histogram, int bits);

// Mean squared error of rounding the histogram's values to the grid of to_quant(range, bits) and of
// clipping those outside it; each bin's values are taken as evenly spread.
double expected_error(const Histogram& histogram, Interval range, int bits);

// Asymmetric, per tensor, with 0 on the grid: the range is widened to hold it. Scales lie in
// [2^-60, 2^60], so that neither they nor products of two are zero, denormal or infinite, whatever
// the range; that of {0, 0} is 1.
Quant to_quant(Interval range, int bits = 8);
// What an int8 value with this Quant can stand for.
Interval to_interval(const Quant& quant);

}  // namespace firn

#endif  // FIRN_QUANT_RANGE_H_
