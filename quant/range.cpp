// SPDX-License-Identifier: Apache-2.0
// The table of range estimators, the simple ones of them, and the step from a range to a grid.
#include "quant/range.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace firn {
namespace {

constexpr double kPercentileOutside = 1e-4;

struct Estimator {
  Method method;
  const char* name;
  Interval (*pick)(const Histogram&, int bits);
};

// A new estimator is a function and a line here. From the widest to the tightest, as `automatic`
// tries them; that one has no function of its own.
constexpr Estimator kEstimators[] = {
    {Method::automatic, "automatic", nullptr},
    {Method::minmax, "minmax", [](const Histogram& h, int) { return minmax_range(h); }},
    {Method::ema, "ema", [](const Histogram& h, int) { return ema_range(h); }},
    {Method::percentile, "percentile",
     [](const Histogram& h, int) { return percentile_range(h, kPercentileOutside); }},
    {Method::mse, "mse", mse_range},
    {Method::kl, "kl", [](const Histogram& h, int bits) { return kl_range(h, bits); }},
    {Method::kl_tensorrt, "kl-tensorrt",
     [](const Histogram& h, int bits) { return kl_range(h, bits, KlRule::tensorrt); }},
    {Method::kl_ncnn, "kl-ncnn",
     [](const Histogram& h, int bits) { return kl_range(h, bits, KlRule::ncnn); }},
    {Method::aciq, "aciq", aciq_range},
    {Method::eq, "eq",
     [](const Histogram& h, int bits) {
       return eq_range(h, bits, kl_range(h, bits, KlRule::ncnn));
     }},
};

// Ranges whose ends differ by less than this part of their width are one candidate.
constexpr double kNearlyTheSame = 0.01;

bool nearly_the_same(Interval a, Interval b) {
  const double width = static_cast<double>(a.hi) - a.lo;
  return std::fabs(static_cast<double>(a.lo) - b.lo) <= kNearlyTheSame * width &&
         std::fabs(static_cast<double>(a.hi) - b.hi) <= kNearlyTheSame * width;
}

Candidate automatic(const Histogram& histogram, int bits, bool symmetric) {
  const std::vector<Candidate> candidates = candidate_ranges(histogram, bits, symmetric);
  Candidate best = candidates[0];
  double least = expected_error(histogram, best.range, bits);
  for (size_t i = 1; i < candidates.size(); ++i) {
    const double error = expected_error(histogram, candidates[i].range, bits);
    if (error >= least * kWorthTightening) continue;
    best = candidates[i];
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

Candidate pick(const Histogram& histogram, Method method, int bits, bool symmetric) {
  if (histogram.frames() == 0) return {};
  if (method == Method::automatic) return automatic(histogram, bits, symmetric);
  for (const Estimator& estimator : kEstimators) {
    if (estimator.method != method) continue;
    const Interval range = estimator.pick(histogram, bits);
    return {method, symmetric ? symmetric_range(range, bits) : range};
  }
  return {};
}

std::vector<Candidate> candidate_ranges(const Histogram& histogram, int bits, bool symmetric) {
  if (histogram.frames() == 0) return std::vector<Candidate>(1);
  std::vector<Candidate> candidates;
  Interval kl_ncnn;  // costs as much as all others, and `eq` starts from it
  for (const Estimator& estimator : kEstimators) {
    if (estimator.method == Method::automatic) continue;
    const Interval range = estimator.method == Method::eq ? eq_range(histogram, bits, kl_ncnn)
                                                          : estimator.pick(histogram, bits);
    if (estimator.method == Method::kl_ncnn) kl_ncnn = range;
    const Candidate next{estimator.method, symmetric ? symmetric_range(range, bits) : range};
    const bool known = std::ranges::any_of(
        candidates, [&](const Candidate& c) { return nearly_the_same(c.range, next.range); });
    if (!known) candidates.push_back(next);
  }
  // Pixels from -1 to 1 lie half-way between the 256 points from -1 to 1 of which one is 0, every
  // one of them; points a little further apart miss half of them by less.
  const Interval all = minmax_range(histogram), around_zero = symmetric_range(all, bits);
  if (!symmetric && nearly_the_same(all, around_zero))
    candidates.push_back({Method::minmax, around_zero});
  return candidates;
}

Interval symmetric_range(Interval range, int bits) {
  const float largest = std::max(std::fabs(range.lo), std::fabs(range.hi));
  const float levels = std::ldexp(1.0f, bits - 1);
  return range_of_scale(
      std::min(largest / (levels - 1), std::numeric_limits<float>::max() / levels), bits);
}

Interval range_of_scale(float scale, int bits) {
  const float levels = std::ldexp(1.0f, bits - 1);
  return {-levels * scale, (levels - 1) * scale};
}

Interval minmax_range(const Histogram& histogram) {
  if (histogram.frames() == 0) return {};
  return {histogram.min(), histogram.max()};
}

Interval ema_range(const Histogram& histogram) {
  const Interval all = minmax_range(histogram);
  const auto lo = static_cast<float>(histogram.mean_min());
  const auto hi = static_cast<float>(histogram.mean_max());
  return {std::clamp(lo, all.lo, all.hi), std::clamp(hi, all.lo, all.hi)};
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
      const double k = u + 0.5 < reach ? static_cast<double>(static_cast<int64_t>(u + 0.5)) : reach;
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
