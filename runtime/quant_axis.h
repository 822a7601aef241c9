// SPDX-License-Identifier: Apache-2.0
// Where the scales of a tensor end up when its elements are moved.
#ifndef FIRN_RUNTIME_QUANT_AXIS_H_
#define FIRN_RUNTIME_QUANT_AXIS_H_

#include <optional>

#include "runtime/graph.h"

namespace firn {

// The quantization of a tensor of shape `from` and quantization `quant` behind a Transpose or
// Reshape to shape `to`. Nothing for other operators, or where the scales do not lie along one axis
// any more.
std::optional<Quant> moved_quant(const Quant& quant, const Op& op, const Shape& from,
                                 const Shape& to);

// The int8 encoding of the same real numbers as a uint8 one of 8 bits: everything 128 lower.
Quant as_int8(Quant of_uint8);

}  // namespace firn

#endif  // FIRN_RUNTIME_QUANT_AXIS_H_
