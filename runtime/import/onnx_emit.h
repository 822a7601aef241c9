// SPDX-License-Identifier: Apache-2.0
// Translations that several ONNX operators share, as functions of values; attributes come from the
// node, under the names that all of them have.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_EMIT_H_
#define FIRN_RUNTIME_IMPORT_ONNX_EMIT_H_

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

// Conv, MatMul, Gemm (alpha, beta, transA, transB), MaxPool and AveragePool. Biases may be none.
Result<ValueId> emit_conv(Context& c, ValueId x, ValueId w, ValueId bias);
// A ConvTranspose's weights [I, O/groups, H, W] as [O, H, W, I/groups].
Result<ValueId> transposed_filter(Context& c, ValueId w, int32_t groups);
Result<ValueId> emit_matmul(Context& c, ValueId a, ValueId b);
Result<ValueId> emit_gemm(Context& c, ValueId a, ValueId b, ValueId bias);
Result<ValueId> emit_pool(Context& c, Pool2d::Kind kind, ValueId x);

// How an operator states a quantization. Scales and zero points: one of each, or one per slice of x
// along `axis`, or per block of so many slices there. zero may be none: 0.
struct QuantInputs {
  ValueId scale = ValueId::none, zero = ValueId::none;
  int64_t axis = 1;
  int64_t block = 0;
};
// (x - zero) * scale: a Convert of a quantized value, or arithmetic where scale or zero point are
// only known at run time, or blockwise. `suffix` names the nodes.
Result<ValueId> dequantized(Context& c, std::string_view suffix, ValueId x, const QuantInputs& by);
// round(x / scale) + zero, as `to`, in the same two ways.
Result<ValueId> quantized(Context& c, std::string_view suffix, ValueId x, DType to,
                          const QuantInputs& by);
// The bare integers of a value of 8 or 16 bits, as f32, also where they stand for real numbers.
Result<ValueId> bare_integers(Context& c, std::string_view suffix, ValueId x);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_EMIT_H_
