// SPDX-License-Identifier: Apache-2.0
// Whether quantization parameters from outside make sense.
#ifndef FIRN_RUNTIME_QUANT_CHECK_H_
#define FIRN_RUNTIME_QUANT_CHECK_H_

#include "firn/status.h"
#include "runtime/graph.h"

namespace firn {

// A type that can be quantized; bits that it has; scales positive, finite and normal; a zero point
// for each, inside the type's range; and, where `shape_known`, as many as axis or blocks ask for.
// malformed names the value, what was expected and what it has. Values without a Quant are fine.
Status check_quant(const Value& value, bool shape_known);

}  // namespace firn

#endif  // FIRN_RUNTIME_QUANT_CHECK_H_
