// SPDX-License-Identifier: Apache-2.0
// Giving packed weights' constants back, and having them again.
#include "runtime/frozen_graph.h"

#include <utility>

namespace firn {

FrozenGraph::FrozenGraph(Graph whole, const Program& program) {
  for (const LoweredStep& step : program.steps())
    if (step.packed != nullptr && step.packed->unpack != nullptr)
      layers_[step.packed->constant] = step.packed;

  // Those that somebody reads who has not packed them stay.
  const Uses uses(whole);
  std::map<uint64_t, size_t> readers;
  for (size_t v = 0; v < whole.values.size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    if (const auto& constant = whole.values[v].constant)
      readers[constant->id()] += uses.consumers_of(id).size() + (whole.is_output(id) ? 1 : 0);
  }
  for (const LoweredStep& step : program.steps())
    if (step.packed != nullptr && layers_.contains(step.packed->constant))
      --readers[step.packed->constant];
  std::erase_if(layers_, [&](const auto& layer) { return readers[layer.first] > 0; });

  for (Value& value : whole.values)
    if (value.constant != nullptr && layers_.contains(value.constant->id()))
      value.constant = value.constant->released();
  graph_ = std::make_shared<const Graph>(std::move(whole));
}

Result<Graph> FrozenGraph::whole() const {
  Graph graph = *graph_;
  std::map<uint64_t, std::shared_ptr<const Buffer>> made;
  for (Value& value : graph.values) {
    if (value.constant == nullptr || !value.constant->is_released()) continue;
    std::shared_ptr<const Buffer>& constant = made[value.constant->id()];
    if (constant == nullptr) {
      FIRN_ASSIGN(auto memory, Buffer::allocate(value.constant->size()));
      layers_.at(value.constant->id())->unpack(reinterpret_cast<int8_t*>(memory.second.data()));
      constant = memory.first->with_id(value.constant->id());
    }
    value.constant = constant;
  }
  return graph;
}

FrozenGraph FrozenGraph::repacked(const Program& program) const {
  FrozenGraph now = *this;
  for (const LoweredStep& step : program.steps())
    if (step.packed != nullptr && step.packed->unpack != nullptr)
      if (const auto layer = now.layers_.find(step.packed->constant); layer != now.layers_.end())
        layer->second = step.packed;
  return now;
}

}  // namespace firn
