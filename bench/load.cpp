// SPDX-License-Identifier: Apache-2.0
// How long it takes from a model file to a session that is ready to run, and to a second one of the
// same model: medians, warm file cache. And how much of its weights the second has for itself.
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
  std::vector<double> load, create, both, second;
  firn::MemoryUse memory;
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
    const Clock::time_point again = Clock::now();
    const firn::Result<firn::Session> other = firn::Session::create(*model);
    second.push_back(milliseconds(again, Clock::now()));
    if (!other.ok()) {
      std::fprintf(stderr, "%s: %s\n", path, other.status().message().c_str());
      return false;
    }
    memory = other->memory();
    load.push_back(milliseconds(start, loaded));
    create.push_back(milliseconds(loaded, ready));
    both.push_back(milliseconds(start, ready));
  }
  constexpr double kMega = 1e6;
  const size_t own = memory.weight_bytes - memory.shared_weight_bytes;
  std::printf("%8.2f %8.2f %8.2f %8.2f %8.2f %8.2f  %s\n", median(load), median(create),
              median(both), median(second), static_cast<double>(memory.weight_bytes) / kMega,
              static_cast<double>(own) / kMega, path);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_load MODEL...\n");
    return 2;
  }
  std::printf("ms (medians of 21)                  MB of weights\n");
  std::printf("    load   create    ready   second     each  unshared\n");
  bool ok = true;
  for (int i = 1; i < argc; ++i) ok = measure(argv[i]) && ok;
  return ok ? 0 : 1;
}
