// SPDX-License-Identifier: Apache-2.0
// ncnn2table's EQ method: scales around that of its KL method are searched for the greatest cosine
// similarity of float and int8. ncnn compares layer outputs; here the tensor's own values are, so
// that the method stays a function of the histogram.
#include <algorithm>
#include <cmath>

#include "quant/range.h"

namespace firn {
namespace {

// Of the histogram's values, each bin counting as its middle, and what the grid makes of them.
double cosine(const Histogram& histogram, const Quant& quant) {
  const double width = histogram.width(), scale = quant.scale[0];
  const double qmin = -std::ldexp(1.0, quant.bits - 1) - quant.zero[0];
  const double qmax = std::ldexp(1.0, quant.bits - 1) - 1 - quant.zero[0];
  double product = 0, square = 0, rounded_square = 0;
  for (int i = histogram.first(), end = histogram.last(); i < end; ++i) {
    const auto count = static_cast<double>(histogram[i]);
    const double x = (i + 0.5) * width;
    const double q = scale * std::clamp(std::nearbyint(x / scale), qmin, qmax);
    product += count * x * q;
    square += count * x * x;
    rounded_square += count * q * q;
  }
  return rounded_square > 0 ? product / std::sqrt(square * rounded_square) : 0;
}

}  // namespace

Interval eq_range(const Histogram& histogram, int bits, Interval start) {
  constexpr int kSteps = 100;
  constexpr double kLower = 0.5, kUpper = 2;  // of the scale, that is, of 1 / range
  const Interval all = minmax_range(histogram);
  Interval best = start;
  double most = cosine(histogram, to_quant(start, bits));
  for (int step = 0; step < kSteps; ++step) {
    const double wider = 1 / (kLower + (kUpper - kLower) * step / kSteps);
    const Interval range{std::max(all.lo, static_cast<float>(start.lo * wider)),
                         std::min(all.hi, static_cast<float>(start.hi * wider))};
    if (range == best || range.lo > range.hi) continue;
    const double similarity = cosine(histogram, to_quant(range, bits));
    if (similarity <= most) continue;
    best = range;
    most = similarity;
  }
  return best;
}

}  // namespace firn
