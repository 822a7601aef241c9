// SPDX-License-Identifier: Apache-2.0
// firn report: what freezing does to a model, as one page to look at.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "report_page.h"
#include "text.h"

namespace firn::tool {
namespace {

struct Options : FreezeRequest {
  std::string frozen, output, save;
  size_t calibrate = 0;  // 0: a share of the samples
  int label_offset = 0, runs = 20;
};

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// A file beside the page for the frozen model, removed with the object.
class Scratch {
 public:
  explicit Scratch(const std::string& beside) {
    for (int i = 0; path_.empty(); ++i) {
      const std::string candidate = beside + "." + std::to_string(i) + ".tmp";
      if (!std::filesystem::exists(candidate)) path_ = candidate;
    }
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The samples' first part for the freeze, the rest for the comparison.
Status split_data(const Options& options, DataOptions& first, DataOptions& rest) {
  // A fifth to calibrate on; more than this changes little.
  constexpr size_t kPart = 5, kMost = 200;
  FIRN_ASSIGN(const Network network, open_network(options.model, options.run));
  FIRN_ASSIGN(const Feed feed, Feed::open(options.data, network.inputs));
  const size_t all = feed.size();
  const size_t count =
      options.calibrate > 0 ? options.calibrate : std::min((all + kPart - 1) / kPart, kMost);
  if (count >= all) {
    return {
        Code::invalid_argument,
        format("of %zu samples the first %zu calibrate: none are left to compare on", all, count)};
  }
  first = rest = options.data;
  first.limit = count;
  rest.skip = options.data.skip + count;
  rest.limit = all - count;
  return {};
}

Status write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) return {Code::io_error, path + ": cannot be written"};
  return {};
}

Status report(const Options& options) {
  ReportData data;
  data.model = file_name(options.model);
  DataOptions compared = options.data;
  const Scratch scratch(options.output);
  std::string frozen = options.frozen;
  if (frozen.empty()) {
    FreezeRequest request = options;
    FIRN_TRY(split_data(options, request.data, compared));
    FIRN_ASSIGN(FreezeOutcome outcome, calibrate_and_freeze(request));
    frozen = options.save.empty() ? scratch.path() : options.save;
    FIRN_TRY(outcome.network.session.save(frozen));
    data.freeze = std::move(outcome.report);
    data.calibration = outcome.calibration;
  }
  data.frozen = options.frozen.empty() && options.save.empty() ? "int8" : file_name(frozen);

  FIRN_ASSIGN(Network network_a, open_network(options.model, options.run));
  FIRN_ASSIGN(Network network_b, open_network(frozen, options.run));
  data.info_before = network_a.model.info();
  data.info_after = network_b.model.info();
  FIRN_ASSIGN(data.comparison,
              compare_networks(network_a, network_b, compared, options.label_offset));
  FIRN_ASSIGN(data.before, profile_session(network_a.session, options.runs));
  FIRN_ASSIGN(data.after, profile_session(network_b.session, options.runs));
  FIRN_TRY(write_text(options.output, report_page(data)));
  std::printf("wrote %s\n", one_line(options.output).c_str());
  return {};
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "report", "Writes a page that shows what int8 does to a model, layer by layer");
  add_model_option(*command, options->model);
  CLI::Option* frozen =
      command->add_option("FROZEN", options->frozen,
                          "its int8 model; without one the first samples calibrate, and the page "
                          "tells of the freeze as well");
  command->add_option("-o,--output", options->output, "the page to write")
      ->type_name("OUT.html")
      ->required();
  const size_t others = command->get_options().size();
  command
      ->add_option("--calibrate", options->calibrate,
                   "the first N samples calibrate, the others are compared on (default: a fifth, "
                   "200 at most)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command->add_option("--save", options->save, "write the int8 model, too")->type_name("OUT.firn");
  add_freeze_options(command, options.get());
  // What is frozen already is not frozen here.
  const std::vector<CLI::Option*> all = command->get_options();
  for (size_t i = others; i < all.size(); ++i) frozen->excludes(all[i]);
  command
      ->add_option("--runs", options->runs, "runs, of which a layer's median counts (default 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  add_label_offset_option(*command, options->label_offset);
  add_run_options(*command, options->run);
  command->footer(
      "Example:\n  firn report mobilenet_v2.onnx --data pictures/ --labels labels.csv "
      "--label-offset 1 --mean 127.5 --std 127.5 -o mobilenet_v2.html");
  command->callback([options, &action] { action = [options] { return report(*options); }; });
}

}  // namespace firn::tool
