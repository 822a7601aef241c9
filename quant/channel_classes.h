// SPDX-License-Identifier: Apache-2.0
// Which channels of a graph's values can be scaled together without changing what it computes.
#ifndef FIRN_QUANT_CHANNEL_CLASSES_H_
#define FIRN_QUANT_CHANNEL_CLASSES_H_

#include <cstddef>
#include <vector>

#include "runtime/graph.h"

namespace firn {

// Channels are those of the innermost dimension of float values. What is elementwise and
// homogeneous (ReLU, sums, pools, concatenations, movements) ties its inputs' channels to its
// outputs': they keep or take a positive factor together. Layers with weights take a factor up on
// the side of their inputs and give one on the side of their outputs. A class is free where all its
// channels lie between such layers, and inputs and outputs of the graph are not among them.
struct ChannelClasses {
  static constexpr size_t kNone = SIZE_MAX;

  // Per value: of each of its channels the class, kNone where it cannot be scaled.
  std::vector<std::vector<size_t>> of;
  // How many classes there are, all free.
  size_t count = 0;
  // Per class: of those whose values reach each other through layers without weights, one number.
  std::vector<size_t> component;
  // Per class: the least upper end of a ReLU6-like clamp on the way, +inf where there is none. A
  // factor moves it.
  std::vector<float> clamp;
};

ChannelClasses channel_classes(const Graph& graph);

}  // namespace firn

#endif  // FIRN_QUANT_CHANNEL_CLASSES_H_
