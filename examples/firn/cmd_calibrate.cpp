// SPDX-License-Identifier: Apache-2.0
// firn calibrate: the ranges of a model's tensors over samples, as an editable text file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "choice.h"
#include "commands.h"
#include "observe.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model, output, state, from;
  TableFormat format = TableFormat::firn;
  CalibrateOptions calibration;
  DataOptions data;
  RunOptions run;
};

Status calibrate(const Options& options) {
  if (options.output.empty() && options.state.empty()) {
    return {Code::invalid_argument, "give a table to write with -o, or a calibration with --state"};
  }
  if (options.data.data.empty() == options.from.empty()) {
    return {Code::invalid_argument, "give either samples with --data or a model with --from"};
  }
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  Session& session = network.session;
  const std::string written = one_line(options.output.empty() ? options.state : options.output);
  if (!options.from.empty()) {
    FIRN_ASSIGN(const Model quantized, open_model(options.from));
    FIRN_TRY(session.load_scales(quantized));
    FIRN_TRY(session.save_table(options.output, options.format));
    std::printf("%s: the scales of %s\n", written.c_str(), one_line(options.from).c_str());
    return {};
  }
  FIRN_ASSIGN(Feed feed, Feed::open(options.data, network.inputs));
  FIRN_TRY(session.calibrate(options.calibration));
  FIRN_TRY(observe(session, feed));
  if (!options.state.empty()) FIRN_TRY(session.save_calibration(options.state));
  if (!options.output.empty()) FIRN_TRY(session.save_table(options.output, options.format));
  std::printf("%s: %s\n", written.c_str(), calibration_text(session.calibration()).c_str());
  return {};
}

}  // namespace

void add_calibrate(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("calibrate", "Writes the ranges of all tensors over samples to a file");
  add_model_option(*command, options->model);
  command->add_option("-o,--output", options->output, "the table to write")->type_name("T.table");
  add_choice<TableFormat>(*command, "--format", options->format,
                          "of the table: firn (default), or ncnn, for ncnn2int8",
                          {{"firn", TableFormat::firn}, {"ncnn", TableFormat::ncnn}});
  auto* state = command->add_option(
      "--state", options->state,
      "write all that was observed, for firn merge-calibration and firn quantize");
  state->type_name("C.calib");
  add_range_options(*command, options->calibration);
  auto* from = command->add_option("--from", options->from,
                                   "in place of samples: the scales of a quantized model of the "
                                   "same network, QDQ .onnx or int8 .tflite");
  from->type_name("MODEL")->excludes(state);
  add_data_options(*command, options->data);
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn calibrate mobilenet_v2.onnx --data pictures/ --limit 100 --mean 127.5 "
      "--std 127.5 -o mobilenet_v2.table");
  command->callback([options, &action] {
    // What is merged later is all samples; for a table some decide between methods.
    if (!options->state.empty()) options->calibration.hold_back_max = 0;
    action = [options] { return calibrate(*options); };
  });
}

void add_merge_calibration(CLI::App& app, Action& action) {
  struct Merge {
    std::vector<std::string> inputs;
    std::string output;
  };
  auto options = std::make_shared<Merge>();
  CLI::App* command = app.add_subcommand(
      "merge-calibration", "Adds up calibrations of one model to that of all their samples");
  command->add_option("FILES", options->inputs, "from firn calibrate --state")
      ->type_name("A.calib B.calib ...")
      ->required();
  command->add_option("-o,--output", options->output, "the calibration to write")
      ->type_name("C.calib")
      ->required();
  command->footer(
      "The result is exactly that of one calibration over all the samples.\n"
      "Example:\n  firn merge-calibration monday.calib tuesday.calib -o both.calib");
  command->callback([options, &action] {
    action = [options] { return merge_calibrations(options->inputs, options->output); };
  });
}

}  // namespace firn::tool
