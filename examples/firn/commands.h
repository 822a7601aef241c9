// SPDX-License-Identifier: Apache-2.0
// The tool's commands, one file each, and the options that several of them share.
#ifndef FIRN_EXAMPLES_FIRN_COMMANDS_H_
#define FIRN_EXAMPLES_FIRN_COMMANDS_H_

#include <functional>
#include <string>

#include "feed.h"
#include "firn/quantize.h"
#include "firn/status.h"
#include "network.h"

namespace CLI {
class App;
}

namespace firn::tool {

// What the command line asks for; set while it is parsed, called after.
using Action = std::function<Status()>;

// What a model is frozen with.
struct FreezeRequest {
  std::string model, table, state;
  CalibrateOptions calibration;
  FreezeOptions freeze{.timed = false};
  DataOptions data;
  RunOptions run;
};

struct FreezeOutcome {
  Network network;  // in int8
  FreezeReport report;
  CalibrationStatus calibration;  // before the freeze
};

// Calibrates on the samples, or with a table verifies on them, and freezes.
Result<FreezeOutcome> calibrate_and_freeze(const FreezeRequest& options);

// Each adds its command to `app`.
void add_info(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_calibrate(CLI::App& app, Action& action);
void add_merge_calibration(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_profile(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_export_qdq(CLI::App& app, Action& action);

// Options of several commands.
void add_model_option(CLI::App& command, std::string& path);
void add_run_options(CLI::App& command, RunOptions& options);
void add_random_weights_option(CLI::App& command, RunOptions& options);
void add_prepare_options(CLI::App& command, PrepareOptions& options);
void add_data_options(CLI::App& command, DataOptions& options);
void add_freeze_options(CLI::App* command, FreezeRequest* options);
void add_label_offset_option(CLI::App& command, int& offset);
void add_range_options(CLI::App& command, CalibrateOptions& options);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_COMMANDS_H_
