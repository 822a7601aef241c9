// SPDX-License-Identifier: Apache-2.0
// Mixed precision for a limit on the error: which layers get 16-bit activations or go back to
// float, so that it holds.
#ifndef FIRN_QUANT_BACK_OFF_H_
#define FIRN_QUANT_BACK_OFF_H_

#include <functional>
#include <map>
#include <span>
#include <string>

#include "firn/quantize.h"

namespace firn {

// Layers that are not to be int8, by name, with the reason for the report.
struct BackedOff {
  std::map<std::string, std::string> i16_layers, float_layers;
  bool empty() const { return i16_layers.empty() && float_layers.empty(); }
};

// The least SQNR of the outputs with these layers so, in dB.
using MeasureDb = std::function<Result<double>(const BackedOff&)>;

// Layers by what they cost the outputs in int8: each has 16-bit activations alone, and what that
// takes off the error decides the order. Of those as few as make the limit hold, the worst first;
// the number is found by doubling and bisection, as more of them mean less error. Where all of them
// are not enough, what is left is the weights' error, which each layer is measured to have with all
// others in float: in the same way as few as it takes go to float, and then as few of the others
// keep their 16 bits. Nothing where the limit holds anyway. Measures twice for each layer with
// weights at the most, and a few times for each number that is found.
Result<BackedOff> back_off_layers(std::span<const LayerReport> layers, double limit_db,
                                  const MeasureDb& measure);

}  // namespace firn

#endif  // FIRN_QUANT_BACK_OFF_H_
