// SPDX-License-Identifier: Apache-2.0
// Ranges and scales that were not observed but given: by a table, or by a quantized model.
#ifndef FIRN_QUANT_GIVEN_RANGES_H_
#define FIRN_QUANT_GIVEN_RANGES_H_

#include <map>
#include <string>
#include <vector>

#include "quant/range.h"
#include "runtime/graph.h"

namespace firn {

struct GivenRanges {
  std::map<std::string, Interval> ranges;                   // by tensor; not all need be there
  std::map<std::string, std::vector<float>> weight_scales;  // by layer, one an output channel
  std::map<std::string, std::string> float_layers;          // what stays in float, and why
  std::vector<std::string> warnings;
};

// The scales of a quantized graph, for the float graph of the same network: of the tensors and
// layers that have the same names, apart from what converters hang on. failed_precondition: none
// has.
Result<GivenRanges> scales_of_quantized(const Graph& quantized, const Graph& graph);

}  // namespace firn

#endif  // FIRN_QUANT_GIVEN_RANGES_H_
