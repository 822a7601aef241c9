// SPDX-License-Identifier: Apache-2.0
// From a histogram to the range that int8 covers, and from a range to scale and zero point.
#ifndef FIRN_QUANT_RANGE_H_
#define FIRN_QUANT_RANGE_H_

#include <vector>

#include "firn/quantize.h"
#include "firn/tensor.h"
#include "quant/histogram.h"

namespace firn {

// Finite, lo <= hi.
struct Interval {
  float lo = 0, hi = 0;
  bool operator==(const Interval&) const = default;
};

// A range, and the method that it comes from: not `automatic`.
struct Candidate {
  Method method = Method::minmax;
  Interval range;
  bool operator==(const Candidate&) const = default;
};

// The range that the method picks for values quantized to `bits` (2 to 8): inside the extremes, and
// {0, 0} for a histogram without frames. Symmetric: what symmetric_range makes of it.
Candidate pick(const Histogram& histogram, Method method, int bits = 8, bool symmetric = false);
inline Interval pick_range(const Histogram& histogram, Method method, int bits = 8,
                           bool symmetric = false) {
  return pick(histogram, method, bits, symmetric).range;
}

// What all methods but `automatic` pick, without what is nearly the same as another one: from the
// widest to the tightest kind of method, so that a later one has to be clearly better; and the
// symmetric range of all values where that is nearly the same as theirs. Not empty.
std::vector<Candidate> candidate_ranges(const Histogram& histogram, int bits, bool symmetric);
// A later candidate must promise this much less error than the best of those before: what is still
// to come may go further than what was seen, and clipping costs more than it gains then.
inline constexpr double kWorthTightening = 0.95;

// The least range around 0 that covers this one and whose zero point is 0: a scale of largest /
// 127 for 8 bits.
Interval symmetric_range(Interval range, int bits);
// What values with this scale and zero point 0 can be.
Interval range_of_scale(float scale, int bits);

// The estimators behind it; `automatic` takes the one with the least expected_error.
Interval minmax_range(const Histogram& histogram);
// From the mean of the frames' minima to that of their maxima.
Interval ema_range(const Histogram& histogram);
// The smallest range outside which each tail holds at most half of `outside` of the values.
Interval percentile_range(const Histogram& histogram, double outside);
Interval mse_range(const Histogram& histogram, int bits);
// How bins are put together to levels. The rules of TensorRT and ncnn are of 2048 bins up to the
// largest value; a Histogram has 1025 to 2048.
enum class KlRule : uint8_t { firn, tensorrt, ncnn };
Interval kl_range(const Histogram& histogram, int bits, KlRule rule = KlRule::firn);
Interval aciq_range(const Histogram& histogram, int bits);
// `start`: kl_range by ncnn's rule.
Interval eq_range(const Histogram& histogram, int bits, Interval start);

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
