// SPDX-License-Identifier: Apache-2.0
// Pass: quantizes before elements are moved, right behind what computes them.
//
//   x -> op -> Quantize -> y             becomes     x -> Quantize -> op -> y
//   a, b -> Concat -> Quantize -> y      becomes     a, b, each -> Quantize, -> Concat -> y
//
// where op is a Reshape, a Slice, a max pool and the like.
// Transposes move down over Quantize by themselves.
#include <algorithm>

#include "runtime/int8_ops.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

Result<bool> hoist(Rewrite& rewrite, int n) {
  if (!is_quantize(rewrite, n)) return false;
  const ValueId moved = rewrite.node(n).in[0], y = rewrite.node(n).out[0];
  const int mover = rewrite.producer(moved);
  if (mover < 0 || quantizer_of(rewrite, moved) != n) return false;
  const Node node = rewrite.node(mover);
  if (std::holds_alternative<Transpose>(node.op)) return false;
  const Int8Form form = int8_form(rewrite.graph(), node);
  if (form.kind != Int8Form::Kind::moved && form.kind != Int8Form::Kind::concat) return false;
  // What is int8 already is left to other passes, or joins the rest.
  bool any_float = false;
  for (const size_t i : form.activations) {
    if (is_from_int8(rewrite, node.in[i])) continue;
    any_float = true;
    if (!rewrite.has_one_reader(node.in[i])) return false;
  }
  if (!any_float) return false;

  std::vector<ValueId> in = node.in;
  for (const size_t i : form.activations) {
    if (is_from_int8(rewrite, node.in[i])) {
      FIRN_ASSIGN(in[i], int8_behind(rewrite, node.in[i]));
      continue;
    }
    FIRN_ASSIGN(in[i], rewrite.add(Convert{DType::i8}, {node.in[i]}, rewrite.node(n).name));
    rewrite.graph().value(in[i]).quant = rewrite.value(y).quant;
  }
  rewrite.set_inputs(mover, std::move(in));
  rewrite.make(mover, y);
  return true;
}

}  // namespace

Result<int> hoist_quantize(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "hoist_quantize", hoist);
}

}  // namespace firn
