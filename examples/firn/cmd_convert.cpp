// SPDX-License-Identifier: Apache-2.0
// firn convert: any model that firn reads as a .firn file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "network.h"
#include "text.h"
#include "weights.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model, output, weights_file;
  RunOptions run;
};

Status convert(const Options& options) {
  FIRN_ASSIGN(const Model model, open_model(options.model, options.run));
  FIRN_TRY(model.save(options.output, options.weights_file));
  const ModelInfo info = model.info();
  std::printf("wrote %s: layers: %s\n", one_line(options.output).c_str(),
              layers_text(info.layers_int8, info.layers_i16, info.layers_float).c_str());
  return {};
}

}  // namespace

void add_convert(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("convert", "Writes a model as .firn, in the precision it has");
  add_model_option(*command, options->model);
  command->add_option("OUT", options->output, "the .firn file to write")->required();
  add_weights_file_option(*command, options->weights_file);
  add_random_weights_option(*command, options->run);
  command->footer("Example:\n  firn convert squeezenet_v1.1.param squeezenet_v1.1.firn");
  command->callback([options, &action] { action = [options] { return convert(*options); }; });
}

}  // namespace firn::tool
