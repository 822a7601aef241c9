// SPDX-License-Identifier: Apache-2.0
// Which operators have an int8 form, and what kind of form it is.
#ifndef FIRN_RUNTIME_INT8_OPS_H_
#define FIRN_RUNTIME_INT8_OPS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/graph.h"

namespace firn {

// The most products of a weight, up to 127, and an input's distance to its zero point, up to 255,
// that int32 can sum. Layers with longer rows stay in float.
inline constexpr size_t kLongestRow = INT32_MAX / (127 * 255);

// A 16-bit activation: int16 with one scale and zero point 0.
bool is_wide(const Value& value);

// Constant int8 weights with one scale and zero point, or one of each per output channel.
bool is_int8_weights(const Value& value);

struct Int8Form {
  enum class Kind : uint8_t {
    none,      // runs in float
    weighted,  // multiplies int8 weights: Conv2d, Dense
    computed,  // elementwise or a mean, to a range of its own
    concat,
    moved,  // elements as they are, from in[0]: output and input share one range
  };
  Kind kind = Kind::none;
  std::string why_not;  // none: for the report
  // Which of node.in are int8 then. Of `none`: which are float and read for their elements.
  std::vector<size_t> activations;
  bool float_output = false;  // weighted: can also give floats, straight from the sums
};

// Shapes inferred; the values are float.
Int8Form int8_form(const Graph& graph, const Node& node);
// The same for every node.
std::vector<Int8Form> int8_forms(const Graph& graph);

// A layer, for reports and options: what reads or makes float activations.
bool is_layer(const Graph& graph, const Node& node);

// A minimum or maximum with a constant of several elements: int8 compares bytes as they are, so
// that what it reads, the constant and what it gives have one range.
bool is_bound(const Graph& graph, const Node& node);

// Where the value's elements come from: back through the movements in `forms`.
ValueId source_of(const Graph& graph, const Uses& uses, const std::vector<Int8Form>& forms,
                  ValueId id);

// The value whose channel means are those of this one: the same innermost dimension, seen in
// another shape. Reshapes cost nothing and may not be there to observe.
ValueId means_source_of(const Graph& graph, const Uses& uses, ValueId id);

}  // namespace firn

#endif  // FIRN_RUNTIME_INT8_OPS_H_
