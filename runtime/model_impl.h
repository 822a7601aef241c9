// SPDX-License-Identifier: Apache-2.0
// What a Model holds: the graph as imported, and what its users see of it.
#ifndef FIRN_RUNTIME_MODEL_IMPL_H_
#define FIRN_RUNTIME_MODEL_IMPL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/graph.h"
#include "runtime/packed_weights.h"
#include "runtime/tail.h"

namespace firn {

struct ModelImpl {
  std::string format;
  Graph optimised;  // for `start_shapes`
  // The graph as imported, without what is in the cut's tail. None where the passes found nothing
  // to do, as in a model that firn saved: `optimised` is it, but for shapes, and need not be held
  // twice.
  std::optional<Graph> source;
  std::vector<Shape> declared_shapes;  // of its inputs
  Graph imported() const;
  // Of its constants, and of those of graphs made from it.
  std::shared_ptr<PackedWeights> packed;
  // How the network was cut. Its body is moved to `source`.
  std::shared_ptr<const Cut> cut;
  // One per input: its declared shape, with sizes that the model runs on for what it leaves open.
  // 1, unless the model needs more (a convolution without padding, a feature pyramid).
  std::vector<Shape> start_shapes;
  std::vector<TensorInfo> inputs, outputs;  // the user's
  std::vector<TensorInfo> states;           // inputs of the graph behind those
};

// Checks the graph, optimises a copy of it for its start shapes (so that what cannot run is said at
// load) and makes the model. unsupported names node and operator. `file` is the mapped one that the
// graph was read from.
Result<Model> make_model(std::string format, Graph graph, const MappedFile& file = {});

}  // namespace firn

#endif  // FIRN_RUNTIME_MODEL_IMPL_H_
