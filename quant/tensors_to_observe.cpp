// SPDX-License-Identifier: Apache-2.0
// Which tensors a calibration looks at.
#include "quant/observe.h"
#include "runtime/int8_ops.h"

namespace firn {

std::vector<ObservedTensor> tensors_to_observe(const Graph& graph) {
  using Kind = Int8Form::Kind;
  const Uses uses(graph);
  const std::vector<Int8Form> forms = int8_forms(graph);
  std::vector<bool> ranged(graph.values.size());
  std::vector<size_t> channels(graph.values.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const Int8Form& form = forms[n];
    if (form.kind == Kind::none) continue;
    for (size_t i : form.activations)
      ranged[index(source_of(graph, uses, forms, node.in[i]))] = true;
    if (form.kind == Kind::weighted) {
      const ValueId x = means_source_of(graph, uses, node.in[0]);
      const Shape& shape = graph.value(x).shape;
      channels[index(x)] = static_cast<size_t>(shape[shape.rank - 1]);
    }
    // What can give floats needs a range only where int8 layers read it.
    if (form.kind != Kind::moved && !form.float_output) ranged[index(node.out[0])] = true;
  }
  std::vector<ObservedTensor> tensors;
  const auto add = [&](ValueId id) {
    const size_t v = index(id);
    if (ranged[v] || channels[v] > 0)
      tensors.push_back({id, graph.value(id).name, ranged[v], channels[v]});
  };
  for (ValueId id : graph.inputs) add(id);
  for (const Node& node : graph.nodes)
    for (ValueId id : node.out) add(id);
  return tensors;
}

}  // namespace firn
