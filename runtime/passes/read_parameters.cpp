// SPDX-License-Identifier: Apache-2.0
// Attributes that were inputs and are constant by now (computed from shapes, say) become
// attributes: other passes, and kernels, know operators in that form alone.
#include "runtime/parameters.h"
#include "runtime/passes/passes.h"

namespace firn {

Result<int> read_parameters(Graph& graph, Diag&) {
  int fired = 0;
  for (Node& node : graph.nodes) {
    if (!has_parameter_inputs(node.op)) continue;
    FIRN_ASSIGN(node, resolve_parameters(graph, node));
    ++fired;
  }
  if (fired > 0) sweep(graph);
  return fired;
}

}  // namespace firn
