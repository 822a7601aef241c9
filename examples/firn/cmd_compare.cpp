// SPDX-License-Identifier: Apache-2.0
// firn compare: the same samples through two models, and how far their answers are apart.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "comparison.h"
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
  FIRN_ASSIGN(const Comparison result,
              compare_networks(network_a, network_b, options.data, options.label_offset));
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
  add_label_offset_option(*command, options->label_offset);
  command->add_flag("--json", options->json, "print one JSON object; shares are from 0 to 1");
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn compare mobilenet_v2.onnx mobilenet_v2.int8.firn --data pictures/ "
      "--skip 100 --labels labels.csv --label-offset 1 --mean 127.5 --std 127.5");
  command->callback([options, &action] { action = [options] { return compare(*options); }; });
}

}  // namespace firn::tool
