// SPDX-License-Identifier: Apache-2.0
// firn profile: where the time of a run goes, step by step.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "json.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model;
  int runs = 20;
  bool json = false;
  RunOptions run;
};

struct KernelTotal {
  std::string kernel;
  int steps = 0;
  double ms = 0;
};

// The greatest total first.
std::vector<KernelTotal> totals_by_kernel(const std::vector<StepProfile>& steps) {
  std::vector<KernelTotal> totals;
  for (const StepProfile& step : steps) {
    auto total = std::find_if(totals.begin(), totals.end(),
                              [&](const KernelTotal& each) { return each.kernel == step.kernel; });
    if (total == totals.end()) total = totals.insert(total, {step.kernel, 0, 0});
    ++total->steps;
    total->ms += step.ms;
  }
  std::stable_sort(totals.begin(), totals.end(),
                   [](const KernelTotal& a, const KernelTotal& b) { return a.ms > b.ms; });
  return totals;
}

double share(double ms, double total_ms) {
  return total_ms > 0 ? ms / total_ms : 0;
}

std::string as_json(const Options& options, const Session& session,
                    const std::vector<StepProfile>& steps, double total_ms) {
  Json json;
  json.open('{').member("model", options.model).member("isa", session.isa());
  json.member("threads", session.threads()).member("total_ms", total_ms);
  json.open("layers", '[');
  for (const StepProfile& step : steps) {
    json.open('{').member("name", step.name).member("op", step.op).member("shape", step.shape);
    json.member("precision", precision_name(step.precision)).member("kernel", step.kernel);
    json.member("ms", step.ms).member("share", share(step.ms, total_ms)).close();
  }
  json.close().open("kernels", '[');
  for (const KernelTotal& total : totals_by_kernel(steps)) {
    json.open('{').member("kernel", total.kernel).member("layers", total.steps);
    json.member("ms", total.ms).member("share", share(total.ms, total_ms)).close();
  }
  return json.close().close().text();
}

std::string as_text(const std::vector<StepProfile>& steps, double total_ms) {
  const auto ms_text = [](double ms) { return format("%.3f", ms); };
  const auto share_text = [&](double ms) { return format("%.1f %%", 100 * share(ms, total_ms)); };
  Table layers("lllllrr");
  layers.row({"layer", "op", "shape", "type", "kernel", "ms", "share"});
  for (const StepProfile& step : steps) {
    layers.row({one_line(step.name), step.op, step.shape, precision_name(step.precision),
                step.kernel, ms_text(step.ms), share_text(step.ms)});
  }
  Table kernels("lrrr");
  kernels.row({"kernel", "layers", "ms", "share"});
  for (const KernelTotal& total : totals_by_kernel(steps)) {
    kernels.row(
        {total.kernel, std::to_string(total.steps), ms_text(total.ms), share_text(total.ms)});
  }
  kernels.row({"all", std::to_string(steps.size()), ms_text(total_ms), share_text(total_ms)});
  return layers.text() + "\n" + kernels.text();
}

Status profile(const Options& options) {
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  Session& session = network.session;
  FIRN_ASSIGN(const std::vector<StepProfile> steps, session.profile(options.runs));
  double total_ms = 0;
  for (const StepProfile& step : steps) total_ms += step.ms;
  if (options.json) {
    std::puts(as_json(options, session, steps, total_ms).c_str());
  } else {
    std::fputs(as_text(steps, total_ms).c_str(), stdout);
  }
  return {};
}

}  // namespace

void add_profile(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("profile", "Shows the time of every layer");
  add_model_option(*command, options->model);
  command
      ->add_option("--runs", options->runs, "runs, of which a layer's median counts (default 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_flag("--json", options->json, "print one JSON object; shares are from 0 to 1");
  add_run_options(*command, options->run);
  add_random_weights_option(*command, options->run);
  command->footer("Example:\n  firn profile mobilenet_v2.int8.firn");
  command->callback([options, &action] { action = [options] { return profile(*options); }; });
}

}  // namespace firn::tool
