// SPDX-License-Identifier: Apache-2.0
// A node that no kernel computes runs on the reference implementation: slow, never an abort.
#include "runtime/lower/lower.h"

namespace firn {

Status lower_reference(const LowerContext& context, const Node& node,
                       std::vector<LoweredStep>& steps) {
  const auto view = [&](ValueId id) {
    if (id == ValueId::none) return Tensor{};
    return Tensor{context.value(id).type, context.value(id).shape, nullptr};
  };
  std::vector<Tensor> in, out;
  for (const ValueId id : node.in) in.push_back(view(id));
  for (const ValueId id : node.out) out.push_back(view(id));

  LoweredStep lowered = describe_step(
      context, node,
      make_step([&graph = context.graph, &node, in = std::move(in),
                 out = std::move(out)](const Frame& frame) mutable -> Status {
        for (size_t i = 0; i < in.size(); ++i)
          in[i].data = node.in[i] == ValueId::none ? nullptr : frame.at<void>(node.in[i]);
        for (size_t i = 0; i < out.size(); ++i) out[i].data = frame.at<void>(node.out[i]);
        return reference(graph, node, in, out);
      }),
      "reference");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return {};
}

}  // namespace firn
