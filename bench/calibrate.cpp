// SPDX-License-Identifier: Apache-2.0
// What calibrating adds to the runs that it rides on, in time and in memory, and how long a freeze
// takes then, without timing. On noise; a plain session runs in turn with the one that calibrates.
// bench_calibrate [--threads N] [--frames N] MODEL...
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/noise.h"
#include "bench/private_memory.h"
#include "firn/model.h"
#include "firn/session.h"

namespace {

using namespace firn;
using Clock = std::chrono::steady_clock;

Status run(Session& session, const bench::Noise& noise, double& seconds) {
  Outputs outputs;
  const Clock::time_point start = Clock::now();
  FIRN_TRY(session.run(noise.tensors, outputs));
  seconds += std::chrono::duration<double>(Clock::now() - start).count();
  return {};
}

Status measure(const std::string& path, int threads, int frames) {
  const Result<Model> model = Model::load(path);
  if (!model.ok()) return model.status();
  Result<Session> plain = Session::create(*model, {.threads = threads});
  if (!plain.ok()) return plain.status();
  Result<Session> calibrating = Session::create(*model, {.threads = threads});
  if (!calibrating.ok()) return calibrating.status();
  FIRN_TRY(calibrating->calibrate());
  double without = 0, with = 0;
  size_t first = 0;
  for (int i = 0; i < frames; ++i) {
    const bench::Noise noise(plain->inputs(), static_cast<uint32_t>(i) + 1);
    FIRN_TRY(run(*plain, noise, without));
    FIRN_TRY(run(*calibrating, noise, with));
    // By then all frames are kept that ever are.
    if (i + 1 == 100) first = bench::private_bytes();
  }
  const size_t last = bench::private_bytes();
  const Result<FreezeReport> report = calibrating->freeze({.timed = false});
  if (!report.ok()) return report.status();
  std::printf("%8.2f %8.2f %8.2f %8.2f %8.1f %8.1f  %s\n", 1000 * without / frames,
              1000 * with / frames, with / without, report->seconds,
              static_cast<double>(first) / 1e6, static_cast<double>(last) / 1e6, path.c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 1, frames = 100, failed = 0, measured = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threads = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--frames") == 0 && i + 1 < argc) {
      frames = std::atoi(argv[++i]);
    } else {
      if (measured++ == 0)
        std::printf(
            "ms of a run               freeze     MB after\n"
            "   plain  calibr.    ratio        s  100 frs.      all\n");
      const Status status = measure(argv[i], threads, frames);
      if (status.ok()) continue;
      std::fprintf(stderr, "%s: %s\n", argv[i], status.message().c_str());
      failed = 1;
    }
  }
  if (measured == 0 || frames < 1) {
    std::fprintf(stderr, "usage: bench_calibrate [--threads N] [--frames N] MODEL...\n");
    return 2;
  }
  return failed;
}
