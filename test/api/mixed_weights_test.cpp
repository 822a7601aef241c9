// SPDX-License-Identifier: Apache-2.0
// Weights of as many bits as each layer needs for a limit on the outputs' error, on a session's own
// frames.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "firn/quantize.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

WeightOptions with_limit(double db) {
  WeightOptions options;
  options.min_sqnr_db = db;
  return options;
}

double least_db(const WeightReport& report) {
  double least = INFINITY;
  for (const OutputReport& output : report.outputs) least = std::min(least, output.sqnr_db);
  return least;
}

TEST_CASE("mixed weights: the limit holds on held-back frames, at fewer bytes the lower it is") {
  const Model model = small_model();
  Session session = calibrated(model);
  const std::vector<float> before = run_all(session, frame(1));
  size_t last = SIZE_MAX;
  for (const double limit : {40.0, 30.0, 20.0}) {
    CAPTURE(limit);
    const WeightModel made = must(session.quantize_weights(with_limit(limit)));
    REQUIRE(made.report.outputs.size() == 2);
    CHECK(made.report.outputs[0].name == "logits");
    CHECK(least_db(made.report) >= limit);
    CHECK(made.report.bytes_after < last);
    last = made.report.bytes_after;
    size_t bytes = 0;
    for (const WeightLayer& layer : made.report.layers) {
      CHECK(layer.bits >= 2);
      CHECK(layer.bits <= 8);
      CHECK(layer.why.empty());
      bytes += layer.bytes_after;
    }
    CHECK(bytes < made.report.bytes_after);
    // The file says the same as the report.
    Session other = must(Session::create(made.model));
    CHECK(largest_difference(run_all(other, frame(1)), before) > 0);
  }
  CHECK(run_all(session, frame(1)) == before);
  CHECK(session.state() == State::calibrating);
}

TEST_CASE("mixed weights: no larger than one number of bits for all that holds the limit") {
  Session session = calibrated(small_model());
  const double limit = 25;
  const WeightReport mixed = must(session.quantize_weights(with_limit(limit))).report;
  std::set<int> bits;
  for (const WeightLayer& layer : mixed.layers) bits.insert(layer.bits);
  CHECK(bits.size() > 1);
  bool compared = false;
  for (int n = 2; n <= 8 && !compared; ++n) {
    WeightOptions uniform;
    uniform.bits = n;
    uniform.short_filter = 0;
    uniform.short_row_bits = 2;
    const WeightReport report = must(session.quantize_weights(uniform)).report;
    if (least_db(report) < limit) continue;
    compared = true;
    CHECK(mixed.bytes_after < report.bytes_after);
  }
  CHECK(compared);
}

TEST_CASE("mixed weights: the same frames give the same choice; layers can be kept") {
  const Model model = small_model();
  Session a = calibrated(model), b = calibrated(model);
  const WeightReport one = must(a.quantize_weights(with_limit(25))).report;
  const WeightReport two = must(b.quantize_weights(with_limit(25))).report;
  REQUIRE(one.layers.size() == two.layers.size());
  for (size_t i = 0; i < one.layers.size(); ++i) {
    CHECK(one.layers[i].bits == two.layers[i].bits);
    CHECK(one.layers[i].block == two.layers[i].block);
  }
  WeightOptions options = with_limit(25);
  options.keep_float = {"logits"};
  for (const WeightLayer& layer : must(a.quantize_weights(options)).report.layers)
    CHECK((layer.bits == 32) == (layer.name == "logits"));
}

TEST_CASE("mixed weights: what they cannot do is said") {
  const Model model = small_model();
  CHECK(quantize_weights(model, with_limit(20)).status().code() == Code::invalid_argument);
  Session session = must(Session::create(model));
  CHECK(session.quantize_weights(with_limit(20)).status().message() ==
        "quantize_weights: min_sqnr_db takes frames that a calibration held back");
  must(session.calibrate());
  observe(session, 40);
  const Status refused = session.quantize_weights(with_limit(90)).status();
  CHECK(refused.code() == Code::refused);
  CHECK(refused.message().find("the limit is 90.0 dB") != std::string::npos);
  must(session.freeze({.timed = false}));
  CHECK(session.quantize_weights(with_limit(20)).status().message() ==
        "quantize_weights: min_sqnr_db takes a session in fp32; thaw it first");
}

}  // namespace
}  // namespace firn::test
