// SPDX-License-Identifier: Apache-2.0
// A frozen session that watches itself, on the example's camera: the light changes, the watch says
// so, and the session calibrates and freezes anew while it goes on answering.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "examples/camera/pipeline.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

// Small pictures are drawn faster; every kFramesPerScene-th shows something new.
constexpr int kWidth = 120, kHeight = 90;

Model shapes_model() {
  return must(Model::load(std::string(FIRN_SOURCE) + "/examples/camera/shapes.onnx"));
}

// Frames of one light, as the network takes them.
class Light {
 public:
  Light(uint64_t seed, double exposure) : camera_(seed, kWidth, kHeight) {
    camera_.exposure = exposure;
  }
  std::vector<float> next() {
    std::vector<float> input(pipeline::input_shape().elements());
    const Tensor tensor = view(pipeline::input_shape(), input.data());
    must(preprocess(camera_.next().image(), pipeline::preprocessing(), tensor));
    return input;
  }
  // Of another scene.
  std::vector<float> next_scene() {
    for (int i = 1; i < scenes::Camera::kFramesPerScene; ++i) camera_.next();
    return next();
  }

 private:
  scenes::Camera camera_;
};

std::vector<float> logits(Session& session, std::vector<float>& input) {
  Outputs outputs;
  must(session.run({{"frame", view(pipeline::input_shape(), input.data())}}, outputs));
  return copy(outputs["logits"]);
}

void run(Session& session, Light& light, int scenes) {
  for (int i = 0; i < scenes; ++i) {
    std::vector<float> input = light.next_scene();
    logits(session, input);
  }
}

double sqnr(Session& fp32, Session& other, uint64_t seed, double exposure) {
  Light light(seed, exposure);
  double signal = 0, noise = 0;
  for (int i = 0; i < 24; ++i) {
    std::vector<float> input = light.next_scene();
    const std::vector<float> want = logits(fp32, input), got = logits(other, input);
    for (size_t k = 0; k < want.size(); ++k) {
      signal += want[k] * want[k];
      noise += (want[k] - got[k]) * (want[k] - got[k]);
    }
  }
  return 10 * std::log10(signal / noise);
}

// What the callbacks of a session left behind.
struct Events {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<DriftReport> drifts;
  std::vector<Result<FreezeReport>> freezes;
};

WatchOptions watching(Events& events) {
  WatchOptions options;
  options.every = 1;
  options.window = 16;
  options.recalibrate = true;
  options.calibrate.freeze.timed = false;
  options.calibrate.min_frames = 64;
  options.calibrate.tolerance = 0.2;  // each frame is a new scene
  options.on_drift = [&events](const DriftReport& report) {
    const std::lock_guard lock(events.mutex);
    events.drifts.push_back(report);
    events.changed.notify_all();
  };
  options.calibrate.on_freeze = [&events](const Result<FreezeReport>& report) {
    const std::lock_guard lock(events.mutex);
    events.freezes.push_back(report);
    events.changed.notify_all();
  };
  return options;
}

Session frozen_at(const Model& model, double exposure) {
  Session session = must(Session::create(model));
  CalibrateOptions options;
  must(session.calibrate(options));
  Light light(1, exposure);
  run(session, light, 72);
  must(session.freeze({.timed = false}));
  return session;
}

// `loss_db`: what the change of light costs at least, and most of which comes back.
void check_drift_and_recovery(double before, double after, TensorDrift::Kind kind, double loss_db) {
  const Model model = shapes_model();
  Session fp32 = must(Session::create(model));
  Events events;
  Session session = frozen_at(model, before);
  const double calibrated_db = sqnr(fp32, session, 50, before);
  const double drifted_db = sqnr(fp32, session, 51, after);
  must(session.watch(watching(events)));
  CHECK(session.watching().active);
  CHECK(session.watching().expecting);

  // As it was calibrated: nothing.
  Light light(2, before);
  run(session, light, 16 * 6);
  CHECK(session.watching().windows == 6);
  CHECK(session.watching().events == 0);
  CHECK(session.state() == State::frozen);

  // The light changes, and every frame goes on being answered.
  Light other(3, after);
  int frames_to_event = 0, frames_to_freeze = 0;  // each of another scene
  const auto done = [&](const auto& list) {
    const std::lock_guard lock(events.mutex);
    return !list.empty();
  };
  for (; frames_to_event < 16 * 4 && !done(events.drifts); ++frames_to_event) {
    run(session, other, 1);
    if (session.watching().events > 0) {
      std::unique_lock lock(events.mutex);
      events.changed.wait(lock, [&] { return !events.drifts.empty(); });
    }
  }
  REQUIRE(done(events.drifts));
  CHECK(frames_to_event <= 32);
  CHECK(session.watching().last.frames == 16);
  const DriftReport report = events.drifts[0];
  CHECK(std::ranges::any_of(report.tensors,
                            [&](const TensorDrift& drift) { return drift.kind == kind; }));
  for (; frames_to_freeze < 2000 && !done(events.freezes); ++frames_to_freeze)
    run(session, other, 1);
  REQUIRE(done(events.freezes));
  REQUIRE_MESSAGE(events.freezes[0].ok(), events.freezes[0].status().message());
  CHECK(session.state() == State::frozen);
  CHECK(session.watching().problem == "");

  const double recovered_db = sqnr(fp32, session, 51, after);
  MESSAGE("SQNR: ", calibrated_db, " dB as calibrated, ", drifted_db, " dB after the change, ",
          recovered_db, " dB recovered; noticed after ", frames_to_event, " frames, frozen after ",
          frames_to_freeze, "; ", report.tensors.size(), " tensors, first ", report.tensors[0].name,
          " from ", report.tensors[0].expected, " to ", report.tensors[0].seen);
  CHECK(drifted_db < calibrated_db - loss_db);
  CHECK(recovered_db > drifted_db + 0.7 * loss_db);

  // The watch expects the new light from now on.
  const size_t events_before = session.watching().events;
  run(session, other, 16 * 4);
  CHECK(session.watching().events == events_before);
}

