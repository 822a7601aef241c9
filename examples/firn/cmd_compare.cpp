// SPDX-License-Identifier: Apache-2.0
// firn compare: the same samples through two models, and how far their answers are apart.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "error_stats.h"
#include "floats.h"
#include "json.h"
#include "labels.h"
#include "progress.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options {
  std::string a, b;
  int label_offset = 0;
  bool json = false;
  DataOptions data;
  RunOptions run;
};

struct Comparison {
  size_t samples = 0;
  std::vector<std::string> names;  // of A's outputs
  std::vector<OutputError> errors;
  TopOne top;
};

// For each of A's outputs the index of B's: by name where all are there, else by position.
Result<std::vector<size_t>> pair_outputs(const std::vector<TensorInfo>& a,
                                         const std::vector<TensorInfo>& b) {
  if (a.size() != b.size()) {
    return Status(Code::invalid_argument,
                  format("A has %zu outputs, B has %zu", a.size(), b.size()));
  }
  std::vector<size_t> by_name, by_position;
  for (size_t i = 0; i < a.size(); ++i) {
    by_position.push_back(i);
    const auto found = std::find_if(b.begin(), b.end(),
                                    [&](const TensorInfo& each) { return each.name == a[i].name; });
    if (found != b.end()) by_name.push_back(static_cast<size_t>(found - b.begin()));
  }
  return by_name.size() == a.size() ? by_name : by_position;
}

// One model with its samples, run by run.
struct Side {
  Network network;
  std::optional<Feed> feed;  // none: it takes the other side's inputs
  Outputs outputs;

  Status run(const std::vector<NamedTensor>& inputs) {
    return network.session.run(inputs, outputs);
  }
  Result<std::vector<float>> output(size_t index) {
    return floats_of(outputs.all()[index].tensor, network.model.outputs()[index].quant);
  }
};

Result<Comparison> compare_all(Side& a, Side& b, const std::vector<size_t>& output_of_b,
                               const std::vector<int64_t>& labels, int label_offset) {
  Comparison result;
  result.samples = a.feed->size();
  for (const TensorInfo& output : a.network.model.outputs()) result.names.push_back(output.name);
  result.errors.resize(result.names.size());
  Progress progress("comparing", result.samples);
  for (size_t i = 0; i < result.samples; ++i) {
    FIRN_ASSIGN(std::vector<NamedTensor> inputs, a.feed->read(i));
    FIRN_TRY(a.run(inputs));
    if (b.feed) {
      FIRN_ASSIGN(inputs, b.feed->read(i));
    }
    FIRN_TRY(b.run(inputs));
    std::optional<int64_t> label;
    if (!labels.empty()) label = labels[a.feed->first() + i] + label_offset;
    for (size_t k = 0; k < result.errors.size(); ++k) {
      FIRN_ASSIGN(const std::vector<float> values_a, a.output(k));
      FIRN_ASSIGN(const std::vector<float> values_b, b.output(output_of_b[k]));
      if (values_a.size() != values_b.size()) {
        return Status(Code::invalid_argument,
                      format("output '%s': A gives %zu values, B gives %zu",
                             result.names[k].c_str(), values_a.size(), values_b.size()));
      }
      result.errors[k].add(values_a, values_b);
      if (k == 0 && is_scores(a.outputs.all()[k].tensor.shape)) {
        result.top.add(values_a, values_b, label);
      }
    }
    progress.step();
  }
  return result;
}

std::string as_json(const Comparison& result) {
  Json json;
  json.open('{').member("samples", result.samples);
  json.member("top1_a", result.top.accuracy_a()).member("top1_b", result.top.accuracy_b());
  json.member("agreement", result.top.agreement());
  json.open("outputs", '[');
  for (size_t i = 0; i < result.names.size(); ++i) {
    json.open('{').member("name", result.names[i]);
    json.member("sqnr_db", result.errors[i].sqnr_db());
    json.member("max_abs_error", result.errors[i].max_abs_error()).close();
  }
  return json.close().close().text();
}

std::string as_text(const Comparison& result) {
  Table table("lr");
  table.row({"samples", std::to_string(result.samples)});
  const TopOne& top = result.top;
  if (top.accuracy_a()) table.row({"top-1 of A", percent_text(*top.accuracy_a())});
  if (top.accuracy_b()) table.row({"top-1 of B", percent_text(*top.accuracy_b())});
  if (top.agreement()) table.row({"top-1 agreement", percent_text(*top.agreement())});
  Table outputs("lrr");
  outputs.row({"output", "SQNR", "largest error"});
  for (size_t i = 0; i < result.names.size(); ++i) {
    outputs.row({one_line(result.names[i]), decibel_text(result.errors[i].sqnr_db()),
                 format("%.3g", result.errors[i].max_abs_error())});
  }
  return table.text() + "\n" + outputs.text();
}

Status compare(const Options& options) {
  FIRN_ASSIGN(Network network_a, open_network(options.a, options.run));
  FIRN_ASSIGN(Network network_b, open_network(options.b, options.run));
  FIRN_ASSIGN(const std::vector<size_t> output_of_b,
              pair_outputs(network_a.model.outputs(), network_b.model.outputs()));
  Side a{std::move(network_a), {}, {}}, b{std::move(network_b), {}, {}};
  FIRN_ASSIGN(a.feed, Feed::open(options.data, a.network.inputs));
  if (a.network.inputs != b.network.inputs) {
    FIRN_ASSIGN(b.feed, Feed::open(options.data, b.network.inputs));
  }
  std::vector<int64_t> labels;
  if (!options.data.labels.empty()) {
    FIRN_ASSIGN(labels, read_labels(options.data.labels, a.feed->source()));
  }
  FIRN_ASSIGN(const Comparison result,
              compare_all(a, b, output_of_b, labels, options.label_offset));
  if (options.json) {
    std::puts(as_json(result).c_str());
  } else {
    std::fputs(as_text(result).c_str(), stdout);
  }
  return {};
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Runs two models on the same samples and compares the answers");
  command->add_option("A", options->a, "the model to measure by")->required();
  command->add_option("B", options->b, "the other")->required();
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  command
      ->add_option("--label-offset", options->label_offset,
                   "added to labels: 1 for models with a background class")
      ->type_name("N");
  command->add_flag("--json", options->json, "print one JSON object; shares are from 0 to 1");
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn compare mobilenet_v2.onnx mobilenet_v2.int8.firn --data pictures/ "
      "--skip 100 --labels labels.csv --label-offset 1 --mean 127.5 --std 127.5");
  command->callback([options, &action] { action = [options] { return compare(*options); }; });
}

}  // namespace firn::tool
