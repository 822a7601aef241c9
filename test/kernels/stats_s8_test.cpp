// SPDX-License-Identifier: Apache-2.0
// Counts and extremes of int8 values against the plain loop.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/stats_s8.h"

namespace firn::kernels {
namespace {

TEST_CASE("int8 statistics equal the plain loop's, for every tail") {
  std::mt19937 random(7);
  for (const size_t n : {0, 1, 15, 16, 17, 127, 128, 129, 255, 256, 257, 1000}) {
    for (const int lo : {-128, -127, -3, 100}) {
      const int hi = lo == -128 ? 127 : std::min(lo + 30, 127);
      std::vector<int8_t> x(n);
      for (int8_t& v : x)
        v = static_cast<int8_t>(lo +
                                static_cast<int>(random() % static_cast<unsigned>(hi - lo + 1)));
      StatsS8 expected;
      for (const int8_t v : x) {
        expected.low += v == -128;
        expected.high += v == 127;
        expected.min = std::min(expected.min, v);
        expected.max = std::max(expected.max, v);
      }
      CAPTURE(n);
      CAPTURE(lo);
      StatsS8 stats;
      add_stats_s8(n, x.data(), stats);
      CHECK(stats == expected);
      // In two parts.
      StatsS8 parts;
      add_stats_s8(n / 3, x.data(), parts);
      add_stats_s8(n - n / 3, x.data() + n / 3, parts);
      CHECK(parts == expected);
    }
  }
}

TEST_CASE("more values at an end than a byte counts") {
  for (const int8_t end : {int8_t{-128}, int8_t{127}}) {
    const std::vector<int8_t> x(1000, end);
    StatsS8 stats;
    add_stats_s8(x.size(), x.data(), stats);
    CHECK(stats.low == (end == -128 ? 1000u : 0u));
    CHECK(stats.high == (end == 127 ? 1000u : 0u));
  }
}

}  // namespace
}  // namespace firn::kernels
