// SPDX-License-Identifier: Apache-2.0
// firn info: what is in a model file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "firn/formats.h"
#include "json.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string model;
  bool json = false;
  RunOptions run;
  bool operators = false;
};

std::string quant_text(const std::optional<Quant>& quant) {
  if (!quant) return "";
  if (quant->scale.size() != 1) return format("%zu scales", quant->scale.size());
  const int zero = quant->zero[0];
  return format("scale %g zero %d", static_cast<double>(quant->scale[0]), zero);
}

void add_tensors(Json& json, const char* key, const std::vector<TensorInfo>& tensors) {
  json.open(key, '[');
  for (const TensorInfo& tensor : tensors) {
    json.open('{').member("name", tensor.name).member("type", dtype_name(tensor.type));
    json.open("shape", '[');
    for (const int32_t dim : tensor.shape.dims()) json.value(dim);
    json.close();
    if (tensor.quant) {
      json.open("scale", '[');
      for (const float scale : tensor.quant->scale) json.value(scale);
      json.close().open("zero", '[');
      for (const int32_t zero : tensor.quant->zero) json.value(zero);
      json.close();
    }
    json.close();
  }
  json.close();
}

std::string as_json(const std::string& path, const ModelInfo& info) {
  Json json;
  json.open('{').member("model", path).member("format", info.format);
  json.member("parameters", info.parameters).member("weight_bytes", info.weight_bytes);
  json.member("macs", info.macs);
  json.member("layers_int8", info.layers_int8).member("layers_i16", info.layers_i16);
  json.member("layers_float", info.layers_float);
  add_tensors(json, "inputs", info.inputs);
  add_tensors(json, "outputs", info.outputs);
  json.open("ops", '{');
  for (const auto& [op, count] : info.ops) json.member(op, count);
  return json.close().close().text();
}

std::string as_text(const std::string& path, const ModelInfo& info) {
  std::string text = one_line(path) + ": " + info.format + "\n\n";
  Table tensors("llll");
  for (const TensorInfo& each : info.inputs) {
    tensors.row({"input " + one_line(each.name), dtype_name(each.type), to_string(each.shape),
                 quant_text(each.quant)});
  }
  for (const TensorInfo& each : info.outputs) {
    tensors.row({"output " + one_line(each.name), dtype_name(each.type), to_string(each.shape),
                 quant_text(each.quant)});
  }
  Table totals("ll");
  totals.row({"parameters", count_text(info.parameters)});
  totals.row({"weights", bytes_text(info.weight_bytes)});
  totals.row({"multiply-adds", count_text(info.macs)});
  totals.row({"layers", layers_text(info.layers_int8, info.layers_i16, info.layers_float)});
  Table ops("rl");
  for (const auto& [op, count] : info.ops) ops.row({std::to_string(count), op});
  return text + tensors.text() + "\n" + totals.text() + "\n" + ops.text();
}

// A paragraph a format: what the documentation says is supported, is what this prints.
std::string operators_text() {
  std::string text;
  for (const FormatOperators& format : supported_operators()) {
    text += format.format + ": " + std::to_string(format.operators.size()) + " operators\n";
    std::string line;
    for (const std::string& name : format.operators) {
      if (line.size() + name.size() > 90) {
        text += line + "\n";
        line.clear();
      }
      line += (line.empty() ? "  " : " ") + name;
    }
    text += line + "\n\n";
  }
  return text;
}

Status info(const Options& options) {
  if (options.operators) {
    std::fputs(operators_text().c_str(), stdout);
    return {};
  }
  FIRN_ASSIGN(const Model model, open_model(options.model, options.run));
  const ModelInfo info = model.info();
  if (options.json) {
    std::puts(as_json(options.model, info).c_str());
  } else {
    std::fputs(as_text(options.model, info).c_str(), stdout);
  }
  return {};
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("info", "Shows inputs, outputs, operators and sizes");
  add_model_option(*command, options->model);
  command->get_option("MODEL")->required(false);
  command->add_flag("--json", options->json, "print one JSON object; an open dimension is -1");
  add_random_weights_option(*command, options->run);
  command->add_flag("--operators", options->operators,
                    "list the operators that are read of each model format");
  command->footer("Example:\n  firn info mobilenet_v2.onnx\n  firn info --operators");
  command->callback([options, &action] {
    if (options->model.empty() && !options->operators) throw CLI::RequiredError("MODEL");
    action = [options] { return info(*options); };
  });
}

}  // namespace firn::tool
