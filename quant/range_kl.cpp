// SPDX-License-Identifier: Apache-2.0
// The range that loses the least information: Szymon Migacz, "8-bit Inference with TensorRT", GTC
// 2017, as it stands there, as ncnn2table has it, and carried over to asymmetric ranges.
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
// Groups are as even as whole bins allow, or, as Migacz has them, alike, with the last taking what
// remains.
double divergence(const std::vector<double>& bins, const Sums& sums, size_t n, size_t levels,
                  bool even) {
  const double total = sums.count.back(), kept = sums.count[n], clipped = total - kept;
  const double last = bins[n - 1];
  if (kept == 0) return std::numeric_limits<double>::infinity();
  // The sum of p log p, then of p log q group by group.
  const double entropy = sums.entropy[n] - x_log_x(last) + x_log_x(last + clipped);
  double cross = 0;
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = even ? level * n / levels : level * (n / levels);
    const size_t end = level + 1 == levels ? n
                       : even              ? (level + 1) * n / levels
                                           : begin + n / levels;
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

// ncnn's divergence: groups of n / 128 bins, a fraction of a bin going to each of two groups;
// counts spread over empty bins, too; both distributions lifted by a constant, neither normalised
// again.
class NcnnDivergence {
 public:
  explicit NcnnDivergence(const std::vector<double>& bins) : share_(bins) {
    double total = 0;
    for (double count : bins) total += count;
    for (double& share : share_) share /= total;
    sum_.resize(bins.size() + 1);
    entropy_.resize(bins.size() + 1);
    for (size_t i = 0; i < bins.size(); ++i) {
      sum_[i + 1] = sum_[i] + share_[i];
      entropy_[i + 1] = entropy_[i] + x_log_x(share_[i] + kLift);
    }
  }

  double of(size_t n) const {
    const double per_group = static_cast<double>(n) / kGroups;
    const double clipped = sum_.back() - sum_[n];
    const double last = share_[n - 1] + kLift;
    double lost = entropy_[n] - x_log_x(last) + x_log_x(last + clipped);
    double before = 0;  // the group before: what each of its bins was given
    for (size_t group = 0; group < kGroups; ++group) {
      const size_t at = group * n;  // in 128ths of a bin
      const size_t whole = (at + kGroups - 1) / kGroups, end = (at + n) / kGroups;
      const double given = (sum_before(at + n) - sum_before(at)) / per_group;
      if (at % kGroups != 0) {  // the bin that both have a part of
        const double part = static_cast<double>(at % kGroups) / kGroups;
        lost -= mass(whole - 1, whole, n, clipped) *
                std::log(part * before + (1 - part) * given + kLift);
      }
      if (end > whole) lost -= mass(whole, end, n, clipped) * std::log(given + kLift);
      before = given;
    }
    return lost;
  }

  static constexpr size_t kGroups = 128;

 private:
  static constexpr double kLift = 1e-4;

  // Of all bins before this place, in 128ths of a bin.
  double sum_before(size_t place) const {
    const size_t bin = place / kGroups, part = place % kGroups;
    return sum_[bin] + (part == 0 ? 0 : share_[bin] * static_cast<double>(part) / kGroups);
  }
  // P's share of the bins [begin, end).
  double mass(size_t begin, size_t end, size_t n, double clipped) const {
    return sum_[end] - sum_[begin] + kLift * static_cast<double>(end - begin) +
           (end == n ? clipped : 0);
  }

  std::vector<double> share_, sum_, entropy_;
};

}  // namespace

Interval kl_range(const Histogram& histogram, int bits, KlRule rule) {
  const Interval all = minmax_range(histogram);
  const int first = histogram.first(), last = histogram.last();
  // Magnitudes; exact zeros cost nothing in any range and are left out.
  std::vector<double> bins(static_cast<size_t>(std::max(last, -first)));
  for (int i = 0; i < static_cast<int>(bins.size()); ++i)
    bins[static_cast<size_t>(i)] =
        static_cast<double>((i < last ? histogram[i] : 0) + (i < -first ? histogram[~i] : 0));
  if (bins.empty()) return all;
  // A one-sided range has all steps for one sign; the other rules are of symmetric ones.
  const bool one_sided = (all.lo >= 0 || all.hi <= 0) && rule == KlRule::firn;
  const size_t levels = (size_t{1} << (one_sided ? bits : bits - 1)) - (one_sided ? 1 : 0);
  const Sums sums(bins);
  const NcnnDivergence ncnn(bins);
  double least = std::numeric_limits<double>::infinity();
  float threshold = std::numeric_limits<float>::infinity();
  for (size_t n = rule == KlRule::ncnn ? NcnnDivergence::kGroups : levels; n <= bins.size(); ++n) {
    const double lost =
        rule == KlRule::ncnn ? ncnn.of(n) : divergence(bins, sums, n, levels, rule == KlRule::firn);
    if (lost > least) continue;  // of equals the widest
    least = lost;
    const double reached = static_cast<double>(n) + (rule == KlRule::firn ? 0 : 0.5);
    threshold = n == bins.size() ? std::numeric_limits<float>::infinity()
                                 : static_cast<float>(reached * histogram.width());
  }
  return {std::max(all.lo, -threshold), std::min(all.hi, threshold)};
}

}  // namespace firn
