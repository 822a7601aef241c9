// SPDX-License-Identifier: Apache-2.0
// How long it takes from a model file to a session that is ready to run, and to a second one of the
// same model: medians, warm file cache. And the memory that takes: what the kernels read, that is
// packed weights and the arena, beside what the process grows by, in a process of its own, from
// before it loads the model until the session has run three times: private pages (RssAnon of
// /proc/self/status; a mapped file's are not counted, as the system takes them back at will). For a
// float model that is to be frozen, what the process has grown by once the session was calibrated
// on noise, frozen in place without keeping its float weights, and has run again; and the most that
// it had grown by while it froze, looked at every millisecond.
// bench_load [--freeze] MODEL...
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <span>
#include <thread>
#include <vector>

#include "bench/noise.h"
#include "bench/private_memory.h"
#include "firn/model.h"
#include "firn/session.h"

namespace {

using firn::bench::private_bytes;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Memory {
  bool ok = false;
  size_t used = 0;      // packed weights and arena
  size_t grown = 0;     // the process: the most after loading, creating, running
  size_t freezing = 0;  // the process, meanwhile
};

// Zeros that take no memory: pages that nobody can write to. They stay.
void* zeros(size_t bytes) {
  return mmap(nullptr, bytes + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// The most private memory there is while it works.
template <typename Work>
size_t most_private_bytes(Work work) {
  std::atomic<bool> done = false;
  size_t most = 0;
  std::thread watcher([&] {
    for (; !done; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
      most = std::max(most, private_bytes());
  });
  work();
  done = true;
  watcher.join();
  return most;
}

// Calibrates on noise and freezes in place.
bool freeze(firn::Session& session, size_t& most) {
  if (!session.calibrate().ok()) return false;
  constexpr uint32_t kFrames = 20;
  firn::Outputs outputs;
  for (uint32_t i = 0; i < kFrames; ++i)
    if (!session.run(firn::bench::Noise(session.inputs(), i).tensors, outputs).ok()) return false;
  bool ok = false;
  most = most_private_bytes(
      [&] { ok = session.freeze({.timed = false, .keep_float_weights = false}).ok(); });
  return ok;
}

Memory measure_memory_here(const char* path, bool frozen) {
  Memory memory;
  const size_t before = private_bytes();
  const auto see = [&] {
    memory.grown = std::max(memory.grown, std::max(private_bytes(), before) - before);
  };
  firn::Result<firn::Model> model = firn::Model::load(path);
  if (!model.ok()) return memory;
  see();
  firn::Result<firn::Session> session = firn::Session::create(*model);
  if (!session.ok()) return memory;
  see();
  if (frozen) {
    if (!freeze(*session, memory.freezing)) return memory;
    memory.freezing = std::max(memory.freezing, before) - before;
    model = firn::Status(firn::Code::failed_precondition, "not needed any more");
    memory.grown = 0;
  }
  std::vector<firn::NamedTensor> inputs;
  for (const firn::TensorInfo& info : session->inputs()) {
    firn::Tensor tensor{info.type, info.shape, nullptr};
    tensor.data = zeros(tensor.bytes());
    if (tensor.data == MAP_FAILED) return memory;
    inputs.push_back({info.name, tensor});
  }
  firn::Outputs outputs;
  memory.ok = true;
  for (int i = 0; i < 3; ++i) memory.ok = memory.ok && session->run(inputs, outputs).ok();
  see();
  memory.used = session->memory().weight_bytes + session->memory().arena_bytes;
  return memory;
}

// In a process of its own, so that no memory is left over from what was measured before.
Memory measure_memory(const char* path, bool frozen) {
  Memory memory;
  int ends[2];
  if (pipe(ends) != 0) return memory;
  const pid_t child = fork();
  if (child == 0) {
    memory = measure_memory_here(path, frozen);
    const bool told = write(ends[1], &memory, sizeof memory) == ssize_t{sizeof memory};
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  if (child < 0 || read(ends[0], &memory, sizeof memory) != ssize_t{sizeof memory}) memory = {};
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return memory;
}

// false where the model does not load or run.
bool measure(const char* path, const Memory& needed) {
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
  const auto used = static_cast<double>(needed.used), grown = static_cast<double>(needed.grown);
  std::printf("%8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f  %s\n", median(load),
              median(create), median(both), median(second),
              static_cast<double>(memory.weight_bytes) / kMega, static_cast<double>(own) / kMega,
              used / kMega, grown / kMega, grown / used,
              static_cast<double>(needed.freezing) / kMega, path);
  return needed.ok;
}

}  // namespace

int main(int argc, char** argv) {
  const bool frozen = argc > 1 && std::strcmp(argv[1], "--freeze") == 0;
  const std::span<char*> models =
      std::span(argv, static_cast<size_t>(argc)).subspan(frozen ? 2 : 1);
  if (models.empty()) {
    std::fprintf(stderr, "usage: bench_load [--freeze] MODEL...\n");
    return 2;
  }
  // Before anything is loaded here, whose memory the other processes would have as well.
  std::vector<Memory> needed;
  for (const char* model : models) needed.push_back(measure_memory(model, frozen));
  std::printf("ms (medians of 21)                  MB of weights     MB in all\n");
  std::printf(
      "    load   create    ready   second     each unshared  weights  process    ratio "
      "freezing\n");
  std::printf("                                                       + arena    grows\n");
  bool ok = true;
  for (size_t i = 0; i < models.size(); ++i) ok = measure(models[i], needed[i]) && ok;
  return ok ? 0 : 1;
}
