// SPDX-License-Identifier: Apache-2.0
// Whether numbers measured on some frames are larger than on others, and how surely.
#ifndef FIRN_QUANT_DRIFT_H_
#define FIRN_QUANT_DRIFT_H_

#include <cstddef>

namespace firn {

// Mean and variance, value by value (Welford, "Note on a method for calculating corrected sums of
// squares and products", Technometrics 4, 1962).
struct Moments {
  size_t n = 0;
  double mean = 0;

  void add(double x);
  // Of the mean, as an estimate of the expectation; 0 of fewer than two values.
  double variance_of_mean() const;

 private:
  double squares_ = 0;  // sum of squared distances to the mean
};

// One-sided Welch test (Welch, "The generalization of 'Student's' problem when several different
// population variances are involved", Biometrika 34, 1947): how likely it is that the mean of `now`
// lies this far or farther above that of `then`, if its expectation is at most `margin` above.
// Values of unequal variance; independent and not too far from normal. Where `then` has a single
// value, that is taken as exact; 1 where either has none.
double welch_p(const Moments& then, const Moments& now, double margin);

// The upper tail of Student's t distribution; t >= 0, degrees > 0.
double student_tail(double t, double degrees);

}  // namespace firn

#endif  // FIRN_QUANT_DRIFT_H_
