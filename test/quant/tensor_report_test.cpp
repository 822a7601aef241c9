// SPDX-License-Identifier: Apache-2.0
// What a report tells of an activation, on values one can count by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "quant/range.h"
#include "quant/tensor_report.h"

namespace firn {
namespace {

Histogram histogram_of(const std::vector<float>& values) {
  Histogram histogram;
  const auto [lo, hi] = std::ranges::minmax_element(values);
  histogram.add_frame(*lo, *hi, values);
  return histogram;
}

double sum(const std::vector<float>& bins) {
  return std::accumulate(bins.begin(), bins.end(), 0.0);
}

TEST_CASE("a report holds the grid, the extremes and every value once") {
  // 100 zeros, 80 of 0.1, 20 of -0.9.
  std::vector<float> values(100, 0.0f);
  values.insert(values.end(), 80, 0.1f);
  values.insert(values.end(), 20, -0.9f);
  const Histogram histogram = histogram_of(values);
  const Quant quant = to_quant({-1, 1});
  const TensorReport report = tensor_report("x", quant, Method::mse, &histogram);
  CHECK(report.name == "x");
  CHECK(report.method == Method::mse);
  CHECK(report.scale == quant.scale[0]);
  CHECK(report.zero == quant.zero[0]);
  CHECK(report.lo == to_interval(quant).lo);
  CHECK(report.hi == to_interval(quant).hi);
  CHECK(report.frames == 1);
  CHECK(report.min == -0.9f);
  CHECK(report.max == 0.1f);
  CHECK(report.clipped == 0);
  CHECK(report.zeros == doctest::Approx(0.5));
  REQUIRE(report.bins.size() == kReportBins);
  CHECK(sum(report.bins) == doctest::Approx(0.5));
  // The bins lie where the values do.
  const auto bin_of = [&](double x) {
    return static_cast<size_t>((x - report.bins_lo) / (report.bins_hi - report.bins_lo) *
                               kReportBins);
  };
  CHECK(report.bins[bin_of(0.1)] + report.bins[bin_of(0.1) - 1] + report.bins[bin_of(0.1) + 1] ==
        doctest::Approx(0.4));
  CHECK(report.bins[bin_of(-0.9)] + report.bins[bin_of(-0.9) - 1] + report.bins[bin_of(-0.9) + 1] ==
        doctest::Approx(0.1));
}

TEST_CASE("what lies outside the range is clipped, but not what rounds to its ends") {
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) values.push_back(static_cast<float>(i) / 100);  // up to 9.99
  const Histogram histogram = histogram_of(values);
  const TensorReport report = tensor_report("x", to_quant({0, 4}), Method::kl, &histogram);
  CHECK(report.clipped == doctest::Approx(0.6).epsilon(0.01));
  CHECK(report.bins_lo == 0);
  CHECK(report.bins_hi == doctest::Approx(9.99));
  CHECK(tensor_report("x", to_quant({0, 20}), Method::kl, &histogram).bins_hi >= 20);
  // Half a step of 4 / 255 above 4.
  const Histogram edge = histogram_of({1.0f, 4.005f});
  CHECK(tensor_report("x", to_quant({0, 4}), Method::kl, &edge).clipped == 0);
  const Histogram above = histogram_of({1.0f, 4.05f});
  CHECK(tensor_report("x", to_quant({0, 4}), Method::kl, &above).clipped ==
        doctest::Approx(0.5).epsilon(0.05));
}

TEST_CASE("a range without values, and values without a spread") {
  const TensorReport table = tensor_report("x", to_quant({0, 4}), Method::automatic, nullptr);
  CHECK(table.bins.empty());
  CHECK(table.frames == 0);
  CHECK(table.hi == doctest::Approx(4));
  const Histogram empty;
  CHECK(tensor_report("x", to_quant({0, 0}), Method::minmax, &empty).bins.empty());
  const Histogram zeros = histogram_of({0, 0, 0});
  const TensorReport all_zero = tensor_report("x", to_quant({0, 0}), Method::minmax, &zeros);
  CHECK(all_zero.zeros == 1);
  CHECK(all_zero.clipped == 0);
  CHECK(sum(all_zero.bins) == 0);
  const Histogram same = histogram_of({-2, -2});
  const TensorReport one = tensor_report("x", to_quant({-2, -2}), Method::minmax, &same);
  CHECK(one.clipped == 0);
  CHECK(sum(one.bins) == doctest::Approx(1));
}

}  // namespace
}  // namespace firn
