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

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr size_t kStride = 32;  // of bins

// A partial sum may pass what it is compared with by this much through rounding.
constexpr double kRounding = 1e-9;

double x_log_x(double x) {
  return x > 0 ? x * std::log(x) : 0;
}

// The divergence of P, the first n bins with everything beyond added to the last, from Q: the same
// bins without that, in `levels` groups, each group's count spread evenly over its filled bins.
// Groups are as even as whole bins allow, or, as Migacz has them, alike, with the last taking what
// remains.
class Divergence {
 public:
  Divergence(const std::vector<double>& bins, size_t levels, bool even)
      : bins_(bins),
        levels_(levels),
        even_(even),
        count_(bins.size() + 1),
        filled_(bins.size() + 1),
        entropy_(bins.size() + 1) {
    for (size_t i = 0; i < bins.size(); ++i) {
      count_[i + 1] = count_[i] + bins[i];
      filled_[i + 1] = filled_[i] + (bins[i] > 0 ? 1 : 0);
      entropy_[i + 1] = entropy_[i] + x_log_x(bins[i]);
    }
  }

  // Infinity where it is more than `least`: what a group adds is never negative (the log sum
  // inequality).
  double of(size_t n, double least) {
    const double total = count_.back(), kept = count_[n], clipped = total - kept;
    if (kept == 0) return kInfinity;
    const double enough = (least + std::log(total / kept) + kRounding) * total;
    const size_t begin = (levels_ - 1) * n / levels_, size = n / levels_;
    const size_t last = even_ ? begin : (levels_ - 1) * size;  // where the last group begins
    double count = count_[n] - count_[last], filled = filled_[n] - filled_[last];
    if (clipped > 0 && count == 0) return kInfinity;
    // The sum of p log p, then of p log q group by group.
    double entropy = entropy_[n], cross = even_ ? even(n, enough) : alike(size);
    if (entropy_[last] - cross > enough) return kInfinity;
    if (clipped > 0) {
      const double outermost = bins_[n - 1];
      entropy += x_log_x(outermost + clipped) - x_log_x(outermost);
      if (outermost == 0) filled += 1;
    }
    if (count > 0) cross += (count + clipped) * std::log(count / filled);
    // Both normalised: by the total and by what was kept.
    return (entropy - cross) / total - std::log(total / kept);
  }

 private:
  double p_log_q(size_t begin, size_t end) const {
    const double count = count_[end] - count_[begin];
    return count > 0 ? count * std::log(count / (filled_[end] - filled_[begin])) : 0;
  }
  // Of all groups but the last, or of the first ones that are enough.
  double even(size_t n, double enough) const {
    double sum = 0;
    for (size_t level = 1, begin = 0; level < levels_; ++level) {
      const size_t end = level * n / levels_;
      sum += p_log_q(begin, end);
      if (entropy_[end] - sum > enough) return -kInfinity;
      begin = end;
    }
    return sum;
  }
  double alike(size_t size) {
    if (size != size_) {
      size_ = size;
      alike_ = 0;
      for (size_t level = 1; level < levels_; ++level)
        alike_ += p_log_q((level - 1) * size, level * size);
    }
    return alike_;
  }

  const std::vector<double>& bins_;
  size_t levels_;
  bool even_;
  // Sums over the first i bins, at i; entropy: of count * log(count).
  std::vector<double> count_, filled_, entropy_;
  // What alike() gave last.
  size_t size_ = 0;
  double alike_ = 0;
};

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

  // Infinity where it is more than `least`: bins whose shares are p here and q there add
  // at least p - q.
  double of(size_t n, double least) const {
    const double per_group = static_cast<double>(n) / kGroups;
    const double clipped = sum_.back() - sum_[n];
    const double last = share_[n - 1] + kLift;
    const double entropy = entropy_[n] - x_log_x(last) + x_log_x(last + clipped);
    double before = 0;  // the group before: what each of its bins was given
    double spent = 0;   // the sum of p log q so far
    for (size_t group = 0; group < kGroups; ++group) {
      const size_t at = group * n;  // in 128ths of a bin
      const size_t whole = (at + kGroups - 1) / kGroups, end = (at + n) / kGroups;
      const double given = (sum_before(at + n) - sum_before(at)) / per_group;
      if (at % kGroups != 0) {  // the bin that both have a part of
        const double part = static_cast<double>(at % kGroups) / kGroups;
        spent += mass(whole - 1, whole, n, clipped) *
                 std::log(part * before + (1 - part) * given + kLift);
      }
      if (end > whole) spent += mass(whole, end, n, clipped) * std::log(given + kLift);
      before = given;
      const double rest = static_cast<double>((at + n) % kGroups) / kGroups;
      const double less = rest * (given - (end < n ? share_[end] : 0)) - clipped;
      if (end < n && entropy_[end] - spent - less > least + kRounding) return kInfinity;
    }
    return entropy - spent;
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
  Divergence divergence(bins, levels, rule == KlRule::firn);
  const NcnnDivergence ncnn(bins);
  const size_t fewest = rule == KlRule::ncnn ? NcnnDivergence::kGroups : levels;
  double least = kInfinity;
  const auto lost_with = [&](size_t n) {
    return rule == KlRule::ncnn ? ncnn.of(n, least) : divergence.of(n, least);
  };
  // A few first: most of the others are then given up half-way.
  for (size_t n = fewest; n <= bins.size(); n += kStride) least = std::min(least, lost_with(n));
  float threshold = std::numeric_limits<float>::infinity();
  for (size_t n = fewest; n <= bins.size(); ++n) {
    const double lost = lost_with(n);
    if (lost > least || lost == kInfinity) continue;  // of equals the widest
    least = lost;
    const double reached = static_cast<double>(n) + (rule == KlRule::firn ? 0 : 0.5);
    threshold = n == bins.size() ? std::numeric_limits<float>::infinity()
                                 : static_cast<float>(reached * histogram.width());
  }
  return {std::max(all.lo, -threshold), std::min(all.hi, threshold)};
}

}  // namespace firn
