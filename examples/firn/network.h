// SPDX-License-Identifier: Apache-2.0
// A model file with a session that is ready to run, and the options that every such command has.
#ifndef FIRN_EXAMPLES_FIRN_NETWORK_H_
#define FIRN_EXAMPLES_FIRN_NETWORK_H_

#include <string>
#include <vector>

#include "firn/model.h"
#include "firn/quantize.h"
#include "firn/session.h"
#include "firn/status.h"
#include "firn/tensor.h"

namespace firn::tool {

struct RunOptions {
  int threads = 1;
  std::string isa;
  std::vector<std::string> shapes;  // [NAME=]1x3x224x224
  bool random_weights = false;
  std::string weight_use;  // "", "floats", "integers"
};

struct Network {
  Model model;
  Session session;
  std::vector<TensorInfo> inputs;  // as the model declares them, --shape applied
};

// "int8", "int16", "fp32".
const char* precision_name(Precision precision);
// "20 int8, 2 int16, 3 float"; those of 16 bits only where there are any.
std::string layers_text(int int8, int i16, int floats, const char* float_name = "float");

// "1x3x224x224": 1 to 6 dimensions, each at least 1.
Result<Shape> parse_shape(const std::string& text);

Result<Model> open_model(const std::string& path, const RunOptions& options = {});
Result<Network> open_network(const std::string& path, const RunOptions& options);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_NETWORK_H_
