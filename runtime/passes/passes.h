// SPDX-License-Identifier: Apache-2.0
// The list of graph passes, and the loop that runs them to a fixpoint.
#ifndef FIRN_RUNTIME_PASSES_PASSES_H_
#define FIRN_RUNTIME_PASSES_PASSES_H_

#include <span>
#include <string>
#include <vector>

#include "runtime/graph.h"

namespace firn {

// What passes have to say about what they did not do: "fold_affine: conv_3: scale is not constant".
struct Diag {
  std::vector<std::string> notes;
};

// Rewrites the graph where its pattern matches, shapes inferred before and after; returns how often
// it fired.
struct Pass {
  const char* name;
  Result<int> (*run)(Graph&, Diag&);
};

// In the order they run.
std::span<const Pass> passes();

// Infers shapes, then runs all passes until none fires; what pays only at times is tried on a copy.
// Afterwards every node has a name of its own, and outputs have theirs and their layout. The graph
// is checked after each in debug builds, and once at the end in all. Input shapes must be known.
Status optimize(Graph& graph, Diag& diag);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_PASSES_H_
