// SPDX-License-Identifier: Apache-2.0
// The main job: calibrate, freeze, go on in int8, save, load, thaw; and everything that refuses.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "kernels/isa.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

const LayerReport& layer(const FreezeReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.layers, name, &LayerReport::name);
  REQUIRE(found != report.layers.end());
  return *found;
}

std::string temporary(const std::string& name) {
  return std::string(FIRN_BINARY) + "/" + name;
}

// Of the logits against fp32, in dB, on frames that nothing was calibrated on.
double logits_sqnr(Session& fp32, Session& other) {
  double signal = 0, noise = 0;
  for (uint32_t i = 0; i < 20; ++i) {
    const auto want = run_all(fp32, frame(500 + i));
    const auto got = run_all(other, frame(500 + i));
    for (size_t k = 0; k < 10; ++k) {
      signal += want[k] * want[k];
      noise += (want[k] - got[k]) * (want[k] - got[k]);
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST_CASE("answers stay fp32 while calibrating, and are near them once frozen") {
  const Model model = small_model();
  Session fp32 = must(Session::create(model));
  Session session = must(Session::create(model));
  CHECK(session.state() == State::fp32);
  must(session.calibrate());
  CHECK(session.state() == State::calibrating);
  for (uint32_t i = 0; i < 40; ++i)
    CHECK(run_all(session, frame(100 + i)) == run_all(fp32, frame(100 + i)));
  const CalibrationStatus status = session.calibration();
  CHECK(status.frames == 35);
  CHECK(status.held_back == 5);
  CHECK(status.rejected == 0);

  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(session.state() == State::frozen);
  CHECK(report.verified_frames == 5);
  CHECK(report.layers_int8 > 10);
  CHECK(report.layers_int8 + report.layers_float == static_cast<int>(report.layers.size()));
  CHECK(report.bytes_after < report.bytes_before / 2);
  for (const char* name : {"stem", "expand", "depthwise", "project", "left", "right", "logits"}) {
    CAPTURE(name);
    CHECK(layer(report, name).precision == Precision::i8);
    CHECK(layer(report, name).sqnr_db > 20);
  }
  CHECK(layer(report, "prob").precision == Precision::f32);
  CHECK(!layer(report, "prob").why.empty());
  REQUIRE(report.outputs.size() == 2);
  CHECK(report.outputs[0].name == "logits");
  CHECK(report.outputs[0].sqnr_db > 25);
  CHECK(std::isfinite(report.outputs[0].sqnr_db));
  CHECK(report.outputs[0].max_abs_error > 0);

  // The frames of the report are not these; the error is of the same size.
  CHECK(logits_sqnr(fp32, session) > 25);
  CHECK(std::isfinite(logits_sqnr(fp32, session)));
}

TEST_CASE("the report has the range of every int8 activation beside its values") {
  Session session = calibrated(small_model());
  const FreezeReport report = must(session.freeze({.method = Method::minmax, .timed = false}));
  const auto tensor = [&](const std::string& name) {
    const auto found = std::ranges::find(report.tensors, name, &TensorReport::name);
    REQUIRE(found != report.tensors.end());
    return *found;
  };
  CHECK(report.tensors.front().name == "image");
  CHECK(tensor("image").frames == 35);
  CHECK(tensor("image").min < -0.9f);
  CHECK(tensor("image").max > 0.9f);
  for (const TensorReport& each : report.tensors) {
    CAPTURE(each.name);
    CHECK(each.method == Method::minmax);
    CHECK(each.lo == doctest::Approx(each.scale * static_cast<float>(-128 - each.zero)));
    CHECK(each.hi == doctest::Approx(each.scale * static_cast<float>(127 - each.zero)));
    CHECK(!each.bins.empty());
  }
  // Of the network's own ranges nothing is lost by min/max; a squeezed one loses much.
  CHECK(tensor("relu1").clipped < 0.001);
  CHECK(tensor("relu1").lo == 0);
  CHECK(tensor("relu1").zeros > 0.05);
}

TEST_CASE("every instruction set gives the same bytes") {
  Session session = calibrated(small_model());
  must(session.freeze({.timed = false}));
  const std::string path = temporary("rungs.firn");
  must(session.save(path));
  const Model frozen = must(Model::load(path));
  const std::vector<float> expected = run_all(session, frame(1));
  for (int i = 0; i < kernels::kIsaCount; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
    CAPTURE(kernels::isa_name(isa));
    Session forced = must(Session::create(frozen, {.isa = kernels::isa_name(isa)}));
    CHECK(run_all(forced, frame(1)) == expected);
    Session threaded = must(Session::create(frozen, {.threads = 3, .isa = kernels::isa_name(isa)}));
    CHECK(run_all(threaded, frame(1)) == expected);
  }
  std::remove(path.c_str());
}

TEST_CASE("a frozen model loads as int8 and answers alike, also for other batches") {
  Session session = calibrated(small_model());
  must(session.freeze({.timed = false}));
  const std::string path = temporary("frozen.firn");
  must(session.save(path));
  const Model model = must(Model::load(path));
  std::remove(path.c_str());
  CHECK(model.info().layers_int8 > 0);
  CHECK(model.inputs()[0].name == "image");
  CHECK(model.inputs()[0].type == DType::f32);
  Session loaded = must(Session::create(model));
  CHECK(loaded.state() == State::frozen);
  CHECK(run_all(loaded, frame(1)) == run_all(session, frame(1)));
  CHECK(loaded.calibrate().code() == Code::failed_precondition);
  CHECK(loaded.thaw().code() == Code::failed_precondition);

  std::vector<float> batch;
  for (uint32_t i = 0; i < 2; ++i)
    for (const float v : frame(1 + i)) batch.push_back(v);
  const auto both = run_all(session, batch, small_shape(2));
  CHECK(run_all(loaded, batch, small_shape(2)) == both);
  const auto first = run_all(session, frame(1));
  CHECK(std::vector<float>(both.begin(), both.begin() + 10) ==
        std::vector<float>(first.begin(), first.begin() + 10));
}

TEST_CASE(
    "a saved model is left as it is by the passes, with its dimensions as open as they were") {
  const Model imported = small_model();
  CHECK(must(imported.impl().imported()).nodes.size() >
        must(imported.impl().optimised()).nodes.size());
  Session session = calibrated(imported);
  must(session.freeze({.timed = false}));
  const std::string path = temporary("frozen.firn"), again = temporary("again.firn");
  must(session.save(path));
  const Model model = must(Model::load(path));
  const Graph optimised = must(model.impl().optimised()), graph = must(model.impl().imported());
  CHECK(graph.nodes.size() == optimised.nodes.size());
  CHECK(std::ranges::equal(graph.values, optimised.values, {}, &Value::constant, &Value::constant));
  CHECK(graph.value(graph.inputs[0]).shape == Shape{-1, 3, 24, 24});
  CHECK(optimised.value(optimised.inputs[0]).shape == small_shape());
  CHECK(model.inputs()[0].shape == Shape{-1, 3, 24, 24});
  must(model.save(again));
  {
    const MappedFile one = must(map_file(path)), two = must(map_file(again));
    CHECK(std::ranges::equal(one.bytes, two.bytes));
  }
  for (const std::string& file : {path, again}) std::remove(file.c_str());
}

TEST_CASE("thaw brings fp32 back, and the calibration is still good") {
  const Model model = small_model();
  Session session = calibrated(model);
  const auto before = run_all(session, frame(1));
  const FreezeReport first = must(session.freeze({.timed = false}));
  const auto frozen = run_all(session, frame(1));
  CHECK(frozen != before);
  must(session.thaw());
  CHECK(session.state() == State::fp32);
  CHECK(run_all(session, frame(1)) == before);
  CHECK(session.thaw().code() == Code::failed_precondition);
  const FreezeReport again = must(session.freeze({.timed = false}));
  CHECK(again.layers_int8 == first.layers_int8);
  CHECK(run_all(session, frame(1)) == frozen);
}

TEST_CASE("without float weights there is no way back") {
  Session session = calibrated(small_model());
  must(session.freeze({.timed = false, .keep_float_weights = false}));
  run_all(session, frame(1));
  CHECK(session.thaw().message() == "thaw: the float weights were not kept");
  CHECK(session.calibrate().code() == Code::failed_precondition);
  CHECK(session.freeze().status().code() == Code::failed_precondition);
  run_all(session, frame(2, small_shape(2)), small_shape(2));
}

TEST_CASE("layers are kept in float by name, pattern and type") {
  Session session = calibrated(small_model());
  FreezeReport report =
      must(session.freeze({.keep_float = {"st?m", "type:Softmax"}, .timed = false}));
  CHECK(layer(report, "stem").precision == Precision::f32);
  CHECK(layer(report, "stem").why.find("st?m") != std::string::npos);
  CHECK(layer(report, "expand").precision == Precision::i8);
  must(session.thaw());
  report = must(session.freeze({.keep_float = {"type:Conv2d"}, .timed = false}));
  for (const LayerReport& l : report.layers)
    if (l.op == "Conv2d") CHECK(l.precision == Precision::f32);
  must(session.thaw());
  const Status status = session.freeze({.keep_float = {"nothing*"}}).status();
  CHECK(status.code() == Code::invalid_argument);
  CHECK(status.message().find("nothing*") != std::string::npos);
  CHECK(session.state() == State::fp32);
}

TEST_CASE("a freeze over the error limit is refused, and calibrating goes on") {
  Session session = calibrated(small_model());
  const auto before = run_all(session, frame(1));
  const Status status = session.freeze({.min_sqnr_db = 200, .timed = false}).status();
  CHECK(status.code() == Code::refused);
  CHECK(status.message().find("the limit is 200.0 dB") != std::string::npos);
  CHECK(session.state() == State::calibrating);
  CHECK(run_all(session, frame(1)) == before);
  CHECK(must(session.freeze({.min_sqnr_db = 10, .timed = false})).layers_int8 > 0);
}

TEST_CASE("freezing takes a calibration with frames") {
  Session session = must(Session::create(small_model()));
  CHECK(session.freeze().status().message() == "freeze: the session has not been calibrated");
  must(session.calibrate());
  CHECK(session.freeze().status().message() == "freeze: no frames were observed since calibrate()");
  observe(session, 3);
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.verified_frames == 0);
  bool few = false, unverified = false;
  for (const std::string& w : report.warnings) {
    few = few || w.find("3 frames only") != std::string::npos;
    unverified = unverified || w.find("no frames were held back") != std::string::npos;
  }
  CHECK(few);
  CHECK(unverified);
  CHECK(session.calibrate().code() == Code::failed_precondition);
}

TEST_CASE("frames with NaN or infinities are counted and left out") {
  const Model model = small_model();
  Session clean = calibrated(model, 24);
  Session dirty = must(Session::create(model));
  must(dirty.calibrate({.hold_back_every = 1000}));
  Session reference = must(Session::create(model));
  must(reference.calibrate({.hold_back_every = 1000}));
  for (uint32_t i = 0; i < 24; ++i) {
    run_all(dirty, frame(100 + i));
    run_all(reference, frame(100 + i));
    if (i % 4 != 0) continue;
    std::vector<float> bad = frame(900 + i);
    bad[i] = i % 8 == 0 ? std::numeric_limits<float>::quiet_NaN()
                        : std::numeric_limits<float>::infinity();
    run_all(dirty, bad);
  }
  CHECK(dirty.calibration().rejected == 6);
  CHECK(dirty.calibration().last_rejected == "image");
  CHECK(dirty.calibration().frames == reference.calibration().frames);
  const FreezeReport report = must(dirty.freeze({.timed = false}));
  must(reference.freeze({.timed = false}));
  CHECK(run_all(dirty, frame(1)) == run_all(reference, frame(1)));
  CHECK(std::ranges::any_of(report.warnings, [](const std::string& w) {
    return w.find("6 frames with NaN") != std::string::npos;
  }));

  Session only_bad = must(Session::create(model));
  must(only_bad.calibrate());
  run_all(only_bad, std::vector<float>(small_shape().elements(), NAN));
  CHECK(only_bad.freeze().status().message() ==
        "freeze: no frames were observed since calibrate(), 1 were rejected for image");
}

TEST_CASE("constant and zero frames freeze too") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate());
  for (int i = 0; i < 20; ++i) run_all(session, std::vector<float>(small_shape().elements(), 0.0f));
  must(session.freeze({.timed = false}));
  for (const float v : run_all(session, frame(1))) CHECK(std::isfinite(v));
}

