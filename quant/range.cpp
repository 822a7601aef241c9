// SPDX-License-Identifier: Apache-2.0
// The table of range estimators, the simple ones of them, and the step from a range to a grid.
#include "quant/range.h"

#include <algorithm>
#include <cmath>

namespace firn {
namespace {

constexpr double kPercentileOutside = 1e-4;

struct Estimator {
  Method method;
  const char* name;
  Interval (*pick)(const Histogram&, int bits);
};

Interval automatic_range(const Histogram& histogram, int bits);

// A new estimator is a function and a line here. From the widest to the tightest, as `automatic`
// tries them.
constexpr Estimator kEstimators[] = {
    {Method::automatic, "automatic", automatic_range},
    {Method::minmax, "minmax", [](const Histogram& h, int) { return minmax_range(h); }},
    {Method::percentile, "percentile",
     [](const Histogram& h, int) { return percentile_range(h, kPercentileOutside); }},
    {Method::mse, "mse", mse_range},
    {Method::kl, "kl", kl_range},
};

// A tighter range must promise this much less error than a wider one: what is still to come may go
// further than what was seen, and clipping costs more than it gains then.
constexpr double kWorthTightening = 0.95;

Interval automatic_range(const Histogram& histogram, int bits) {
  Interval best = minmax_range(histogram);
  double least = expected_error(histogram, best, bits);
  for (const Estimator& estimator : kEstimators) {
    if (estimator.method == Method::automatic || estimator.method == Method::minmax) continue;
    const Interval range = estimator.pick(histogram, bits);
    const double error = expected_error(histogram, range, bits);
    if (error >= least * kWorthTightening) continue;
    best = range;
    least = error;
  }
  return best;
}

}  // namespace

const char* method_name(Method method) {
  for (const Estimator& estimator : kEstimators) {
    if (estimator.method == method) return estimator.name;
  }
  return "unknown";
}

Result<Method> method_from_name(const std::string& name) {
  std::string known;
  for (const Estimator& estimator : kEstimators) {
    if (name == estimator.name) return estimator.method;
    known += (known.empty() ? "" : ", ") + std::string(estimator.name);
  }
  return Status(Code::invalid_argument, "method \"" + name + "\": expected one of " + known);
}

Interval pick_range(const Histogram& histogram, Method method, int bits) {
  if (histogram.frames() == 0) return {};
  for (const Estimator& estimator : kEstimators) {
    if (estimator.method == method) return estimator.pick(histogram, bits);
  }
  return minmax_range(histogram);
}

Interval minmax_range(const Histogram& histogram) {
  if (histogram.frames() == 0) return {};
  return {histogram.min(), histogram.max()};
}

Interval percentile_range(const Histogram& histogram, double outside) {
  const Interval all = minmax_range(histogram);
  const double tail = outside / 2 * static_cast<double>(histogram.samples());
  // Bins are dropped from each end while what is dropped stays within the tail. The zeros lie
  // between the two sides, so neither end passes 0 unless all values lie beyond it.
  int first = histogram.first(), last = histogram.last();
  double below = 0, above = 0;
  for (; first < last; ++first) {
    if (first == 0) below += static_cast<double>(histogram.zeros());
    below += static_cast<double>(histogram[first]);
    if (below > tail) break;
  }
  for (; last > first; --last) {
    if (last == 0) above += static_cast<double>(histogram.zeros());
    above += static_cast<double>(histogram[last - 1]);
    if (above > tail) break;
  }
  const double width = histogram.width();
  Interval kept{static_cast<float>(std::max<double>(all.lo, first * width)),
                static_cast<float>(std::min<double>(all.hi, last * width))};
  if (histogram.zeros() > 0) kept = {std::min(kept.lo, 0.0f), std::max(kept.hi, 0.0f)};
  return kept.lo <= kept.hi ? kept : all;
}

double expected_error(const Histogram& histogram, Interval range, int bits) {
  if (histogram.samples() == 0) return 0;
  const Quant quant = to_quant(range, bits);
  const double scale = quant.scale[0];
  const double per_width = histogram.width() / scale;  // a bin's width in steps of the grid
  const double qmin = -std::ldexp(1.0, bits - 1), qmax = -qmin - 1;
  const int first = histogram.first(), last = histogram.last();
  // On each side of 0, in steps u of the grid, the error is u - k with k the nearest step within
  // reach, and its square has the antiderivative k / 12 + (u - k)^3 / 3.
  const auto side = [&](double reach, int bins, auto count) {
    const auto integral = [reach](double u) {
      const double k = std::min(static_cast<double>(static_cast<int64_t>(u + 0.5)), reach);
      const double r = u - k;
      return k * (1.0 / 12) + r * r * r * (1.0 / 3);
    };
    double sum = 0, from = 0;
    for (int i = 0; i < bins; ++i) {
      const double to = integral((i + 1) * per_width);
      sum += static_cast<double>(count(i)) * (to - from);
      from = to;
    }
    return sum / per_width;
  };
  const double zero = quant.zero[0];
  const double steps = side(qmax - zero, std::max(last, 0), [&](int i) { return histogram[i]; }) +
                       side(zero - qmin, std::max(-first, 0), [&](int i) { return histogram[~i]; });
  return steps * scale * scale / static_cast<double>(histogram.samples());
}

Quant to_quant(Interval range, int bits) {
  const double lo = range.lo < 0 ? range.lo : 0, hi = range.hi > 0 ? range.hi : 0;
  const double qmin = -std::ldexp(1.0, bits - 1), levels = std::ldexp(1.0, bits) - 1;
  Quant quant;
  quant.bits = static_cast<uint8_t>(bits);
  double scale = (hi - lo) / levels;
  if (scale == 0) scale = 1;
  quant.scale = {static_cast<float>(std::clamp(scale, std::ldexp(1.0, -60), std::ldexp(1.0, 60)))};
  const double zero = std::nearbyint(qmin - lo / static_cast<double>(quant.scale[0]));
  quant.zero = {static_cast<int32_t>(std::clamp(zero, qmin, qmin + levels))};
  return quant;
}

Interval to_interval(const Quant& quant) {
  const int32_t qmin = -(1 << (quant.bits - 1)), qmax = -qmin - 1;
  return {quant.scale[0] * static_cast<float>(qmin - quant.zero[0]),
          quant.scale[0] * static_cast<float>(qmax - quant.zero[0])};
}

}  // namespace firn
