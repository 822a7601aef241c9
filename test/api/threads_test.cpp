// SPDX-License-Identifier: Apache-2.0
// Sessions from several threads: one model shared, freezing while frames keep coming, switching
// back and forth under load. Run under ThreadSanitizer too.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "test/api/network.h"

namespace firn::test {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// doctest's macros are not for threads: failures are counted and checked afterwards.
std::vector<float> logits_of(Session& session, uint32_t seed, std::atomic<int>& failures) {
  std::vector<float> data = frame(seed);
  Outputs outputs;
  if (!session.run({{"image", view(small_shape(), data.data())}}, outputs).ok()) {
    ++failures;
    return {};
  }
  return copy(outputs["logits"]);
}

TEST_CASE("sessions of one model run side by side") {
  const Model model = small_model();
  Session alone = must(Session::create(model));
  std::atomic<int> failures = 0;
  std::vector<std::vector<float>> expected;
  for (uint32_t i = 0; i < 8; ++i) expected.push_back(logits_of(alone, i, failures));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto session = Session::create(model, {.threads = 1 + t % 2});
      if (!session.ok()) {
        ++failures;
        return;
      }
      for (uint32_t i = 0; i < 40; ++i)
        if (logits_of(*session, i % 8, failures) != expected[i % 8]) ++failures;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
}

TEST_CASE("a session that freezes itself under load answers every frame") {
  const Model model = small_model();
  Session fp32 = must(Session::create(model));
  Session session = must(Session::create(model));
  std::atomic<int> failures = 0;

  // An fp32 inference on this machine, to measure gaps by.
  double usual = 1e9;
  for (int i = 0; i < 20; ++i) {
    const Clock::time_point start = Clock::now();
    logits_of(session, 0, failures);
    usual = std::min(usual, ms_since(start));
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Status> outcome;
  CalibrateOptions options;
  options.automatic_freeze = true;
  options.freeze.timed = false;
  options.min_frames = 16;
  options.tolerance = 0.05;
  options.on_freeze = [&](const Result<FreezeReport>& report) {
    const std::lock_guard lock(mutex);
    outcome = report.status();
    changed.notify_all();
  };
  must(session.calibrate(options));

  int answered = 0, in_fp32 = 0, in_int8 = 0;
  double longest = 0;
  const auto finished = [&] {
    const std::lock_guard lock(mutex);
    return outcome.has_value();
  };
  int after = 0;
  for (uint32_t i = 0; i < 20000 && after < 50; ++i) {
    const uint32_t seed = i % 64;
    const Clock::time_point start = Clock::now();
    const std::vector<float> got = logits_of(session, seed, failures);
    longest = std::max(longest, ms_since(start));
    ++answered;
    // Every answer is of one whole program: the fp32 one, or (later) the int8 one.
    const bool is_fp32 = got == logits_of(fp32, seed, failures);
    in_fp32 += is_fp32;
    in_int8 += !is_fp32;
    if (in_int8 > 0 && is_fp32) ++failures;  // never back
    if (finished()) ++after;
  }
  REQUIRE(outcome.has_value());
  must(*outcome);
  CHECK(session.state() == State::frozen);
  CHECK(failures == 0);
  CHECK(in_fp32 > 16);
  CHECK(in_int8 >= 49);
  MESSAGE("frames answered: " << answered << ", longest gap " << longest
                              << " ms, an fp32 inference takes " << usual << " ms");
}

TEST_CASE("calibrate, freeze, thaw and save from one thread while another runs frames") {
  const Model model = small_model();
  Session session = must(Session::create(model, {.threads = 2}));
  std::atomic<int> failures = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> frames = 0;
  std::thread runner([&] {
    for (uint32_t i = 0; !stop; ++i) {
      if (logits_of(session, i % 32, failures).size() != 10) ++failures;
      ++frames;
    }
  });
  const std::string path = std::string(FIRN_BINARY) + "/threads.firn";
  for (int round = 0; round < 3; ++round) {
    if (!session.calibrate().ok()) ++failures;
    const int from = frames;
    while (frames < from + 12) std::this_thread::yield();
    if (!session.freeze({.timed = false}).ok()) ++failures;
    if (!session.save(path).ok()) ++failures;
    if (session.calibration().frames == 0) ++failures;
    if (session.memory().arena_bytes == 0 || session.inputs().empty()) ++failures;
    if (!session.thaw().ok()) ++failures;
  }
  stop = true;
  runner.join();
  CHECK(failures == 0);
  CHECK(must(Model::load(path)).info().layers_int8 > 0);
  std::remove(path.c_str());
}

TEST_CASE("a session goes while its automatic freeze is under way") {
  const Model model = small_model();
  for (int i = 0; i < 5; ++i) {
    std::atomic<int> calls = 0;
    {
      Session session = must(Session::create(model));
      CalibrateOptions options;
      options.automatic_freeze = true;
      options.min_frames = 1;
      options.tolerance = 100;
      options.on_freeze = [&](const Result<FreezeReport>&) { ++calls; };
      must(session.calibrate(options));
      for (uint32_t k = 0; k < 40 && session.state() == State::calibrating; ++k)
        run_all(session, frame(k));
      if (i % 2 == 1) (void)session.calibrate(options);  // replaces one whose thread may be waiting
    }
    CHECK(calls >= 1);
  }
}

}  // namespace
}  // namespace firn::test
