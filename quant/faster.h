// SPDX-License-Identifier: Apache-2.0
// Which int8 layers would be faster in float: a decision on measured times, for a test to call
// alone.
#ifndef FIRN_QUANT_FASTER_H_
#define FIRN_QUANT_FASTER_H_

#include <map>
#include <span>
#include <string>

#include "firn/quantize.h"
#include "runtime/graph.h"

namespace firn {

// How long a program takes on this device.
struct Times {
  std::map<std::string, double> ms;  // of the steps, by the name of their node
  double total_ms = 0;
};

// Float is taken only where it is that much faster: less is noise, and int8 is smaller.
inline constexpr double kClearlyFaster = 1.05;

// The least total time of all choices of precisions, conversions counted wherever precisions meet:
// a minimum cut between int8 and float. Conversions that the int8 program does not have are taken
// to cost as much an element as those it has.
// `layers` are of the int8 graph that was timed. The result has the layers that it should keep in
// float, by name, and why: of a chain of them, the times of all of it.
std::map<std::string, std::string> layers_faster_in_float(const Graph& graph,
                                                          std::span<const LayerReport> layers,
                                                          const Times& in_float,
                                                          const Times& in_int8);

// "12.3 ms", "0.00123 ms".
std::string ms_text(double ms);

}  // namespace firn

#endif  // FIRN_QUANT_FASTER_H_
