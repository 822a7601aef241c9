// SPDX-License-Identifier: Apache-2.0
// Weight-only and dynamic quantization at the command line.
#include "weights.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "json.h"
#include "observe.h"
#include "text.h"

namespace firn::tool {
namespace {

constexpr int kFloatBits = 32;

Status check(const WeightJob& job) {
  const WeightArguments& given = job.arguments;
  const auto invalid = [](const char* what) { return Status(Code::invalid_argument, what); };
  if (!given.chosen)
    return given.min_sqnr_db ? invalid("--min-sqnr: of weights alone it takes --weights auto")
                             : Status();
  if (!given.min_sqnr_db || job.data.data.empty())
    return invalid("--weights auto chooses by samples and a limit: give --data and --min-sqnr");
  if (given.dynamic || given.block || given.short_filter || given.short_row_bits)
    return invalid(
        "--weights auto chooses bits and blocks: leave --dynamic, --block, --short-filter and "
        "--short-row-bits away");
  return {};
}

Result<WeightOptions> options_of(const WeightJob& job) {
  FIRN_TRY(check(job));
  const WeightArguments& given = job.arguments;
  WeightOptions options = given.dynamic ? dynamic_quantization() : WeightOptions();
  options.bits = given.bits.value_or(options.bits);
  options.block = given.block.value_or(options.block);
  options.short_filter = given.short_filter.value_or(options.short_filter);
  options.short_row_bits = given.short_row_bits.value_or(options.short_row_bits);
  if (given.rounding) {
    FIRN_ASSIGN(options.rounding, rounding_from_name(*given.rounding));
  }
  options.symmetric = options.symmetric || given.symmetric;
  options.min_sqnr_db = given.min_sqnr_db;
  options.keep_float = job.keep_float;
  return options;
}

std::string bits_text(const WeightLayer& layer) {
  if (layer.bits == kFloatBits) return "float";
  return layer.bits == 16 ? "f16" : std::to_string(layer.bits) + " bits";
}

std::string block_text(const WeightLayer& layer) {
  return layer.block > 0 ? format("of %zu", layer.block) : "";
}

std::string as_json(const WeightJob& job, const WeightReport& report, size_t file) {
  Json json;
  json.open('{').member("model", job.model).member("output", job.output);
  json.member("bytes_before", report.bytes_before).member("bytes_after", report.bytes_after);
  json.member("file_bytes", file).member("seconds", report.seconds);
  json.open("outputs", '[');
  for (const OutputReport& output : report.outputs) {
    json.open('{').member("name", output.name).member("sqnr_db", output.sqnr_db);
    json.member("max_abs_error", output.max_abs_error).close();
  }
  json.close().open("layers", '[');
  for (const WeightLayer& layer : report.layers) {
    json.open('{').member("name", layer.name).member("op", layer.op);
    json.member("bits", layer.bits).member("block", layer.block).member("why", layer.why);
    json.member("sqnr_db", layer.sqnr_db).member("bias_corrected", layer.bias_corrected);
    json.member("bytes_before", layer.bytes_before).member("bytes_after", layer.bytes_after);
    json.close();
  }
  return json.close().close().text();
}

std::string layers_text(const WeightReport& report, bool verbose) {
  std::vector<WeightLayer> layers = report.layers;
  std::ranges::stable_sort(layers, {}, &WeightLayer::sqnr_db);
  Table table("llllrrrl");
  for (const WeightLayer& layer : layers) {
    if (!verbose && layer.why.empty()) continue;
    table.row({one_line(layer.name), layer.op, bits_text(layer), block_text(layer),
               layer.why.empty() ? decibel_text(layer.sqnr_db) : "", bytes_text(layer.bytes_before),
               bytes_text(layer.bytes_after), one_line(layer.why)});
  }
  const std::string rows = table.text(2);
  if (rows.empty()) return "";
  return (verbose ? "\nSQNR of the weights, the worst first\n" : "\nweights in float\n") + rows;
}

std::string as_text(const WeightJob& job, const WeightReport& report, size_t file) {
  const auto stored = std::ranges::count_if(
      report.layers, [](const WeightLayer& layer) { return layer.why.empty(); });
  std::string text = format("layers: %d of %zu with weights in few bits\n",
                            static_cast<int>(stored), report.layers.size());
  const auto corrected = std::ranges::count_if(report.layers, &WeightLayer::bias_corrected);
  text += format("biases corrected: %d\n", static_cast<int>(corrected));
  text += "constants: " + bytes_text(report.bytes_before) + " to " +
          bytes_text(report.bytes_after) + format(", in %.2f s\n", report.seconds);
  for (const OutputReport& output : report.outputs) {
    text += format("output %s: %s, largest error %.3g\n", one_line(output.name).c_str(),
                   decibel_text(output.sqnr_db).c_str(), output.max_abs_error);
  }
  text += layers_text(report, job.verbose || job.arguments.chosen);
  return text + "\nwrote " + one_line(job.output) +
         (job.weights_file.empty() ? "" : " and " + one_line(job.weights_file)) + ", " +
         bytes_text(file) + "\n";
}

Result<WeightModel> made_of(const WeightJob& job, const WeightOptions& options) {
  if (job.data.data.empty()) {
    FIRN_ASSIGN(const Model model, open_model(job.model, job.run));
    return quantize_weights(model, options);
  }
  FIRN_ASSIGN(Network network, open_network(job.model, job.run));
  FIRN_TRY(network.session.calibrate());
  FIRN_ASSIGN(Feed feed, Feed::open(job.data, network.inputs));
  FIRN_TRY(observe(network.session, feed));
  return network.session.quantize_weights(options);
}

// What was written, the weights' own file with it.
Result<size_t> written_bytes(const WeightJob& job) {
  FIRN_ASSIGN(size_t bytes, file_bytes(job.output));
  if (job.weights_file.empty()) return bytes;
  const size_t slash = job.output.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : job.output.substr(0, slash + 1);
  FIRN_ASSIGN(const size_t weights, file_bytes(folder + job.weights_file));
  return bytes + weights;
}

}  // namespace

void add_weight_options(CLI::App& command, WeightArguments& arguments) {
  constexpr const char* kGroup = "Weights alone (no samples needed)";
  command
      .add_option_function<std::string>(
          "--weights",
          [&arguments](const std::string& text) {
            arguments.chosen = text == "auto";
            if (arguments.chosen) return;
            const Result<int> bits = parse_number<int>(text);
            if (!bits) throw CLI::ValidationError("--weights: '" + text + "' is no number of bits");
            arguments.bits = *bits;
          },
          "weights of 2 to 8 bits in blocks, or 16: half precision; activations stay floats; "
          "--data, where given, corrects biases; auto: for each layer 2 to 8 bits and blocks, the "
          "smallest with which every output keeps --min-sqnr on held-back samples of --data")
      ->type_name("BITS")
      ->group(kGroup);
  command
      .add_flag(
          "--dynamic", arguments.dynamic,
          "int8 weights, and activations quantized row by row while it runs: fully connected, "
          "recurrent and embedding layers, no calibration")
      ->group(kGroup);
  const auto add = [&](const char* name, auto& value, const char* what, const char* type) {
    command.add_option(name, value, what)->type_name(type)->group(kGroup);
  };
  add("--block", arguments.block,
      "weights that share a scale, a multiple of 32, or 0: those of an output channel (default 32; "
      "--dynamic: 0)",
      "N");
  add("--block-scale", arguments.rounding,
      "how that is found: max-abs, mse or hqq (half-quadratic) (default hqq; --dynamic: max-abs)",
      "NAME");
  add("--short-filter", arguments.short_filter,
      "convolutions' filters of up to so many weights have more bits, and a scale each (default "
      "192)",
      "N");
  add("--short-row-bits", arguments.short_row_bits, "as many, 2 to 8 (default 8)", "BITS");
}

void add_weights_file_option(CLI::App& command, std::string& name) {
  command
      .add_option("--weights-file", name,
                  "write the weights to a file of this name beside the model, instead of into it")
      ->type_name("NAME");
}

Status quantize_weights_of(const WeightJob& job) {
  FIRN_ASSIGN(const WeightOptions options, options_of(job));
  FIRN_ASSIGN(const WeightModel made, made_of(job, options));
  FIRN_TRY(made.model.save(job.output, job.weights_file));
  FIRN_ASSIGN(const size_t bytes, written_bytes(job));
  if (job.json) {
    std::puts(as_json(job, made.report, bytes).c_str());
  } else {
    std::fputs(as_text(job, made.report, bytes).c_str(), stdout);
  }
  return {};
}

}  // namespace firn::tool
