// SPDX-License-Identifier: Apache-2.0
// Sums that are floats: what becomes of them is what becomes of the integers, for each sum there
// is.
#include "kernels/float_sums.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/dwconv_s8.h"
#include "kernels/gemm_s8.h"
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

// Their outputs are the same without, so that nothing else would tell that none are found.
template <typename Table>
void check_found(const Table& table, const ConvShape& s) {
  const auto channels = static_cast<size_t>(s.groups * s.out_c);
  Guarded<int8_t> weights(channels * static_cast<size_t>(s.kernel_h * s.kernel_w * s.in_c));
  Guarded<float> scale(channels);
  fill(weights.span(), Fill::random, 7);
  fill<float>(scale.span(), Fill::random, 8, 1e-4f, 3e-3f);
  for (const auto& variant : table) {
    if ((supported_isas() & bit(variant.isa)) == 0) continue;
    CAPTURE(std::string(variant.name));
    Guarded<uint8_t> packed(variant.packed_bytes(s)), found(variant.float_sums_bytes(s));
    variant.pack(s, weights.data(), nullptr, 3, packed.data());
    for (const Clamp8& clamp : {Clamp8{3, -128, 127}, Clamp8{-128, -128, 127}}) {
      const bool any = variant.float_sums(s, packed.data(), scale.data(), clamp, found.data());
      CHECK(any == variant.writes_unsigned);  // the same variants
    }
    scale[channels - 1] = 1;
    CHECK_FALSE(variant.float_sums(s, packed.data(), scale.data(), Clamp8{}, found.data()));
    scale[channels - 1] = 1e-3f;
  }
}

TEST_CASE("float_sums: kernels that take them find them") {
  ConvShape product;
  product.in_w = product.out_w = 9;
  product.in_c = product.in_pixel_stride = 64;
  product.out_c = product.out_pixel_stride = 70;
  check_found(gemm_s8_table(), product);
  ConvShape depthwise;
  depthwise.in_h = depthwise.in_w = depthwise.out_h = depthwise.out_w = 9;
  depthwise.kernel_h = depthwise.kernel_w = 3;
  depthwise.pad_top = depthwise.pad_left = 1;
  depthwise.groups = depthwise.in_pixel_stride = depthwise.out_pixel_stride = 70;
  check_found(dwconv_s8_table(), depthwise);
}

}  // namespace
}  // namespace firn::test
