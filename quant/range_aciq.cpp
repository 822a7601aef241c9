// SPDX-License-Identifier: Apache-2.0
// The range that is optimal for the distribution that fits: Banner, Nahshan, Soudry, "Post training
// 4-bit quantization of convolutional networks for rapid-deployment", NeurIPS 2019, section 2.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "quant/range.h"

namespace firn {
namespace {

// What is fitted: distances of the values from their centre.
struct Moments {
  double centre = 0, absolute = 0, square = 0;  // the last two are means
};

// Values of one sign are half of a distribution around 0; exact zeros, which cost nothing in any
// range, are left out of that. Each bin counts as its middle.
Moments moments_of(const Histogram& histogram, bool one_sided) {
  const double width = histogram.width();
  const auto mean_of = [&](auto f, bool zeros) {
    double sum = 0, count = 0;
    for (int i = histogram.first(), end = histogram.last(); i < end; ++i) {
      sum += static_cast<double>(histogram[i]) * f((i + 0.5) * width);
      count += static_cast<double>(histogram[i]);
    }
    if (zeros) {
      sum += static_cast<double>(histogram.zeros()) * f(0.0);
      count += static_cast<double>(histogram.zeros());
    }
    return count > 0 ? sum / count : 0;
  };
  Moments moments;
  if (!one_sided) moments.centre = mean_of([](double x) { return x; }, true);
  const double c = moments.centre;
  moments.absolute = mean_of([c](double x) { return std::fabs(x - c); }, !one_sided);
  moments.square = mean_of([c](double x) { return (x - c) * (x - c); }, !one_sided);
  return moments;
}

// Where a falling function of t > 0 is 0.
template <typename F>
double root(F f) {
  double lo = 0, hi = 64;
  for (int i = 0; i < 100; ++i) {
    const double middle = (lo + hi) / 2;
    (f(middle) > 0 ? lo : hi) = middle;
  }
  return (lo + hi) / 2;
}

// The clipping threshold where clipping one more value gains in rounding what it loses: with 2^bits
// steps over [-t, t] the rounding error is t^2 / (3 * 4^bits). In units of the deviation, or of the
// mean distance.
double gaussian_threshold(int bits) {
  return root([steps = std::pow(4.0, bits)](double t) {
    const double density = std::exp(-t * t / 2) / std::sqrt(2 * std::numbers::pi);
    const double tail = std::erfc(t / std::numbers::sqrt2) / 2;
    return 2 * (density - t * tail) - t / (3 * steps);
  });
}

double laplace_threshold(int bits) {
  return root([steps = std::pow(4.0, bits)](double t) { return std::exp(-t) - t / (3 * steps); });
}

}  // namespace

Interval aciq_range(const Histogram& histogram, int bits) {
  const Interval all = minmax_range(histogram);
  const bool one_sided = all.lo >= 0 || all.hi <= 0;
  const Moments moments = moments_of(histogram, one_sided);
  if (moments.square == 0) return all;
  // The likelier distribution, each with its likeliest parameter: the mean logarithms of densities
  // are -log(2 b e) and -log(2 pi e v) / 2. One sign has all steps to itself: one bit more.
  const double deviation = std::sqrt(moments.square);
  const bool gaussian = std::log(2 * moments.absolute * std::numbers::e) >
                        std::log(2 * std::numbers::pi * std::numbers::e) / 2 + std::log(deviation);
  const int effective_bits = bits + (one_sided ? 1 : 0);
  const double threshold = gaussian ? gaussian_threshold(effective_bits) * deviation
                                    : laplace_threshold(effective_bits) * moments.absolute;
  const Interval range{
      std::max(all.lo, static_cast<float>(moments.centre - threshold)),
      std::min(all.hi, static_cast<float>(moments.centre + threshold)),
  };
  return range.lo <= range.hi ? range : all;
}

}  // namespace firn
