// SPDX-License-Identifier: Apache-2.0
// firn profile: where the time of a run goes, step by step.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "profile.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model;
  int runs = 20;
  bool json = false;
  RunOptions run;
};

std::string as_text(const Profile& profile) {
  const auto ms_text = [](double ms) { return format("%.3f", ms); };
  const auto share_text = [&](double ms) { return format("%.1f %%", 100 * profile.share(ms)); };
  Table layers("lllllrr");
  layers.row({"layer", "op", "shape", "type", "kernel", "ms", "share"});
  for (const StepProfile& step : profile.steps) {
    layers.row({one_line(step.name), step.op, step.shape, precision_name(step.precision),
                step.kernel, ms_text(step.ms), share_text(step.ms)});
  }
  Table kernels("lrrr");
  kernels.row({"kernel", "layers", "ms", "share"});
  for (const KernelTotal& total : totals_by_kernel(profile.steps)) {
    kernels.row(
        {total.kernel, std::to_string(total.steps), ms_text(total.ms), share_text(total.ms)});
  }
  kernels.row({"all", std::to_string(profile.steps.size()), ms_text(profile.total_ms),
               share_text(profile.total_ms)});
  return layers.text() + "\n" + kernels.text();
}

Status profile(const Options& options) {
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  FIRN_ASSIGN(const Profile result, profile_session(network.session, options.runs));
  if (options.json) {
    std::puts(as_json(result, options.model).c_str());
  } else {
    std::fputs(as_text(result).c_str(), stdout);
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
