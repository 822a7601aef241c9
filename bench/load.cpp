// SPDX-License-Identifier: Apache-2.0
// How long it takes from a model file to a session that is ready to run: medians, warm file cache.
// bench_load MODEL...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "firn/model.h"
#include "firn/session.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// false where the model does not load or run.
bool measure(const char* path) {
  constexpr int kRuns = 21;
  std::vector<double> load, create, both;
  for (int i = 0; i < kRuns; ++i) {
    const Clock::time_point start = Clock::now();
    const firn::Result<firn::Model> model = firn::Model::load(path);
    if (!model.ok()) {
      std::fprintf(stderr, "%s\n", model.status().message().c_str());
      return false;
    }
    const Clock::time_point loaded = Clock::now();
    const firn::Result<firn::Session> session = firn::Session::create(*model);
    const Clock::time_point ready = Clock::now();
    if (!session.ok()) {
      std::fprintf(stderr, "%s: %s\n", path, session.status().message().c_str());
      return false;
    }
    load.push_back(milliseconds(start, loaded));
    create.push_back(milliseconds(loaded, ready));
    both.push_back(milliseconds(start, ready));
  }
  std::printf("%8.2f %8.2f %8.2f  %s\n", median(load), median(create), median(both), path);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_load MODEL...\n");
    return 2;
  }
  std::printf("ms: load   create    ready  (median of 21)\n");
  bool ok = true;
  for (int i = 1; i < argc; ++i) ok = measure(argv[i]) && ok;
  return ok ? 0 : 1;
}
