// SPDX-License-Identifier: Apache-2.0
// Pass: a product with a constant matrix is a Dense layer.
//
//   x [..., M, K] -> MatMul by constant [K, N]     becomes     x -> Dense, weights [N, K]
#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

Result<bool> convert(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  if (!std::holds_alternative<MatMul>(node.op) || !rewrite.is_constant(node.in[1])) return false;
  const Value& weights = rewrite.value(node.in[1]);
  if (weights.shape.rank != 2 || rewrite.shape(node.in[0]).rank < 2) return false;
  if (!is_plain(rewrite, n)) {
    rewrite.note(n, "is quantized");
    return false;
  }
  FIRN_ASSIGN(const ValueId turned, rewrite.add(Transpose{{1, 0}}, {node.in[1]}, weights.name));
  rewrite.set_op(n, Dense{});
  rewrite.set_inputs(n, {node.in[0], turned});
  return true;
}

}  // namespace

Result<int> matmul_to_dense(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "matmul_to_dense", convert);
}

}  // namespace firn
