// SPDX-License-Identifier: Apache-2.0
// Attributes that a model computes instead of stating them: operators that take theirs as inputs.
#ifndef FIRN_RUNTIME_PARAMETERS_H_
#define FIRN_RUNTIME_PARAMETERS_H_

#include "runtime/graph.h"

namespace firn {

// Whether the operator's attributes come from inputs, for resolve_parameters() to read.
bool has_parameter_inputs(const Op& op);
// The same node with its attributes as such, and without the inputs that they came from, which must
// be constant. malformed names node, input, expected and got.
Result<Node> resolve_parameters(const Graph& graph, const Node& node);

// The inputs whose numbers, not only shapes, decide the shapes of the node's outputs; not those
// left out.
std::vector<ValueId> shaping_inputs(const Node& node);

}  // namespace firn

#endif  // FIRN_RUNTIME_PARAMETERS_H_
