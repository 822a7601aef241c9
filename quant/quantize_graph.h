// SPDX-License-Identifier: Apache-2.0
// From an optimised float graph and the ranges of its values to the int8 graph.
//
// In an int8 graph
// - i8 values have one scale and zero point; u8 never appears inside. The graph's inputs and
//   outputs keep their names and stay float.
// - Conv2d and Dense read i8, weights i8 with a scale per output channel (axis 0, zeros 0) and a
//   bias i32 with scale s_in * s_w[c]; they give i8, or, where nobody needs int8, f32 straight from
//   the sums (not depthwise ones). So the last layers' results have no ties.
// - Where a layer has 16-bit activations, Conv2d and Dense read i16 of one scale, around 0, weights
//   as above and a float bias; they give f32, or i8 or i16 where that is all that is read.
// - Binary reads two i8 values of which one may be a constant, or one i8 value and a float scalar;
//   Unary, mean and average pool go from i8 to i8, each with a range of its own.
// - Concat reads i8 of any range. Inputs made for it alone, of about its range, have its very range
//   and can be written in place.
// - Movements (Reshape, Transpose, Slice, Pad, DepthToSpace, nearest Resize2d, max pool) keep the
//   range of what they move.
// - Where precisions meet stand Convert nodes, "<value>.quantize", "<value>.quantize16" and
//   "<value>.dequantize", at most one of each a value.
// - Clamps stay, in real units.
#ifndef FIRN_QUANT_QUANTIZE_GRAPH_H_
#define FIRN_QUANT_QUANTIZE_GRAPH_H_

#include <map>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "quant/range.h"
#include "quant/weights.h"
#include "runtime/graph.h"

namespace firn {

struct QuantizeOptions {
  // Layers that stay in float, as in FreezeOptions.
  std::vector<std::string> keep_float;
  // More of them, by name, with what to report as the reason.
  std::map<std::string, std::string> float_layers;
  // The same for 16-bit activations. What is to be float by the above is float.
  std::vector<std::string> keep_i16;
  std::map<std::string, std::string> i16_layers;
  WeightScale weight_scale = WeightScale::max_abs;
  bool per_channel = true;  // as in FreezeOptions
  // By layer: integers for its weights. Others are rounded to nearest.
  std::map<std::string, RoundedWeights> rounded;
  // By layer, one an output channel: in place of scales that are found.
  std::map<std::string, std::vector<float>> weight_scales;
  // Where they are known, ranges for 16 bits: 8 bits may do better with what clips values.
  std::map<std::string, Interval> wide_ranges;
  // Ranges are kept as they are, symmetric ones around a clamp, too.
  bool exact_ranges = false;
  // What needs a range that is not there stays in float; otherwise that is an error.
  bool unranged_in_float = false;
  // By value: means of the innermost dimension's channels. Layers that read one of these values
  // have their biases corrected.
  std::map<std::string, std::vector<double>> channel_means;
};

// A tensor of the float graph that int8 layers make or read, and how it is quantized. Those that
// are moved are not among them: they are quantized like what they are moved from.
struct QuantizedTensor {
  std::string name;
  Quant quant;
};

struct QuantizedGraph {
  Graph graph;
  std::vector<LayerReport> layers;       // in order; sqnr_db is left at 0
  std::vector<QuantizedTensor> tensors;  // in order
};

// `ranges` by value name; see tensors_to_observe() for those it may need.
// invalid_argument: a pattern or a name of float_layers that matches no layer. failed_precondition
// names a value whose range is needed and missing. malformed: a weight is NaN or infinite.
Result<QuantizedGraph> quantize_graph(const Graph& graph,
                                      const std::map<std::string, Interval>& ranges,
                                      const QuantizeOptions& options = {});

}  // namespace firn

#endif  // FIRN_QUANT_QUANTIZE_GRAPH_H_
