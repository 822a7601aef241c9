// SPDX-License-Identifier: Apache-2.0
// Student's distribution against its tables, Welch's test against numbers and by its error rate.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "quant/drift.h"

namespace firn {
namespace {

Moments moments_of(const std::vector<double>& values) {
  Moments moments;
  for (const double v : values) moments.add(v);
  return moments;
}

TEST_CASE("moments are mean and variance, far from zero too") {
  const Moments moments = moments_of({1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16});
  CHECK(moments.n == 4);
  CHECK(moments.mean == 1e9 + 10);
  CHECK(moments.variance_of_mean() == doctest::Approx(30.0 / 4));
  CHECK(moments_of({5}).variance_of_mean() == 0);
}

TEST_CASE("the tail of Student's distribution") {
  // One degree is Cauchy's: 1/2 - atan(t) / pi. Two: 1/2 - t / (2 sqrt(2 + t^2)).
  for (const double t : {0.0, 0.3, 1.0, 7.0, 300.0}) {
    CAPTURE(t);
    CHECK(student_tail(t, 1) == doctest::Approx(std::atan2(1, t) / std::acos(-1.0)).epsilon(1e-10));
    CHECK(student_tail(t, 2) ==
          doctest::Approx(0.5 - t / (2 * std::sqrt(2 + t * t))).epsilon(1e-6));
  }
  // Printed tables: 5 % and 1 % on both sides.
  CHECK(student_tail(2.228139, 10) == doctest::Approx(0.025).epsilon(1e-6));
  CHECK(student_tail(2.787436, 25) == doctest::Approx(0.005).epsilon(1e-6));
  CHECK(student_tail(1.959964, 1e6) == doctest::Approx(0.025).epsilon(1e-4));
  // Integrated numerically.
  CHECK(student_tail(6, 15) == doctest::Approx(1.21633e-5).epsilon(1e-3));
}

TEST_CASE("Welch's test by hand") {
  // Means 2 and 5, variances of them 1/3 and 4/3: t = 3 / sqrt(5/3), 25/9 / (1/9/2 + 16/9/2)
  // degrees.
  const Moments a = moments_of({1, 2, 3}), b = moments_of({3, 5, 7});
  CHECK(welch_p(a, b, 0) == doctest::Approx(student_tail(3 / std::sqrt(5.0 / 3), 50.0 / 17)));
  CHECK(welch_p(a, b, 1) == doctest::Approx(student_tail(2 / std::sqrt(5.0 / 3), 50.0 / 17)));
  CHECK(welch_p(a, b, 3) == 1);
  CHECK(welch_p(b, a, 0) == 1);
  CHECK(welch_p({}, b, 0) == 1);
  CHECK(welch_p(a, {}, 0) == 1);
  // Without any spread there is no chance.
  CHECK(welch_p(moments_of({0, 0}), moments_of({1, 1, 1}), 0.5) == 0);
  CHECK(welch_p(moments_of({0, 0}), moments_of({1, 1, 1}), 1) == 1);
  // A single value is exact: Student's test of the others.
  CHECK(welch_p(moments_of({0}), b, 0) == doctest::Approx(student_tail(5 / std::sqrt(4.0 / 3), 2)));
}

TEST_CASE("what has not changed is called changed as often as said") {
  std::mt19937 random(1);
  std::normal_distribution<double> narrow(3, 0.5), wide(3, 2);
  int alarms = 0, found = 0;
  constexpr int kTrials = 4000;
  for (int i = 0; i < kTrials; ++i) {
    Moments then, now, moved;
    for (int k = 0; k < 8; ++k) then.add(narrow(random));
    for (int k = 0; k < 16; ++k) now.add(wide(random));
    for (int k = 0; k < 16; ++k) moved.add(wide(random) + 4);
    alarms += welch_p(then, now, 0) < 0.05;
    found += welch_p(then, moved, 1) < 0.001;
  }
  CHECK(alarms > 0.035 * kTrials);
  CHECK(alarms < 0.065 * kTrials);
  CHECK(found > 0.9 * kTrials);
}

}  // namespace
}  // namespace firn
