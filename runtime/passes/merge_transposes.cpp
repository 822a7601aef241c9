// SPDX-License-Identifier: Apache-2.0
// Pass: makes one Transpose of two, or none.
//
//   x -> Transpose p -> Transpose q -> y     becomes     x -> Transpose p[q] -> y
#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

Result<bool> merge(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* outer = std::get_if<Transpose>(&node.op);
  const auto* inner = outer ? rewrite.made_by<Transpose>(node.in[0]) : nullptr;
  if (inner == nullptr) return false;
  const ValueId x = rewrite.node(rewrite.producer(node.in[0])).in[0];
  if (!same_encoding(rewrite.value(x), rewrite.value(node.in[0])) ||
      !same_encoding(rewrite.value(x), rewrite.value(node.out[0]))) {
    rewrite.note(n, "quantization changes on the way");
    return false;
  }
  Perm perm = composed(inner->perm, outer->perm);
  if (is_identity(perm) && rewrite.forward(node.out[0], x)) return true;
  rewrite.set_op(n, Transpose{std::move(perm)});
  rewrite.set_input(n, 0, x);
  return true;
}

}  // namespace

Result<int> merge_transposes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "merge_transposes", merge);
}

}  // namespace firn
