// SPDX-License-Identifier: Apache-2.0
// firn quantize --weights and --dynamic: weights alone, with or without samples.
#ifndef FIRN_EXAMPLES_FIRN_WEIGHTS_H_
#define FIRN_EXAMPLES_FIRN_WEIGHTS_H_

#include <optional>
#include <string>
#include <vector>

#include "feed.h"
#include "firn/status.h"
#include "network.h"

namespace CLI {
class App;
}

namespace firn::tool {

// What stays unset is as quantize_weights() has it, or dynamic_quantization().
struct WeightArguments {
  std::optional<int> bits, block, short_filter, short_row_bits;
  std::optional<std::string> rounding;
  bool symmetric = false, dynamic = false;
  bool chosen = false;  // bits and blocks of each layer, for min_sqnr_db
  std::optional<double> min_sqnr_db;
  bool wanted() const { return bits.has_value() || dynamic || chosen; }
};

void add_weight_options(CLI::App& command, WeightArguments& arguments);
void add_weights_file_option(CLI::App& command, std::string& name);

struct WeightJob {
  std::string model, output, weights_file;
  DataOptions data;  // may be none
  std::vector<std::string> keep_float;
  WeightArguments arguments;
  RunOptions run;
  bool json = false, verbose = false;
};

// Writes the model and prints the report.
Status quantize_weights_of(const WeightJob& job);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_WEIGHTS_H_