TEST_CASE("brighter light saturates: noticed, calibrated anew, frozen anew") {
  check_drift_and_recovery(0.05, 1.0, TensorDrift::Kind::saturated, 12);
}

TEST_CASE("darker light leaves bits unused: noticed, calibrated anew, frozen anew") {
  check_drift_and_recovery(2.0, 0.1, TensorDrift::Kind::unused, 12);
}

TEST_CASE("a watch that is on before the freeze starts with it") {
  Session session = must(Session::create(small_model()));
  CHECK(!session.watching().active);
  must(session.watch({.every = 3, .window = 4}));
  CHECK(!session.watching().active);
  must(session.calibrate());
  observe(session, 40);
  CHECK(session.watching().frames == 0);
  must(session.freeze({.timed = false}));
  CHECK(session.watching().active);
  CHECK(session.watching().expecting);
  const auto answer = run_all(session, frame(1));
  observe(session, 23, 700);
  CHECK(session.watching().frames == 8);  // of 24
  CHECK(session.watching().windows == 2);
  CHECK(session.watching().events == 0);
  CHECK(run_all(session, frame(1)) == answer);
  // Another batch re-plans the session; the watch goes on.
  std::vector<float> batch;
  for (uint32_t i = 0; i < 2; ++i)
    for (const float v : frame(1 + i)) batch.push_back(v);
  for (int i = 0; i < 3; ++i) run_all(session, batch, small_shape(2));
  CHECK(session.watching().frames == 10);
  must(session.thaw());
  CHECK(!session.watching().active);
  observe(session, 6);
  CHECK(session.watching().frames == 10);
  must(session.freeze({.timed = false}));
  CHECK(session.watching().active);
  session.stop_watching();
  CHECK(!session.watching().active);
  run_all(session, frame(1));
}

TEST_CASE("without held-back frames the first window is what is expected") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate());
  observe(session, 40);
  must(session.freeze({.timed = false, .keep_float_weights = false}));
  const std::string path = std::string(FIRN_BINARY) + "/watched.firn";
  must(session.save(path));
  Session loaded = must(Session::create(must(Model::load(path))));
  std::remove(path.c_str());
  std::atomic<int> drifts{0};
  WatchOptions options{.every = 1, .window = 8};
  options.recalibrate = true;
  options.on_drift = [&](const DriftReport& report) { drifts += !report.tensors.empty(); };
  must(loaded.watch(options));
  CHECK(!loaded.watching().expecting);
  observe(loaded, 8);
  CHECK(loaded.watching().expecting);
  observe(loaded, 16, 300);
  CHECK(loaded.watching().windows == 2);
  CHECK(loaded.watching().events == 0);
  // Eight times as loud.
  for (uint32_t i = 0; i < 8; ++i) {
    std::vector<float> loud = frame(500 + i);
    for (float& v : loud) v *= 8;
    run_all(loaded, loud);
  }
  CHECK(loaded.watching().events == 1);
  CHECK(!loaded.watching().last.tensors.empty());
  // It has no float weights to calibrate with, says so and goes on in int8.
  for (int i = 0; i < 5000 && loaded.watching().problem.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(loaded.watching().problem.find("the model was loaded in int8") != std::string::npos);
  CHECK(drifts == 1);
  CHECK(loaded.state() == State::frozen);
  run_all(loaded, frame(1));
}

TEST_CASE("options of a watch that make no sense are refused") {
  Session session = must(Session::create(small_model()));
  const auto refused = [&](const WatchOptions& options, const std::string& part) {
    const Status status = session.watch(options);
    return status.code() == Code::invalid_argument &&
           status.message().find(part) != std::string::npos;
  };
  CHECK(refused({.every = 0}, "every: expected at least 1, got 0"));
  CHECK(refused({.window = 1}, "window"));
  CHECK(refused({.confidence = 1}, "confidence"));
  CHECK(refused({.confidence = std::nan("")}, "confidence"));
  CHECK(refused({.saturated = -0.1}, "saturated"));
  CHECK(refused({.unused_bits = 9}, "unused_bits"));
}

TEST_CASE("a session may go while its watch is at work") {
  for (int i = 0; i < 3; ++i) {
    Session session = must(Session::create(small_model()));
    must(session.calibrate());
    observe(session, 40);
    must(session.freeze({.timed = false}));
    WatchOptions options{.every = 1, .window = 4};
    options.recalibrate = true;
    options.calibrate.min_frames = 8;
    options.calibrate.freeze.timed = false;
    must(session.watch(options));
    for (uint32_t k = 0; k < static_cast<uint32_t>(8 + 4 * i); ++k) {
      std::vector<float> loud = frame(500 + k);
      for (float& v : loud) v *= 8;
      run_all(session, loud);
    }
  }
}

}  // namespace
}  // namespace firn::test
