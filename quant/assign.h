// SPDX-License-Identifier: Apache-2.0
// Which layers of a graph become int8, and why the others do not.
#ifndef FIRN_QUANT_ASSIGN_H_
#define FIRN_QUANT_ASSIGN_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quant/quantize_graph.h"
#include "runtime/int8_ops.h"

namespace firn {

// A graph with what every decision about it looks at.
struct QuantView {
  const Graph& graph;
  const std::map<std::string, Interval>& ranges;
  Uses uses;
  std::vector<Int8Form> forms;  // per node

  bool exact;  // ranges are kept as they are

  QuantView(const Graph& g, const std::map<std::string, Interval>& r, bool exact_ranges = false)
      : graph(g), ranges(r), uses(g), forms(int8_forms(g)), exact(exact_ranges) {}

  // The range of a value: that of its source, within the clamp of the node that makes it.
  std::optional<Interval> range_of(ValueId id) const;
  // A range of the value, which is such a source, within that clamp; as it is where ranges are
  // exact.
  Interval clamped(ValueId id, Interval range) const;
};

// Per node; the reason is empty for int8 ones.
struct Assignment {
  std::vector<bool> int8, wide;  // wide: layers with weights whose activations have 16 bits
  std::vector<std::string> why;
};

// Layers with weights are int8 where they can be. Other layers are where int8 values come their
// way, except behind the last weights, where float costs little and keeps results apart.
Result<Assignment> assign_precision(const QuantView& view, const QuantizeOptions& options);

}  // namespace firn

#endif  // FIRN_QUANT_ASSIGN_H_