TEST_CASE("ranges stay good when the batch changes while calibrating") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate());
  for (uint32_t i = 0; i < 12; ++i) {
    run_all(session, frame(i));
    run_all(session, frame(50 + i, small_shape(2)), small_shape(2));
  }
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.layers_int8 > 10);
  CHECK(run_all(session, frame(3, small_shape(3)), small_shape(3)).size() == 60);
}

TEST_CASE("a table carries a calibration to another session") {
  Session session = calibrated(small_model());
  const std::string path = temporary("calibration.table");
  must(session.save_table(path));
  Session other = must(Session::create(small_model()));
  must(other.load_table(path));
  must(other.freeze({.timed = false}));
  Session fp32 = must(Session::create(small_model()));
  CHECK(logits_sqnr(fp32, other) > 20);
  const Status status = other.load_table(path);
  CHECK(status.code() == Code::failed_precondition);

  Session different = must(Session::create(small_model(32)));
  CHECK(different.load_table(path).code() != Code::ok);
  CHECK(different.freeze().status().code() == Code::failed_precondition);
  std::remove(path.c_str());
}

TEST_CASE("more threads give the same frozen bytes") {
  const Model model = small_model();
  std::vector<std::vector<float>> answers;
  for (const int threads : {1, 2}) {
    Session session = must(Session::create(model, {.threads = threads}));
    must(session.calibrate({.method = Method::minmax}));
    observe(session, 20);
    must(session.freeze({.timed = false}));
    answers.push_back(run_all(session, frame(1)));
  }
  CHECK(largest_difference(answers[0], answers[1]) < 0.05);
}

