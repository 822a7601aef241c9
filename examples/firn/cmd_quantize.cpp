// SPDX-License-Identifier: Apache-2.0
// firn quantize: the int8 model, or one with weights of few bits, and a report of what it lost.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "choice.h"
#include "commands.h"
#include "json.h"
#include "observe.h"
#include "text.h"
#include "weights.h"

namespace firn::tool {
namespace {

struct Options : FreezeRequest {
  std::string output, weights_file;
  WeightArguments weights;
  bool json = false, verbose = false;
};

std::string as_json(const Options& options, const FreezeReport& report,
                    const CalibrationStatus& calibration) {
  Json json;
  json.open('{').member("model", options.model).member("output", options.output);
  json.member("frames", calibration.frames).member("rejected", calibration.rejected);
  json.member("verified_frames", report.verified_frames);
  json.member("layers_int8", report.layers_int8).member("layers_i16", report.layers_i16);
  json.member("layers_float", report.layers_float);
  json.member("bytes_before", report.bytes_before).member("bytes_after", report.bytes_after);
  json.member("ms_float", report.ms_float).member("ms_int8", report.ms_int8);
  json.member("seconds", report.seconds);
  json.open("outputs", '[');
  for (const OutputReport& output : report.outputs) {
    json.open('{').member("name", output.name).member("sqnr_db", output.sqnr_db);
    json.member("max_abs_error", output.max_abs_error).close();
  }
  json.close().open("layers", '[');
  for (const LayerReport& layer : report.layers) {
    json.open('{').member("name", layer.name).member("op", layer.op);
    json.member("precision", precision_name(layer.precision)).member("why", layer.why);
    json.member("sqnr_db", layer.sqnr_db);
    json.member("bytes_before", layer.bytes_before).member("bytes_after", layer.bytes_after);
    json.member("ms_float", layer.ms_float).member("ms_int8", layer.ms_int8).close();
  }
  json.close().open("warnings", '[');
  for (const std::string& warning : report.warnings) json.value(warning);
  return json.close().close().text();
}

// The layers of one precision that is not int8, and why.
std::string other_layers_text(const FreezeReport& report, Precision precision,
                              const std::string& title) {
  Table table("lll");
  for (const LayerReport& layer : report.layers) {
    if (layer.precision != precision) continue;
    table.row({one_line(layer.name), layer.op, one_line(layer.why)});
  }
  const std::string rows = table.text(2);
  return rows.empty() ? "" : "\n" + title + "\n" + rows;
}

std::string ms_text(double ms) {
  return ms > 0 ? format("%.4f", ms) : "";
}

std::string worst_layers_text(const FreezeReport& report) {
  std::vector<LayerReport> layers = report.layers;
  std::stable_sort(layers.begin(), layers.end(), [](const LayerReport& a, const LayerReport& b) {
    return a.sqnr_db < b.sqnr_db;
  });
  Table table("lllrrrrr");
  if (report.ms_float > 0) {
    table.row({"layer", "op", "type", "SQNR", "before", "after", "ms float", "ms int8"});
  }
  for (const LayerReport& layer : layers) {
    table.row({one_line(layer.name), layer.op, precision_name(layer.precision),
               decibel_text(layer.sqnr_db), bytes_text(layer.bytes_before),
               bytes_text(layer.bytes_after), ms_text(layer.ms_float), ms_text(layer.ms_int8)});
  }
  return "\nSQNR of the layers, the worst first\n" + table.text(2);
}

std::string as_text(const Options& options, const FreezeReport& report,
                    const CalibrationStatus& calibration) {
  std::string text;
  if (options.table.empty()) text += "calibration: " + calibration_text(calibration) + "\n";
  text +=
      "layers: " + layers_text(report.layers_int8, report.layers_i16, report.layers_float) + "\n";
  text += "weights: " + bytes_text(report.bytes_before) + " to " + bytes_text(report.bytes_after) +
          "\n";
  if (report.ms_float > 0) {
    text +=
        format("a run here: %.4f ms in float, %.4f ms in int8\n", report.ms_float, report.ms_int8);
  }
  for (const OutputReport& output : report.outputs) {
    if (report.verified_frames == 0) break;
    text += format("output %s: %s, largest error %.3g\n", one_line(output.name).c_str(),
                   decibel_text(output.sqnr_db).c_str(), output.max_abs_error);
  }
  text += report.verified_frames > 0
              ? format("verified against float on %zu held-back frames\n", report.verified_frames)
              : std::string("not verified: no frames were held back\n");
  text += other_layers_text(report, Precision::i16, "layers with 16-bit activations");
  text += other_layers_text(report, Precision::f32, "layers in float");
  if (options.verbose && report.verified_frames > 0) text += worst_layers_text(report);
  for (const std::string& warning : report.warnings) {
    text += "\nwarning: " + one_line(warning) + "\n";
  }
  return text + "\nwrote " + one_line(options.output) + "\n";
}

// Ranges and their methods are of no use to it.
Status quantize_weights_alone(const Options& options) {
  if (!options.table.empty() || !options.state.empty() ||
      options.calibration.method != Method::automatic || !options.freeze.keep_i16.empty()) {
    return {Code::invalid_argument,
            "--weights and --dynamic take no ranges: leave --table, --state, --method and "
            "--keep-i16 away"};
  }
  WeightArguments arguments = options.weights;
  arguments.symmetric = options.calibration.symmetric;
  arguments.min_sqnr_db = options.freeze.min_sqnr_db;
  return quantize_weights_of({.model = options.model,
                              .output = options.output,
                              .weights_file = options.weights_file,
                              .data = options.data,
                              .keep_float = options.freeze.keep_float,
                              .arguments = std::move(arguments),
                              .run = options.run,
                              .json = options.json,
                              .verbose = options.verbose});
}

Status quantize(const Options& options) {
  if (options.weights.wanted()) return quantize_weights_alone(options);
  if (options.table.empty() && options.state.empty() && options.data.data.empty()) {
    return {
        Code::invalid_argument,
        "give samples with --data, what was observed of them with --table or --state, or both; or "
        "--weights or --dynamic, which need none"};
  }
  FIRN_ASSIGN(const FreezeOutcome outcome, calibrate_and_freeze(options));
  FIRN_TRY(outcome.network.session.save(options.output, options.weights_file));
  if (options.json) {
    std::puts(as_json(options, outcome.report, outcome.calibration).c_str());
  } else {
    std::fputs(as_text(options, outcome.report, outcome.calibration).c_str(), stdout);
  }
  return {};
}

}  // namespace

Result<FreezeOutcome> calibrate_and_freeze(const FreezeRequest& options) {
  FIRN_ASSIGN(Network network, open_network(options.model, options.run));
  Session& session = network.session;
  // With a table or a state the samples only verify what it gives.
  CalibrateOptions calibration = options.calibration;
  if (!options.state.empty()) calibration.hold_back_every = 1;
  FIRN_TRY(!options.state.empty()   ? session.load_calibration(options.state, calibration)
           : !options.table.empty() ? session.load_table(options.table)
                                    : session.calibrate(calibration));
  if (!options.data.data.empty()) {
    FIRN_ASSIGN(Feed feed, Feed::open(options.data, network.inputs));
    FIRN_TRY(observe(session, feed));
  }
  const CalibrationStatus observed = session.calibration();
  FIRN_ASSIGN(FreezeReport report, session.freeze(options.freeze));
  return FreezeOutcome{std::move(network), std::move(report), observed};
}

void add_freeze_options(CLI::App* command, FreezeRequest* options) {
  command
      ->add_option("--table", options->table,
                   "ranges from firn calibrate or ncnn2table; samples then only verify the result")
      ->type_name("T.table");
  command
      ->add_option("--state", options->state,
                   "what firn calibrate --state observed; samples then only verify the result")
      ->type_name("C.calib")
      ->excludes("--table");
  add_range_options(*command, options->calibration);
  command
      ->add_option_function<std::string>(
          "--weight-scale",
          [freeze = &options->freeze](const std::string& name) {
            const Result<WeightScale> scale = weight_scale_from_name(name);
            if (!scale) throw CLI::ValidationError(scale.status().message());
            freeze->weight_scale = *scale;
          },
          "how the scales of weights are found: max-abs, mse, admm (default: max-abs)")
      ->type_name("S");
  command
      ->add_option(
          "--keep-float", options->freeze.keep_float,
          "layers that stay in float: a name with * and ?, or type:Conv2d, or first:2 or last:1 "
          "of those with weights; repeatable")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command
      ->add_option("--keep-i16", options->freeze.keep_i16,
                   "layers whose activations have 16 bits, their weights 8: patterns as those of "
                   "--keep-float; repeatable")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command
      ->add_option("--min-sqnr", options->freeze.min_sqnr_db,
                   "refuse where an output keeps less than this against float")
      ->type_name("DB");
  command->add_flag(
      "--back-off", options->freeze.back_off,
      "with --min-sqnr: give layers 16-bit activations, and put them back in float where that is "
      "not enough, until it holds, instead of refusing");
  command->add_flag("--per-channel,!--per-tensor", options->freeze.per_channel,
                    "a weight scale for each output channel (default), or one a layer");
  command->add_flag("--equalize,!--no-equalize", options->freeze.equalize,
                    "make channels alike that leave most of a tensor's range unused (default)");
  add_choice<Rounding>(
      *command, "--rounding", options->freeze.rounding,
      "of weights: nearest; fast: for the least error of a layer's output on kept "
      "samples (default); thorough: the same with more work",
      {{"nearest", Rounding::nearest}, {"fast", Rounding::fast}, {"thorough", Rounding::thorough}});
  add_choice<BiasCorrection>(
      *command, "--bias-correction", options->freeze.bias_correction,
      "for the weights' errors: none; analytic: by the means of what layers read (default); "
      "frames: also measured, layer after layer, on kept samples, where that helps",
      {{"none", BiasCorrection::none},
       {"analytic", BiasCorrection::analytic},
       {"frames", BiasCorrection::frames}});
  command->add_flag("--timing,!--no-timing", options->freeze.timed,
                    "keep in float what int8 does not make faster on this machine with this "
                    "--threads and --isa, and refuse where it is slower on the whole; off by "
                    "default, as the model may be for another machine");
}

void add_quantize(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("quantize", "Writes the int8 model and reports its error");
  add_model_option(*command, options->model);
  command->add_option("-o,--output", options->output, "the model to write")
      ->type_name("OUT.firn")
      ->required();
  add_freeze_options(command, options.get());
  command->add_flag("--verbose", options->verbose, "list every layer, the worst first");
  command->add_flag("--json", options->json, "print the report as one JSON object");
  add_weights_file_option(*command, options->weights_file);
  add_weight_options(*command, options->weights);
  add_data_options(*command, options->data);
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn quantize mobilenet_v2.onnx --data pictures/ --limit 100 --mean 127.5 "
      "--std 127.5 -o mobilenet_v2.int8.firn\n  firn quantize mobilenet_v2.onnx --weights 4 "
      "--block 32 --block-scale hqq -o mobilenet_v2.w4.firn\n  firn quantize mobilenet_v2.onnx "
      "--weights auto --min-sqnr 20 --data pictures/ --mean 127.5 --std 127.5 -o "
      "mobilenet_v2.mixed.firn\n  firn quantize lstm.onnx --dynamic -o lstm.int8.firn");
  command->callback([options, &action] { action = [options] { return quantize(*options); }; });
}

}  // namespace firn::tool
