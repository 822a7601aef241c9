// SPDX-License-Identifier: Apache-2.0
// Sums that are floats: what becomes of them is what becomes of the integers, for each sum there
// is.
#include "kernels/float_sums.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "test/kernels/fill.h"

namespace firn::test {
namespace {

using namespace kernels;

// As kernels make an output of it: what is no number, or too small for an integer, is the smallest.
int8_t output(const FloatSum& sum, int32_t acc, float scale, const Clamp8& c) {
  const auto bits = static_cast<uint32_t>(sum.start) + static_cast<uint32_t>(acc);
  const float x = std::fma(std::bit_cast<float>(bits), scale, sum.offset);
  const double y = std::nearbyint(x) >= INT32_MIN ? double{std::nearbyint(x)} : double{INT32_MIN};
  return static_cast<int8_t>(std::clamp<double>(y + c.zero, c.lo, c.hi));
}

// The first sum whose output is another than requantize()'s, or behind the last.
int64_t first_different(const FloatSum& sum, float scale, int64_t least, int64_t most,
                        const Clamp8& c) {
  for (int64_t acc = least; acc <= most; ++acc) {
    const auto a = static_cast<int32_t>(acc);
    if (output(sum, a, scale, c) != requantize(a, scale, c)) return acc;
  }
  return most + 1;
}

TEST_CASE("float_sums: each sum of a channel has the output that it has as an integer") {
  struct Range {
    int64_t least, most;
  };
  std::vector<float> scales(24);
  fill<float>(scales, Fill::random, 5, 1e-4f, 3e-3f);
  // Few digits; products in the middle between integers; so small that all is the zero point.
  for (const float scale : {0x1p-9f, 0x1.8p-12f, 0.5f, 0.75f, 0x1p-23f, 1e-12f, 1e-40f, 0.0f})
    scales.push_back(scale);
  // All digits, where there is no C if sums are many: it would be next to 2^23 or to 2^24.
  const size_t common = scales.size();
  for (const float scale : {0x1.fffffep-10f, 0x1.000002p-11f, 0x1.fffffep-1f})
    scales.push_back(scale);
  for (const Clamp8 clamp : {Clamp8{3, -128, 127}, Clamp8{-128, -127, 127}, Clamp8{127, -128, 127},
                             Clamp8{-20, -10, 90}, Clamp8{-7, -7, 100}})
    for (const Range range : {Range{-400'000, 300'000}, Range{5'000, 250'000}, Range{-9, -2}}) {
      for (size_t i = 0; i < scales.size(); ++i) {
        const float scale = scales[i];
        CAPTURE(clamp.zero);
        CAPTURE(scale);
        CAPTURE(range.least);
        FloatSum sum{};
        const bool found = find_float_sum(scale, range.least, range.most, clamp, sum);
        CHECK((found || (i >= common && range.most > 0)));
        if (found)
          CHECK(first_different(sum, scale, range.least, range.most, clamp) == range.most + 1);
      }
    }
}

TEST_CASE("float_sums: the widest range") {
  for (const float scale : {1.234567e-4f, 7.654321e-6f}) {
    for (const int64_t least : {int64_t{-1} << 22, int64_t{-1} << 21, int64_t{0}}) {
      const int64_t most = least + (1 << 22);
      FloatSum sum{};
      CAPTURE(scale);
      CAPTURE(least);
      REQUIRE(find_float_sum(scale, least, most, Clamp8{}, sum));
      CHECK(first_different(sum, scale, least, most, Clamp8{}) == most + 1);
    }
  }
}

TEST_CASE(
    "float_sums: there are none of wide ranges and of scales that are not from 0 to below 1") {
  FloatSum sum{};
  const Clamp8 any{3, -128, 127}, relu{-128, -128, 127};
  CHECK_FALSE(find_float_sum(1e-3f, -1, int64_t{1} << 22, any, sum));
  CHECK_FALSE(find_float_sum(1e-3f, (int64_t{1} << 22) + 1, (int64_t{1} << 22) + 1, any, sum));
  CHECK_FALSE(find_float_sum(1e-3f, INT32_MIN, INT32_MAX, any, sum));
  CHECK(find_float_sum(1e-3f, INT32_MIN + 1, kLargestFloatSum, relu, sum));
  CHECK_FALSE(find_float_sum(1e-3f, INT32_MIN, kLargestFloatSum, relu, sum));
  CHECK_FALSE(find_float_sum(1e-3f, 0, int64_t{kLargestFloatSum} + 1, relu, sum));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float scale : {1.0f, 2.0f, -1e-3f, kInfinity, std::numeric_limits<float>::quiet_NaN()})
    for (const Clamp8& clamp : {any, relu}) CHECK_FALSE(find_float_sum(scale, -9, 9, clamp, sum));
}

}  // namespace
}  // namespace firn::test
