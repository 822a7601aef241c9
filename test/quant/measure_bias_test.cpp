// SPDX-License-Identifier: Apache-2.0
// How far a shift measured on a few frames is trusted.
#include "quant/measure_bias.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

namespace firn {
namespace {

TEST_CASE("a shift that every frame has is taken as it is") {
  CHECK(shrunk_shift(std::vector{2.0, 4.0, 1.0}, std::vector{4.0, 8.0, 2.0}) == 0.5);
  CHECK(shrunk_shift(std::vector{-2.0, 0.0, -1.0}, std::vector{4.0, 0.0, 2.0}) == -0.5);
}

TEST_CASE("a shift of which nothing or one frame tells is none") {
  CHECK(shrunk_shift({}, {}) == 0);
  CHECK(shrunk_shift(std::vector{0.0, 0.0}, std::vector{0.0, 0.0}) == 0);
  CHECK(shrunk_shift(std::vector{3.0, 0.0}, std::vector{4.0, 0.0}) == 0);
  CHECK(shrunk_shift(std::vector{3.0, -3.0}, std::vector{4.0, 4.0}) == 0);
}

TEST_CASE("shrinking leaves less error than the mean where frames differ more than they shift") {
  std::mt19937 random(31);
  std::normal_distribution<double> noise(0, 1);
  for (const double shift : {0.0, 0.1}) {
    double of_mean = 0, of_shrunk = 0;
    for (int trial = 0; trial < 2000; ++trial) {
      std::vector<double> sums(16), counts(16, 10.0);
      double mean = 0;
      for (double& sum : sums) {
        sum = 10 * (shift + noise(random));
        mean += sum / 160;
      }
      of_mean += std::pow(mean - shift, 2);
      of_shrunk += std::pow(shrunk_shift(sums, counts) - shift, 2);
    }
    CHECK(of_shrunk < 0.8 * of_mean);
  }
}

TEST_CASE("a shift far beyond what frames differ by is hardly shrunk") {
  const std::vector sums{10.0, 11.0, 9.0, 10.5}, counts{10.0, 10.0, 10.0, 10.0};
  CHECK(shrunk_shift(sums, counts) == doctest::Approx(1.0125).epsilon(0.01));
}

}  // namespace
}  // namespace firn
