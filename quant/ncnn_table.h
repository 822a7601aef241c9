// SPDX-License-Identifier: Apache-2.0
// The calibration tables of ncnn's tools, ncnn2table and ncnn2int8.
#ifndef FIRN_QUANT_NCNN_TABLE_H_
#define FIRN_QUANT_NCNN_TABLE_H_

#include <map>
#include <string>
#include <string_view>

#include "quant/given_ranges.h"

namespace firn {

//   conv1_param_0 156.639840 536.133057 ...
//   conv1 151.388374
//
// For each layer with weights a line of its weights' scales, one an output channel or, for a
// grouped convolution, one a group, and a line with the scale of what it reads: int8 = round(float
// * scale), so a scale is 127 / largest, around 0. A # in front of either line, or both, keeps the
// layer in float.
//
// Reads such a text for a graph whose layers have these names, as of an ncnn model, or of one that
// was converted from the same source. malformed, with the line: a layer that the graph does not
// have or that has no line, a second line for one, a wrong number of scales, a scale that is no
// positive number, a blank line. Warnings: lines for layers that have no int8 weights here, and two
// layers that read one tensor on different scales, of which the wider range is taken.
Result<GivenRanges> parse_ncnn_table(std::string_view text, const std::string& source,
                                     const Graph& graph);

// The table of these ranges, for ncnn2int8: made symmetric, as ncnn knows no zero points, and with
// weights on their largest value. As ncnn2table does it, the weights of 3x3 convolutions without
// stride get 6 bits, because ncnn's Winograd kernels overflow otherwise. Layers without a range get
// no line, which leaves them in float. unsupported: a layer's name has a space, which the format
// cannot hold.
Result<std::string> to_ncnn_text(const Graph& graph, const std::map<std::string, Interval>& ranges);

}  // namespace firn

#endif  // FIRN_QUANT_NCNN_TABLE_H_
