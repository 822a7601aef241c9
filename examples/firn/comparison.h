// SPDX-License-Identifier: Apache-2.0
// The same samples through two models, and how far their answers are apart.
#ifndef FIRN_EXAMPLES_FIRN_COMPARISON_H_
#define FIRN_EXAMPLES_FIRN_COMPARISON_H_

#include <cstddef>
#include <string>
#include <vector>

#include "error_stats.h"
#include "feed.h"
#include "firn/status.h"
#include "network.h"

namespace firn::tool {

struct Comparison {
  size_t samples = 0;
  std::vector<std::string> names;  // of A's outputs
  std::vector<OutputError> errors;
  TopOne top;
};

// Runs every sample of `data` through both, as they are fed to each. `label_offset` is added to
// labels. invalid_argument where the two do not have the same outputs.
Result<Comparison> compare_networks(Network& a, Network& b, const DataOptions& data,
                                    int label_offset);

// One object: samples, top1_a, top1_b, agreement, outputs.
std::string as_json(const Comparison& comparison);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_COMPARISON_H_