// Whether int8 wins is the machine's business: what freeze says of it is not.
TEST_CASE("a timed freeze gives the faster program, or refuses with the numbers") {
  const Model model = small_model();
  Session untimed = calibrated(model);
  const FreezeReport plain = must(untimed.freeze({.timed = false}));
  CHECK(plain.ms_float == 0);
  CHECK(plain.ms_int8 == 0);
  for (const LayerReport& l : plain.layers) {
    CHECK(l.ms_float == 0);
    CHECK(l.ms_int8 == 0);
    CHECK(l.why.find("faster") == std::string::npos);
  }

  for (const int threads : {1, 2}) {
    Session session = must(Session::create(model, {.threads = threads}));
    must(session.calibrate());
    observe(session, 40);
    const Result<FreezeReport> timed = session.freeze();
    if (!timed.ok()) {
      CHECK(timed.status().code() == Code::refused);
      CHECK(timed.status().message().find("int8 is slower here") != std::string::npos);
      CHECK(session.state() == State::calibrating);
      continue;
    }
    CHECK(timed->ms_float > 0);
    CHECK(timed->ms_int8 > 0);
    CHECK(timed->ms_int8 <= 1.05 * timed->ms_float);
    REQUIRE(timed->layers.size() == plain.layers.size());
    CHECK(layer(*timed, "expand").ms_float > 0);
    CHECK(layer(*timed, "expand").ms_int8 > 0);
    CHECK(layer(*timed, "prob").ms_int8 == 0);
    bool same = true;
    for (size_t i = 0; i < plain.layers.size(); ++i) {
      const LayerReport& l = timed->layers[i];
      same = same && l.precision == plain.layers[i].precision;
      if (l.precision == Precision::f32) CHECK(!l.why.empty());
    }
    // The times choose layers; they change nothing else.
    if (same) CHECK(run_all(session, frame(1)) == run_all(untimed, frame(1)));
  }
}

TEST_CASE("with nothing in int8 there is nothing to time") {
  Session session = calibrated(small_model());
  const auto before = run_all(session, frame(1));
  const FreezeReport report = must(session.freeze({.keep_float = {"*"}}));
  CHECK(report.layers_int8 == 0);
  CHECK(report.ms_float == 0);
  CHECK(run_all(session, frame(1)) == before);
}

}  // namespace
}  // namespace firn::test
