// SPDX-License-Identifier: Apache-2.0
// Calibrations that are saved, merged and loaded; and the options of ranges and weights.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "runtime/file.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

std::string temporary(const std::string& name) {
  return std::string(FIRN_BINARY) + "/" + name;
}

std::vector<std::byte> bytes_of(const std::string& path) {
  const MappedFile file = must(map_file(path));
  return {file.bytes.begin(), file.bytes.end()};
}

Session calibrating(const Model& model, int frames, uint32_t seed = 100) {
  Session session = must(Session::create(model));
  must(session.calibrate({.hold_back_max = 0, .keep_max = 0}));
  observe(session, frames, seed);
  return session;
}

std::vector<std::byte> frozen_bytes(Session& session, const FreezeOptions& options = {}) {
  FreezeOptions untimed = options;
  untimed.timed = false;
  must(session.freeze(untimed));
  const std::string path = temporary("calibration_frozen.firn");
  must(session.save(path));
  const auto bytes = bytes_of(path);
  std::remove(path.c_str());
  return bytes;
}

double sqnr(Session& fp32, Session& other) {
  double signal = 0, noise = 0;
  for (uint32_t i = 0; i < 10; ++i) {
    const auto want = run_all(fp32, frame(500 + i)), got = run_all(other, frame(500 + i));
    for (size_t k = 0; k < want.size(); ++k) {
      signal += want[k] * want[k];
      noise += (want[k] - got[k]) * (want[k] - got[k]);
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST_CASE("calibrations of two sessions merge to the frozen bytes of one over all frames") {
  const Model model = small_model();
  const std::string a = temporary("a.calib"), b = temporary("b.calib"), c = temporary("c.calib");
  must(calibrating(model, 25, 100).save_calibration(a));
  must(calibrating(model, 15, 125).save_calibration(b));
  must(merge_calibrations(std::vector{b, a}, c));
  for (const Method method : {Method::automatic, Method::ema, Method::minmax}) {
    Session whole = calibrating(model, 40);
    Session merged = must(Session::create(model));
    must(merged.load_calibration(c));
    CHECK(merged.state() == State::calibrating);
    CHECK(merged.calibration().frames == 40);
    CHECK(frozen_bytes(merged, {.method = method}) == frozen_bytes(whole, {.method = method}));
  }
  for (const std::string& path : {a, b, c}) std::remove(path.c_str());
}

TEST_CASE("a calibration goes on where it was saved") {
  const Model model = small_model();
  const std::string path = temporary("paused.calib");
  Session first = calibrating(model, 20);
  must(first.save_calibration(path));
  Session second = must(Session::create(model));
  must(second.load_calibration(path, {.hold_back_max = 0, .keep_max = 0}));
  observe(second, 20, 120);
  Session whole = calibrating(model, 40);
  CHECK(second.calibration().movement == whole.calibration().movement);
  CHECK(frozen_bytes(second) == frozen_bytes(whole));

  // With frames that are held back, freeze verifies; the state itself has none.
  Session verified = must(Session::create(model));
  must(verified.load_calibration(path, {.hold_back_every = 1}));
  observe(verified, 6, 700);
  CHECK(verified.calibration().frames == 20);
  CHECK(must(verified.freeze({.timed = false})).verified_frames == 6);
  std::remove(path.c_str());
}

TEST_CASE("a calibration of another model, or none, is refused") {
  const Model model = small_model();
  const std::string path = temporary("other.calib");
  must(calibrating(model, 3).save_calibration(path));
  Session other = must(Session::create(small_model(32)));
  const Status status = other.load_calibration(path);
  CHECK(status.code() == Code::failed_precondition);
  CHECK(status.message() ==
        path + ": the calibration is of another model or of other input shapes");
  CHECK(other.state() == State::fp32);
  CHECK(other.save_calibration(path).code() == Code::failed_precondition);
  CHECK(other.load_calibration(temporary("none.calib")).code() == Code::not_found);
  Session frozen = calibrating(model, 20);
  must(frozen.freeze({.timed = false}));
  CHECK(frozen.load_calibration(path).code() == Code::failed_precondition);
  CHECK(frozen.save_calibration(path).code() == Code::failed_precondition);
  std::remove(path.c_str());
}

TEST_CASE("every method and every way of scaling weights freezes to something near fp32") {
  const Model model = small_model();
  Session fp32 = must(Session::create(model));
  Session session = must(Session::create(model));
  must(session.calibrate());
  observe(session, 40);
  const auto freeze = [&](FreezeOptions options) {
    options.timed = false;
    must(session.freeze(options));
    const double result = sqnr(fp32, session);
    const std::vector<float> answer = run_all(session, frame(1));
    must(session.thaw());
    return std::pair(result, answer);
  };
  for (const char* name : {"automatic", "minmax", "ema", "percentile", "mse", "kl", "kl-tensorrt",
                           "kl-ncnn", "aciq", "eq"}) {
    CAPTURE(name);
    CHECK(freeze({.method = must(method_from_name(name))}).first > 15);
  }
  const auto plain = freeze({.method = Method::minmax});
  const auto symmetric = freeze({.method = Method::minmax, .symmetric = true});
  CHECK(symmetric.first > 12);
  CHECK(symmetric.first < plain.first);  // a bit less where values have one sign
  CHECK(symmetric.second != plain.second);
  for (const WeightScale scale : {WeightScale::mse, WeightScale::admm}) {
    CAPTURE(weight_scale_name(scale));
    const auto other = freeze({.method = Method::minmax, .weight_scale = scale});
    CHECK(other.first > 15);
    if (scale == WeightScale::admm) CHECK(other.second != plain.second);
  }
  const auto one_scale = freeze({.method = Method::minmax, .per_channel = false});
  CHECK(one_scale.first > 12);
  CHECK(one_scale.second != plain.second);
}

TEST_CASE("automatic ranges hold what is rare and large, which samples of few frames miss") {
  // No layer with weights reads what the stem gives.
  GraphBuilder b(31);
  const Shape shape{1, 1, 128, 128};
  const ValueId stem = b.conv("stem", b.to_nhwc(b.input("image", shape)), 4);
  b.output(b.conv("last", b.unary("act", Unary::Kind::silu, stem, 1), 4));
  const Model model = must(make_model("rare", std::move(b.graph)));
  Session session = must(Session::create(model));
  must(session.calibrate({.hold_back_every = 100}));
  for (uint32_t i = 0; i < 5; ++i) {
    std::vector<float> data = frame(i, shape);
    data[5000] = 20;  // one pixel of 16384
    run_all(session, data, shape);
  }
  const FreezeReport report = must(session.freeze({.equalize = false, .timed = false}));
  const auto found = std::ranges::find(report.tensors, "stem", &TensorReport::name);
  REQUIRE(found != report.tensors.end());
  CHECK(found->frames == 5);
  CHECK(found->max - found->min > 15);
  CHECK(found->max < found->hi + found->scale);
  CHECK(found->min > found->lo - found->scale);
}

}  // namespace
}  // namespace firn::test
