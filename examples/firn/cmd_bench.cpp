// SPDX-License-Identifier: Apache-2.0
// firn bench: how long a run takes and how much memory the process needs.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "bench_stats.h"
#include "commands.h"
#include "json.h"
#include "progress.h"
#include "text.h"

namespace firn::tool {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model;
  int runs = 0, watch = 0;
  bool json = false;
  RunOptions run;
};

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Times of `runs` runs; 0 stands for as many as fit into two seconds, 20 at least.
Result<std::vector<double>> time_runs(Session& session, int runs) {
  const NoiseInputs noise = noise_inputs(session.inputs());
  Outputs outputs;
  constexpr int kWarmUp = 5;
  for (int i = 0; i < kWarmUp; ++i) FIRN_TRY(session.run(noise.tensors, outputs));

  constexpr double kEnoughMs = 2000;
  constexpr size_t kLeastRuns = 20;
  const auto wanted = static_cast<size_t>(runs);
  std::vector<double> ms;
  Progress progress("running", wanted > 0 ? wanted : kLeastRuns);
  const Clock::time_point begin = Clock::now();
  while (wanted > 0 ? ms.size() < wanted : ms.size() < kLeastRuns || ms_since(begin) < kEnoughMs) {
    const Clock::time_point start = Clock::now();
    FIRN_TRY(session.run(noise.tensors, outputs));
    ms.push_back(ms_since(start));
    progress.step();
  }
  return ms;
}

Status bench(const Options& options) {
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  Session& session = network.session;
  if (options.watch > 0) FIRN_TRY(session.watch({.every = options.watch}));
  FIRN_ASSIGN(const std::vector<double> ms, time_runs(session, options.runs));
  const TimeStats stats = time_stats(ms);
  const ModelInfo info = network.model.info();
  const MemoryUse memory = session.memory();
  const size_t peak = peak_rss_bytes();
  if (options.json) {
    Json json;
    json.open('{').member("model", options.model).member("isa", session.isa());
    json.member("threads", session.threads());
    json.member("median_ms", stats.median_ms).member("min_ms", stats.min_ms);
    json.member("p90_ms", stats.p90_ms);
    json.member("layers_int8", info.layers_int8).member("layers_i16", info.layers_i16);
    json.member("layers_float", info.layers_float);
    json.member("arena_bytes", memory.arena_bytes).member("weight_bytes", memory.weight_bytes);
    json.member("peak_rss_bytes", peak);
    std::puts(json.close().text().c_str());
    return {};
  }
  Table table("lr");
  table.row({"isa", session.isa()});
  table.row({"threads", std::to_string(session.threads())});
  table.row({"layers", layers_text(info.layers_int8, info.layers_i16, info.layers_float)});
  table.row({"median", format("%.3f ms", stats.median_ms)});
  table.row({"fastest", format("%.3f ms", stats.min_ms)});
  table.row({"90 % within", format("%.3f ms", stats.p90_ms)});
  table.row({"runs", std::to_string(ms.size())});
  table.row({"arena", bytes_text(memory.arena_bytes)});
  table.row({"weights", bytes_text(memory.weight_bytes)});
  table.row({"peak memory", bytes_text(peak)});
  std::fputs(table.text().c_str(), stdout);
  return {};
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Measures time and memory on noise");
  add_model_option(*command, options->model);
  command
      ->add_option("--runs", options->runs,
                   "timed runs (default: two seconds of them, 20 at least)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000'000));
  command
      ->add_option("--watch", options->watch,
                   "of an int8 model: watch one run in N for drift meanwhile, to see what it costs")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_flag("--json", options->json, "print one JSON object");
  add_run_options(*command, options->run);
  add_random_weights_option(*command, options->run);
  command->footer("Example:\n  firn bench mobilenet_v2.int8.firn --threads 2");
  command->callback([options, &action] { action = [options] { return bench(*options); }; });
}

}  // namespace firn::tool
