// SPDX-License-Identifier: Apache-2.0
// Pass, when no other fires any more: constants in 8 bits that no int8 layer reads become floats.
//
//   constant -> Dequantize -> v     becomes     constant v
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

Result<bool> dequantize(Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  if (!std::holds_alternative<Convert>(node.op)) return false;
  const ValueId source = dequantized_from(rewrite, node.out[0]);
  if (source == ValueId::none || !rewrite.is_constant(source)) return false;
  return rewrite.fold(n);
}

}  // namespace

Result<int> dequantize_constants(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "dequantize_constants", dequantize);
}

}  // namespace firn
