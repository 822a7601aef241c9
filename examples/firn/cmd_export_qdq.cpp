// SPDX-License-Identifier: Apache-2.0
// firn export-qdq: a frozen model as an ONNX file that other runtimes run.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "commands.h"
#include "firn/onnx_export.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model, output;
  OnnxExportOptions onnx;
};

}  // namespace

void add_export_qdq(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "export-qdq", "Writes a model as ONNX, int8 layers as QuantizeLinear and DequantizeLinear");
  add_model_option(*command, options->model);
  command->add_option("-o,--output", options->output, "the file to write")
      ->type_name("OUT.onnx")
      ->required();
  command->add_flag("--uint8", options->onnx.uint8_activations,
                    "activations as uint8, which ONNX Runtime is fast with on x86");
  command->footer("Example:\n  firn export-qdq mobilenet_v2.int8.firn -o mobilenet_v2.qdq.onnx");
  command->callback([options, &action] {
    action = [options]() -> Status {
      FIRN_ASSIGN(const Model model, open_model(options->model));
      return export_onnx(model, options->output, options->onnx);
    };
  });
}

}  // namespace firn::tool
