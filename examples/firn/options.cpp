// SPDX-License-Identifier: Apache-2.0
// The command-line options that several commands share.
#include <CLI/CLI.hpp>

#include "choice.h"
#include "commands.h"

namespace firn::tool {

void add_model_option(CLI::App& command, std::string& path) {
  command
      .add_option("MODEL", path,
                  "an .onnx, ncnn .param (its .bin beside it) or .firn file, told apart by content")
      ->required();
}

void add_run_options(CLI::App& command, RunOptions& options) {
  command.add_option("--threads", options.threads, "threads at most (default 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command
      .add_option("--isa", options.isa,
                  "instruction set: scalar, avx2, avxvnni, avx512vnni, amxint8, neon, neondot, "
                  "neoni8mm (default: the best that the machine has)")
      ->type_name("NAME");
  add_choice(command, "--weight-use", options.weight_use,
             "weights of few bits: make floats of them once, or multiply in integers (default: "
             "as the model was made for)",
             {"floats", "integers"});
  command
      .add_option("--shape", options.shapes,
                  "sizes for an input whose model leaves them open, as in 1x3x224x224")
      ->type_name("[NAME=]DIMS")
      ->allow_extra_args(false);
}

void add_random_weights_option(CLI::App& command, RunOptions& options) {
  command.add_flag("--random-weights", options.random_weights,
                   "ncnn: make weights up in place of the .bin, the same every time");
}

void add_prepare_options(CLI::App& command, PrepareOptions& options) {
  constexpr const char* kGroup = "Preprocessing";
  command.add_option("--mean", options.mean, "taken from the pixels, per channel or one for all")
      ->type_name("A,B,C")
      ->group(kGroup);
  auto* std_dev =
      command.add_option("--std", options.std_dev, "then divides them")->type_name("A,B,C");
  auto* norm = command.add_option("--norm", options.norm, "or multiplies them")->type_name("A,B,C");
  std_dev->group(kGroup);
  norm->group(kGroup)->excludes(std_dev);
  add_choice(command, "--pixel", options.pixel,
             "order of the channels, also of --mean (default: RGB, or GRAY for one channel)",
             {"RGB", "BGR", "GRAY"})
      ->group(kGroup);
  add_choice(command, "--resize", options.resize,
             "crop keeps the proportions and cuts out the middle (default), stretch does not",
             {"crop", "stretch"})
      ->group(kGroup);
  command
      .add_option("--short-side", options.short_side,
                  "crop: the picture's short side is resized to this first (default: the smallest "
                  "size that fills the input)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 15))
      ->group(kGroup);
}

void add_data_options(CLI::App& command, DataOptions& options) {
  command
      .add_option("--data", options.data,
                  "samples: a folder of JPEG and PNG pictures (sorted by name; with --labels a "
                  "CSV: its rows), a "
                  "list of files, a CSV with a column file, or an .npy whose first axis is the "
                  "sample; once for each input of the model")
      ->type_name("[NAME=]SRC")
      ->allow_extra_args(false);
  command
      .add_option("--labels", options.labels,
                  "a CSV with columns file and class, or an .npy of integers for .npy data")
      ->type_name("FILE");
  command.add_option("--skip", options.skip, "leave out the first N samples")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--limit", options.limit, "take at most N samples")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  add_prepare_options(command, options.prepare);
}

void add_label_offset_option(CLI::App& command, int& offset) {
  command
      .add_option("--label-offset", offset, "added to labels: 1 for models with a background class")
      ->type_name("N");
}

void add_range_options(CLI::App& command, CalibrateOptions& options) {
  command
      .add_option_function<std::string>(
          "--method",
          [&options](const std::string& name) {
            const Result<Method> method = method_from_name(name);
            if (!method) throw CLI::ValidationError(method.status().message());
            options.method = *method;
          },
          "how ranges are picked: automatic, minmax, ema, percentile, mse, kl, kl-tensorrt, "
          "kl-ncnn, aciq, eq (default: automatic)")
      ->type_name("M");
  command.add_flag("--symmetric", options.symmetric,
                   "ranges around 0, and weights of few bits, with zero point 0");
}

}  // namespace firn::tool
