// SPDX-License-Identifier: Apache-2.0
// firn run: one inference from files to files.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "commands.h"
#include "floats.h"
#include "labels.h"
#include "npy.h"
#include "prepare.h"
#include "source.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> inputs;
  std::string output;
  int top = 0;
  PrepareOptions prepare;
  RunOptions run;
};

Status save_outputs(const std::string& folder, std::span<const NamedTensor> outputs) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return {Code::io_error, folder + ": " + error.message()};
  std::set<std::string> taken;
  for (const NamedTensor& output : outputs) {
    const std::string file = unique_file_name(output.name, taken) + ".npy";
    const std::string path = (std::filesystem::path(folder) / file).string();
    FIRN_TRY(write_npy(path, output.tensor));
    std::printf("%s  %s %s\n", one_line(path).c_str(), dtype_name(output.tensor.type),
                to_string(output.tensor.shape).c_str());
  }
  return {};
}

// The greatest scores of every row of the first output.
Status print_top(const Session& session, const NamedTensor& output, int count) {
  std::optional<Quant> quant;
  for (const TensorInfo& info : session.outputs()) {
    if (info.name == output.name) quant = info.quant;
  }
  FIRN_ASSIGN(const std::vector<float> scores, floats_of(output.tensor, quant));
  const Shape& shape = output.tensor.shape;
  const size_t rows = shape.rank > 1 ? static_cast<size_t>(shape[0]) : 1;
  const size_t row_length = rows == 0 ? 0 : scores.size() / rows;
  for (size_t row = 0; row < rows; ++row) {
    if (rows > 1) std::printf("sample %zu\n", row);
    const std::span<const float> part(scores.data() + row * row_length, row_length);
    Table table("rr");
    for (const size_t index : top_classes(part, static_cast<size_t>(count))) {
      table.row({std::to_string(index), format("%.6g", static_cast<double>(part[index]))});
    }
    std::fputs(table.text(2).c_str(), stdout);
  }
  return {};
}

Status run(const Options& options) {
  if (options.output.empty() && options.top == 0) {
    return {Code::invalid_argument, "nothing to do: give --output DIR, --top K or both"};
  }
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  FIRN_ASSIGN(const std::vector<std::string> files,
              assign_to_inputs(options.inputs, network.inputs));
  std::vector<Array> arrays(files.size());
  std::vector<NamedTensor> inputs;
  for (size_t i = 0; i < files.size(); ++i) {
    const TensorInfo& input = network.inputs[i];
    FIRN_ASSIGN(const Preparation preparation, Preparation::make(options.prepare, input));
    FIRN_ASSIGN(Array raw, read_array(files[i]));
    FIRN_ASSIGN(arrays[i], preparation.apply(std::move(raw), files[i]));
    inputs.push_back({input.name, arrays[i].view()});
  }
  Outputs outputs;
  FIRN_TRY(network.session.run(inputs, outputs));
  if (!options.output.empty()) FIRN_TRY(save_outputs(options.output, outputs.all()));
  if (options.top == 0 || outputs.all().empty()) return {};
  return print_top(network.session, outputs.all()[0], options.top);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Runs a model on files");
  add_model_option(*command, options->model);
  command
      ->add_option("--input", options->inputs,
                   "a JPEG, PNG or .npy for each input of the model, in their order or by name")
      ->type_name("[NAME=]FILE");
  command->add_option("--output", options->output, "folder for the outputs, one .npy each")
      ->type_name("DIR");
  command->add_option("--top", options->top, "print the K greatest scores of the first output")
      ->type_name("K")
      ->check(CLI::PositiveNumber);
  add_prepare_options(*command, options->prepare);
  add_run_options(*command, options->run);
  add_random_weights_option(*command, options->run);
  command->footer(
      "Example:\n  firn run mobilenet_v2.onnx --input cat.jpg --mean 127.5 --std 127.5 "
      "--short-side 256 --top 5");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace firn::tool
