// SPDX-License-Identifier: Apache-2.0
// Feeds mutated model files to the library: whatever is in them, loading must end with a model or a
// clear error, soon and in little memory, and what loads must run. A failure names the seed and the
// file's number, by which it can be made again.
#include <unistd.h>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/fuzz/mutations.h"
#include "test/fuzz/seeds.h"
#include "test/fuzz/trial.h"

#if defined(FIRN_SANITIZED)
extern "C" void __sanitizer_set_death_callback(void (*)());
// One absurd allocation is an error with a trace; freed memory does not count for long.
extern "C" const char* __asan_default_options() {
  return "quarantine_size_mb=16:max_allocation_size_mb=1024:allocator_may_return_null=0";
}
#endif

namespace {

using namespace firn;
using namespace firn::fuzz;

constexpr const char* kUsage =
    "usage: fuzz_mutate [options] [model files to start from]\n"
    "  --count N    files to try (1000)\n"
    "  --first N    the first one's number (0)\n"
    "  --seed S     another S, other files (1)\n"
    "  --format F   onnx, tflite, ncnn, firn or all (all)\n"
    "  --only N     file N alone\n"
    "  --dump FILE  writes what was tried last there, before it is tried\n"
    "  --seconds T  longest load, in processor seconds (2)\n";
constexpr unsigned kHangSeconds = 120;

struct Format {
  const char* name;
  std::vector<std::string> Seeds::*seeds;
  std::string (*mutate)(std::string file, const std::string& other, Random& random);
};
constexpr std::array<Format, 4> kFormats{{{"onnx", &Seeds::onnx, mutate_onnx},
                                          {"tflite", &Seeds::tflite, mutate_tflite},
                                          {"ncnn", &Seeds::ncnn, mutate_ncnn},
                                          {"firn", &Seeds::firn, mutate_firn}}};

struct Options {
  uint64_t count = 1000, first = 0, seed = 1;
  std::string format = "all", dump;
  Limits limits;
  std::vector<std::string> files;
};

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) {
      options.files.emplace_back(name);
      continue;
    }
    if (++i == argc) return std::nullopt;
    const char* const value = argv[i];
    const uint64_t number = std::strtoull(value, nullptr, 10);
    if (name == "--count") {
      options.count = number;
    } else if (name == "--first") {
      options.first = number;
    } else if (name == "--seed") {
      options.seed = number;
    } else if (name == "--only") {
      options.first = number;
      options.count = 1;
    } else if (name == "--seconds") {
      options.limits.seconds = std::strtod(value, nullptr);
    } else if (name == "--format") {
      options.format = value;
    } else if (name == "--dump") {
      options.dump = value;
    } else {
      return std::nullopt;
    }
  }
  const bool known = options.format == "all" || std::ranges::any_of(kFormats, [&](const Format& f) {
                       return options.format == f.name;
                     });
  return known ? std::optional(options) : std::nullopt;
}

// What to say when the program dies; made ready before each file.
std::array<char, 200> last_words;

void say_last_words() {
  [[maybe_unused]] const auto written =
      ::write(STDERR_FILENO, last_words.data(), std::strlen(last_words.data()));
}

void die(int signal) {
  say_last_words();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void watch_for_death() {
#if defined(FIRN_SANITIZED)
  __sanitizer_set_death_callback(say_last_words);
#else
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, die);
#endif
  for (int signal : {SIGABRT, SIGALRM}) std::signal(signal, die);
}

std::string make_file(const Seeds& seeds, const Options& options, Random& random) {
  const Format* format = &kFormats[random.below(kFormats.size())];
  for (const Format& f : kFormats)
    if (options.format == f.name) format = &f;
  const std::vector<std::string>& kind = seeds.*format->seeds;
  const std::string& file = kind[random.below(kind.size())];
  const std::string& other = kind[random.below(kind.size())];
  return format->mutate(file, other, random);
}

struct Totals {
  uint64_t loaded = 0, ran = 0, failures = 0;
  double slowest_load = 0, slowest_run = 0;
  size_t largest_load = 0;

  void add(const Trial& trial) {
    loaded += trial.loaded;
    ran += trial.ran;
    failures += !trial.complaint.empty();
    slowest_load = std::max(slowest_load, trial.load_seconds);
    slowest_run = std::max(slowest_run, trial.run_seconds);
    largest_load = std::max(largest_load, trial.peak_bytes);
  }
};

int fuzz_all(const Options& options, const Seeds& seeds) {
  Totals totals;
  for (uint64_t i = options.first; i < options.first + options.count; ++i) {
    std::snprintf(last_words.data(), last_words.size(),
                  "died: --seed %llu --format %s --only %llu, with the same files\n",
                  static_cast<unsigned long long>(options.seed), options.format.c_str(),
                  static_cast<unsigned long long>(i));
    Random random(options.seed, i);
    const std::string file = make_file(seeds, options, random);
    if (!options.dump.empty()) std::ofstream(options.dump, std::ios::binary) << file;
    alarm(kHangSeconds);
    const Trial trial = try_file(file, options.limits, random);
    alarm(0);
    totals.add(trial);
    if (trial.complaint.empty()) continue;
    std::printf("failed: --seed %llu --format %s --only %llu: %s\n",
                static_cast<unsigned long long>(options.seed), options.format.c_str(),
                static_cast<unsigned long long>(i), trial.complaint.c_str());
    std::fflush(stdout);
  }
  std::printf(
      "%llu files from %zu onnx, %zu tflite, %zu ncnn and %zu firn seeds: "
      "%llu loaded, %llu ran, %llu failed\n",
      static_cast<unsigned long long>(options.count), seeds.onnx.size(), seeds.tflite.size(),
      seeds.ncnn.size(), seeds.firn.size(), static_cast<unsigned long long>(totals.loaded),
      static_cast<unsigned long long>(totals.ran),
      static_cast<unsigned long long>(totals.failures));
  std::printf("slowest load %.3f s, slowest run %.3f s, largest load %zu MiB\n",
              totals.slowest_load, totals.slowest_run, totals.largest_load >> 20);
  return totals.failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  const std::optional<Options> options = parse_options(argc, argv);
  if (!options) {
    std::fputs(kUsage, stderr);
    return EXIT_FAILURE;
  }
  const Result<Seeds> seeds = make_seeds(options->files);
  if (!seeds.ok()) {
    std::fprintf(stderr, "%s\n", seeds.status().message().c_str());
    return EXIT_FAILURE;
  }
  watch_for_death();
  return fuzz_all(*options, *seeds);
}
