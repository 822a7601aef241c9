// SPDX-License-Identifier: Apache-2.0
// Signal-to-noise ratios and name patterns.
#include "quant/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace firn {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST_CASE("sqnr_db") {
  const std::vector<float> x{3, -4};
  CHECK(sqnr_db(x, x) == kInf);
  CHECK(sqnr_db(x, std::vector<float>{3.3f, -4.4f}) == doctest::Approx(20));
  CHECK(sqnr_db(x, std::vector<float>{0, 0}) == doctest::Approx(0));
  CHECK(sqnr_db(std::vector<float>{0, 0}, x) == -kInf);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(sqnr_db(x, std::vector<float>{3, nan}) == -kInf);
  CHECK(sqnr_db(std::vector<float>{3, nan}, std::vector<float>{3, nan}) == kInf);
  // Of many values, wherever one is not finite.
  for (const size_t at : {0, 700, 1023, 1024, 2046}) {
    std::vector<float> a(2047, 2), b(2047, 2.5f);
    CHECK(sqnr_db(a, b) == doctest::Approx(10 * std::log10(16)));
    a[at] = b[at] = nan;
    CHECK(sqnr_db(a, b) == doctest::Approx(10 * std::log10(16)));
    b[at] = 2;
    CHECK(sqnr_db(a, b) == -kInf);
  }
}

TEST_CASE("Sqnr: frames add up") {
  Sqnr sqnr;
  sqnr.add(std::vector<float>{10}, std::vector<float>{10});
  sqnr.add(std::vector<float>{10}, std::vector<float>{8});
  CHECK(sqnr.db() == doctest::Approx(10 * std::log10(200.0 / 4)));
}

TEST_CASE("matches") {
  CHECK(matches("conv1", "conv1"));
  CHECK_FALSE(matches("conv1", "conv10"));
  CHECK(matches("conv*", "conv10"));
  CHECK(matches("*", ""));
  CHECK_FALSE(matches("?", ""));
  CHECK(matches("c?nv", "conv"));
  CHECK(matches("*/conv_?/*", "block/conv_3/out"));
  CHECK_FALSE(matches("*/conv_?/*", "block/conv_33/out"));
  CHECK(matches("a*b*c", "aXbYbZc"));
  CHECK_FALSE(matches("a*b*c", "aXbYbZ"));
  CHECK_FALSE(matches("", "x"));
}

}  // namespace
}  // namespace firn
