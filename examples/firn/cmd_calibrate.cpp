// SPDX-License-Identifier: Apache-2.0
// firn calibrate: the ranges of a model's tensors over samples, as an editable text file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "observe.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model, output;
  std::string method = "automatic";
  DataOptions data;
  RunOptions run;
};

Status calibrate(const Options& options) {
  CalibrateOptions calibration;
  FIRN_ASSIGN(calibration.method, method_from_name(options.method));
  calibration.hold_back_max = 0;  // a table is all that is wanted: observe every sample
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  FIRN_ASSIGN(Feed feed, Feed::open(options.data, network.inputs));
  FIRN_TRY(network.session.calibrate(calibration));
  FIRN_TRY(observe(network.session, feed));
  FIRN_TRY(network.session.save_table(options.output));
  std::printf("%s: %s\n", one_line(options.output).c_str(),
              calibration_text(network.session.calibration()).c_str());
  return {};
}

}  // namespace

void add_calibrate(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("calibrate", "Writes the ranges of all tensors over samples to a file");
  add_model_option(*command, options->model);
  command->add_option("-o,--output", options->output, "the table to write")
      ->type_name("T.table")
      ->required();
  add_method_option(*command, options->method);
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn calibrate mobilenet_v2.onnx --data pictures/ --limit 100 --mean 127.5 "
      "--std 127.5 -o mobilenet_v2.table");
  command->callback([options, &action] { action = [options] { return calibrate(*options); }; });
}

}  // namespace firn::tool
