// SPDX-License-Identifier: Apache-2.0
// The graph that a freeze made, beside the program that runs it: weights are in memory once, as the
// kernels read them, and had back from there by who saves the graph or compiles it otherwise.
#ifndef FIRN_RUNTIME_FROZEN_GRAPH_H_
#define FIRN_RUNTIME_FROZEN_GRAPH_H_

#include <cstdint>
#include <map>
#include <memory>

#include "runtime/program.h"

namespace firn {

class FrozenGraph {
 public:
  // `whole` has all of its bytes; `program` was compiled from it.
  FrozenGraph(Graph whole, const Program& program);

  // What the program's steps have packed, and can unpack, has no bytes.
  const Graph& graph() const { return *graph_; }
  // All of it. out_of_memory.
  Result<Graph> whole() const;
  // The same graph, whose weights a program for other shapes holds from now on.
  FrozenGraph repacked(const Program& program) const;

 private:
  std::shared_ptr<const Graph> graph_;
  std::map<uint64_t, std::shared_ptr<const PackedLayer>> layers_;  // by the constant's id
};

}  // namespace firn

#endif  // FIRN_RUNTIME_FROZEN_GRAPH_H_
