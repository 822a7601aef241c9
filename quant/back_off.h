// SPDX-License-Identifier: Apache-2.0
// Mixed precision for a limit on the error: which layers go back to float, so that it holds.
#ifndef FIRN_QUANT_BACK_OFF_H_
#define FIRN_QUANT_BACK_OFF_H_

#include <functional>
#include <map>
#include <span>
#include <string>

#include "firn/quantize.h"

namespace firn {

// The least SQNR of the outputs with these layers in float, in dB.
using MeasureDb = std::function<Result<double>(const std::map<std::string, std::string>&)>;

// Layers by what they cost the outputs in int8: each is put in float alone, and what that takes off
// the error decides the order. Of those as few as make the limit hold, the worst first; the number
// is found by bisection, as more layers in float mean less error. By name, with the reason for the
// report; none where the limit holds anyway.
Result<std::map<std::string, std::string>> layers_to_back_off(std::span<const LayerReport> layers,
                                                              double limit_db,
                                                              const MeasureDb& measure);

}  // namespace firn

#endif  // FIRN_QUANT_BACK_OFF_H_
