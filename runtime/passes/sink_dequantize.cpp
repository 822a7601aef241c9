// SPDX-License-Identifier: Apache-2.0
// Pass: moves elements as int8, and dequantizes behind that, where the next operator may want them
// in int8.
//
//   x -> Dequantize -> Reshape, Slice, max pool, ... -> y
//   becomes     x -> Reshape, Slice, max pool, ... -> Dequantize -> y
//   a, b of one quantization -> Dequantize -> Concat -> y
//   becomes     a, b -> Concat -> Dequantize -> y
//
// Not over Transposes, which move down over Dequantize; of constants, Transposes and Reshapes
// alone.
#include <algorithm>

#include "runtime/int8_ops.h"
#include "runtime/passes/quantized.h"
#include "runtime/quant_axis.h"

namespace firn {
namespace {

Result<bool> sink_constant(Rewrite& rewrite, int n, ValueId source) {
  const Node node = rewrite.node(n);
  const Value& constant = rewrite.value(source);
  if (node.in.size() != 1 ||
      !moved_quant(*constant.quant, node.op, constant.shape, rewrite.shape(node.out[0])))
    return false;
  FIRN_ASSIGN(const ValueId moved, rewrite.add(node.op, {source}, constant.name));
  rewrite.set_op(n, Convert{DType::f32});
  rewrite.set_inputs(n, {moved});
  return true;
}

Result<bool> sink(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  if (node.in.empty() || node.out.size() != 1) return false;
  const ValueId source = dequantized_from(rewrite, node.in[0]);
  if (source == ValueId::none) return false;
  if (rewrite.is_constant(source)) return sink_constant(rewrite, n, source);
  if (!is_int8(rewrite.value(source)) || std::holds_alternative<Transpose>(node.op)) return false;
  const Int8Form form = int8_form(rewrite.graph(), node);
  if (form.kind != Int8Form::Kind::moved && form.kind != Int8Form::Kind::concat) return false;
  std::vector<ValueId> in = node.in;
  for (const size_t i : form.activations) {
    in[i] = dequantized_from(rewrite, node.in[i]);
    if (in[i] == ValueId::none || rewrite.value(in[i]).type != DType::i8 ||
        rewrite.value(in[i]).quant != rewrite.value(source).quant)
      return false;
  }
  rewrite.set_inputs(n, std::move(in));
  FIRN_TRY(rewrite.insert_after(n, Convert{DType::f32}));
  Value& moved = rewrite.graph().value(rewrite.node(n).out[0]);
  moved.type = DType::i8;
  moved.quant = rewrite.value(source).quant;
  return true;
}

}  // namespace

Result<int> sink_dequantize(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "sink_dequantize", sink);
}

}  // namespace firn
