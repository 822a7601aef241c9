// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear and DequantizeLinear as plain arithmetic: for scales and zero points that are
// computed, and for those of blocks.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_QUANT_ARITHMETIC_H_
#define FIRN_RUNTIME_IMPORT_ONNX_QUANT_ARITHMETIC_H_

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

// Whether a node with inputs x, scale, zero point has to be arithmetic.
Result<bool> needs_arithmetic(Context& c);
Result<ValueId> quantize_by_arithmetic(Context& c, ValueId x, DType type);
Result<ValueId> dequantize_by_arithmetic(Context& c, ValueId x);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_QUANT_ARITHMETIC_H_
