// SPDX-License-Identifier: Apache-2.0
// The figures of compare and bench, on numbers one can check by hand.
#include <doctest/doctest.h>
#include <cmath>
#include <vector>

#include "examples/firn/bench_stats.h"
#include "examples/firn/error_stats.h"
#include "examples/firn/floats.h"

namespace firn::tool {
namespace {

using Floats = std::vector<float>;

TEST_CASE("SQNR and largest error add up over samples") {
  OutputError error;
  error.add(Floats{3, 4}, Floats{3, 4});
  CHECK(std::isinf(error.sqnr_db()));
  error.add(Floats{10, 0}, Floats{10, 0.5});
  error.add(Floats{0}, Floats{-1});
  // 125 of signal, 0.25 + 1 of noise: 20 dB.
  CHECK(error.sqnr_db() == doctest::Approx(20.0));
  CHECK(error.max_abs_error() == 1.0);
}

TEST_CASE("equal infinities are equal, NaN stays") {
  OutputError equal;
  equal.add(Floats{INFINITY}, Floats{INFINITY});
  CHECK(equal.max_abs_error() == 0.0);
  CHECK(equal.sqnr_db() == INFINITY);
  OutputError bad;
  bad.add(Floats{1}, Floats{NAN});
  bad.add(Floats{1}, Floats{3});
  CHECK(std::isnan(bad.max_abs_error()));
  CHECK(std::isnan(bad.sqnr_db()));
  OutputError silent;
  silent.add(Floats{0}, Floats{1});
  CHECK(silent.sqnr_db() == -INFINITY);
}

TEST_CASE("top-1 counts agreement with and without labels") {
  TopOne top;
  CHECK(!top.agreement());
  top.add(Floats{0, 1}, Floats{0, 1}, 1);
  top.add(Floats{0, 1}, Floats{1, 0}, 1);
  top.add(Floats{0, 1}, Floats{1, 0}, std::nullopt);
  CHECK(*top.agreement() == doctest::Approx(1.0 / 3));
  CHECK(*top.accuracy_a() == 1.0);
  CHECK(*top.accuracy_b() == 0.5);
}

TEST_CASE("top-1 is counted by class, too") {
  TopOne top;
  top.add(Floats{0, 1}, Floats{0, 1}, 1);
  top.add(Floats{0, 1}, Floats{1, 0}, 1);
  top.add(Floats{0, 1}, Floats{1, 0}, 0);
  top.add(Floats{0, 1}, Floats{1, 0}, std::nullopt);
  REQUIRE(top.classes().size() == 2);
  CHECK(top.classes().at(1) == ClassCount{2, 1, 2, 1});
  CHECK(top.classes().at(0) == ClassCount{1, 0, 0, 1});
}

TEST_CASE("scores are one row") {
  CHECK(is_scores({1, 1000}));
  CHECK(is_scores({1, 10, 1, 1}));
  CHECK(!is_scores({1, 4420, 2}));
  CHECK(!is_scores({1, 1}));
}

TEST_CASE("median, minimum and 90th percentile") {
  const TimeStats one = time_stats({5});
  CHECK(one.median_ms == 5);
  CHECK(one.p90_ms == 5);
  const TimeStats ten = time_stats({10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(ten.median_ms == 5.5);
  CHECK(ten.min_ms == 1);
  CHECK(ten.p90_ms == 9);
  CHECK(time_stats({3, 1, 2}).median_ms == 2);
  CHECK(time_stats({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}).p90_ms == 10);
  CHECK(peak_rss_bytes() > 100'000);
}

TEST_CASE("noise is the same at every call, and leaves indices zero") {
  const std::vector<TensorInfo> inputs = {{"x", DType::f32, {2, 3}, {}},
                                          {"i", DType::i64, {4}, {}}};
  const NoiseInputs a = noise_inputs(inputs), b = noise_inputs(inputs);
  CHECK(a.arrays[0].data == b.arrays[0].data);
  for (const float value : a.tensors[0].tensor.as<const float>()) {
    CHECK((value >= 0.0f && value <= 1.0f));
  }
  CHECK(a.tensors[0].tensor.as<const float>()[0] != a.tensors[0].tensor.as<const float>()[1]);
  CHECK(a.arrays[1].data == std::vector<std::byte>(32));
}

TEST_CASE("quantized tensors become real values") {
  std::vector<uint8_t> bytes = {0, 128, 255};
  const Quant quant{.axis = -1, .bits = 8, .block = 0, .scale = {0.5f}, .zero = {128}};
  CHECK(*floats_of(view({3}, bytes.data()), quant) == Floats{-64, 0, 63.5});
  CHECK(*floats_of(view({3}, bytes.data())) == Floats{0, 128, 255});
  std::vector<int64_t> wide = {-5};
  CHECK(*floats_of(view({1}, wide.data())) == Floats{-5});
  CHECK(!floats_of({DType::f16, {1}, bytes.data()}).ok());
}

}  // namespace
}  // namespace firn::tool
