// SPDX-License-Identifier: Apache-2.0
// Pass: what computes real numbers between Dequantizes and a Quantize computes on int8.
//
//   a -> Dequantize -> op -> Quantize -> y     becomes     a -> op -> y
//   a -> Dequantize -> Quantize -> y           becomes     a -> Convert -> y
//
// for layers with 8-bit weights (of 16-bit values, too), elementwise operators, means, average
// pools and Concats. Between the Dequantizes and op may be Transposes and Reshapes.
#include <algorithm>

#include "runtime/int8_ops.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

Result<bool> requantize(Rewrite& rewrite, int n) {
  const ValueId real = rewrite.node(n).in[0];
  if (!is_from_int8(rewrite, real)) return false;
  FIRN_ASSIGN(const ValueId source, int8_behind(rewrite, real));
  rewrite.set_input(n, 0, source);
  return true;
}

Result<bool> fold(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  if (is_quantize(rewrite, n)) return requantize(rewrite, n);
  if (std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op)) {
    FIRN_ASSIGN(const bool done, make_int8_layer(rewrite, n, false));
    return done ? true : make_wide_layer(rewrite, n, false);
  }
  if (node.out.size() != 1) return false;
  const int quantizer = quantizer_of(rewrite, node.out[0]);
  if (quantizer < 0) return false;
  const Int8Form form = int8_form(rewrite.graph(), node);
  if (form.kind != Int8Form::Kind::computed && form.kind != Int8Form::Kind::concat) return false;
  if (!std::ranges::all_of(form.activations,
                           [&](size_t i) { return is_from_int8(rewrite, node.in[i]); }))
    return false;
  std::vector<ValueId> in = node.in;
  for (const size_t i : form.activations) {
    FIRN_ASSIGN(in[i], int8_behind(rewrite, node.in[i]));
  }
  // A row of floats would meet int8 values: only single ones can, in a table.
  const auto is_row = [&](ValueId id) {
    return id != ValueId::none && !is_int8(rewrite.value(id)) && rewrite.shape(id).elements() != 1;
  };
  if (std::ranges::any_of(in, is_row)) {
    rewrite.note(n, "one of its inputs is a float constant");
    return false;
  }
  rewrite.set_inputs(n, std::move(in));
  rewrite.make(n, rewrite.node(quantizer).out[0]);
  return true;
}

}  // namespace

Result<int> fold_quantized(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fold_quantized", fold);
}

}  // namespace firn
