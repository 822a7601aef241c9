// SPDX-License-Identifier: Apache-2.0
// The range that loses the least information: Szymon Migacz, "8-bit Inference with TensorRT", GTC
// 2017, carried over from symmetric int8 to one-sided and two-sided asymmetric ranges.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "quant/range.h"

namespace firn {
namespace {

double x_log_x(double x) {
  return x > 0 ? x * std::log(x) : 0;
}

// Sums over the first i bins, at i.
struct Sums {
  std::vector<double> count, filled, entropy;  // entropy: of count * log(count)

  explicit Sums(const std::vector<double>& bins)
      : count(bins.size() + 1), filled(bins.size() + 1), entropy(bins.size() + 1) {
    for (size_t i = 0; i < bins.size(); ++i) {
      count[i + 1] = count[i] + bins[i];
      filled[i + 1] = filled[i] + (bins[i] > 0 ? 1 : 0);
      entropy[i + 1] = entropy[i] + x_log_x(bins[i]);
    }
  }
};

// The divergence of P, the first n bins with everything beyond added to the last, from Q: the same
// bins without that, in `levels` groups, each group's count spread evenly over its filled bins.
double divergence(const std::vector<double>& bins, const Sums& sums, size_t n, size_t levels) {
  const double total = sums.count.back(), kept = sums.count[n], clipped = total - kept;
  const double last = bins[n - 1];
  if (kept == 0) return std::numeric_limits<double>::infinity();
  // The sum of p log p, then of p log q group by group.
  const double entropy = sums.entropy[n] - x_log_x(last) + x_log_x(last + clipped);
  double cross = 0;
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = level * n / levels, end = (level + 1) * n / levels;
    const double count = sums.count[end] - sums.count[begin];
    double filled = sums.filled[end] - sums.filled[begin], weight = count;
    if (end == n && clipped > 0) {
      weight += clipped;
      if (last == 0) filled += 1;
      if (count == 0) return std::numeric_limits<double>::infinity();
    }
    if (count > 0) cross += weight * std::log(count / filled);
  }
  // Both normalised: by the total and by what was kept.
  return (entropy - cross) / total - std::log(total / kept);
}

}  // namespace

Interval kl_range(const Histogram& histogram, int bits) {
  const Interval all = minmax_range(histogram);
  const int first = histogram.first(), last = histogram.last();
  // Magnitudes; exact zeros cost nothing in any range and are left out.
  std::vector<double> bins(static_cast<size_t>(std::max(last, -first)));
  for (int i = 0; i < static_cast<int>(bins.size()); ++i)
    bins[static_cast<size_t>(i)] =
        static_cast<double>((i < last ? histogram[i] : 0) + (i < -first ? histogram[~i] : 0));
  // A one-sided range has all steps for one sign.
  const bool one_sided = all.lo >= 0 || all.hi <= 0;
  const size_t levels = (size_t{1} << (one_sided ? bits : bits - 1)) - (one_sided ? 1 : 0);
  const Sums sums(bins);
  double least = std::numeric_limits<double>::infinity();
  float threshold = std::numeric_limits<float>::infinity();
  for (size_t n = levels; n <= bins.size(); ++n) {
    const double lost = divergence(bins, sums, n, levels);
    if (lost > least) continue;  // of equals the widest
    least = lost;
    threshold = n == bins.size() ? std::numeric_limits<float>::infinity()
                                 : static_cast<float>(static_cast<double>(n) * histogram.width());
  }
  return {std::max(all.lo, -threshold), std::min(all.hi, threshold)};
}

}  // namespace firn
