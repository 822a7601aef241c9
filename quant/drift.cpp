// SPDX-License-Identifier: Apache-2.0
// Welch's test, and the incomplete beta function behind Student's distribution.
#include "quant/drift.h"

#include <cmath>
#include <initializer_list>
#include <limits>

namespace firn {
namespace {

// The continued fraction of the regularized incomplete beta function (NIST Handbook of Mathematical
// Functions, 8.17.22), evaluated from the front (Lentz, Applied Optics 15, 1976). Converges fast
// for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kEnough = 1e-14;
  constexpr int kMaxTerms = 500;
  const auto away_from_zero = [](double v) { return std::fabs(v) < kTiny ? kTiny : v; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= kMaxTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      step = c * d;
      value *= step;
    }
    if (std::fabs(step - 1) < kEnough) break;
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

void Moments::add(double x) {
  ++n;
  const double before = x - mean;
  mean += before / static_cast<double>(n);
  squares_ += before * (x - mean);
}

double Moments::variance_of_mean() const {
  if (n < 2) return 0;
  return squares_ / (static_cast<double>(n) * static_cast<double>(n - 1));
}

double student_tail(double t, double degrees) {
  return 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

double welch_p(const Moments& then, const Moments& now, double margin) {
  if (then.n == 0 || now.n == 0) return 1;
  const double above = now.mean - then.mean - margin;
  if (above <= 0) return 1;
  const double a = then.variance_of_mean(), b = now.variance_of_mean();
  if (a + b == 0) return 0;
  // Welch and Satterthwaite's degrees of freedom.
  const auto part = [](double variance, size_t n) {
    return n < 2 ? 0 : variance * variance / static_cast<double>(n - 1);
  };
  const double parts = part(a, then.n) + part(b, now.n);
  const double degrees = parts > 0 ? (a + b) * (a + b) / parts : std::numeric_limits<double>::max();
  return student_tail(above / std::sqrt(a + b), std::fmin(degrees, 1e6));
}

}  // namespace firn
