// SPDX-License-Identifier: Apache-2.0
// The part of a network whose shapes follow from data (box selection, computed axes): cut off the
// rest, which is compiled, and run behind it node by node, on the reference.
#ifndef FIRN_RUNTIME_TAIL_H_
#define FIRN_RUNTIME_TAIL_H_

#include <memory>
#include <span>
#include <vector>

#include "runtime/graph.h"

namespace firn {

// Where a tensor comes from.
struct Source {
  enum class From : uint8_t { model_input, body, tail };  // index into that one's inputs, outputs
  From from = From::body;
  size_t index = 0;
  bool operator==(const Source&) const = default;
};

// A network cut in two. Every output of the network is one of the body or of the tail.
struct Cut {
  Graph body;                       // the shapes of all its values follow from its inputs'
  Graph tail;                       // empty where nothing follows from data
  std::vector<Source> tail_inputs;  // per input of the tail: of the model, or of the body
  std::vector<Source> outputs;      // per output of the whole, its states' last
  size_t states = 0;                // of the whole; body and tail say nothing of them

  bool has_tail() const { return !tail.nodes.empty(); }
};

// `inferred` is the same graph, shapes inferred.
Cut cut_tail(Graph graph, const Graph& inferred);
// The whole again, around a body that may be another one by now, with the same inputs and outputs.
Graph join_tail(const Graph& body, const Cut& cut);

// Runs a tail. Not thread-safe.
class TailRun {
 public:
  explicit TailRun(const Cut& cut);
  // `inputs` in the order of the tail's; read until run() returns. invalid_argument where the data
  // make no sense (an index past an end).
  Status run(std::span<const Tensor> inputs);
  // Of the last run.
  const Value& output(size_t i) const { return graph_.value(graph_.outputs[i]); }

 private:
  Graph graph_;
  std::vector<ValueId> passing_;  // what nobody reads after a run: inputs, values in between
};

}  // namespace firn

#endif  // FIRN_RUNTIME_TAIL_H_
