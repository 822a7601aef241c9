// SPDX-License-Identifier: Apache-2.0
// The table of passes, the loop over it, and the names that nodes end up with.
#include "runtime/passes/passes.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

namespace firn {

// One line a pass, in the order they run: constants and what does nothing first, then layout, so that
// patterns see operators side by side, then fusion.
#define FIRN_PASSES(X)      \
  X(fold_constants)         \
  X(remove_no_ops)          \
  X(remove_common)          \
  X(merge_reshapes)         \
  X(merge_transposes)       \
  X(sink_transposes)        \
  X(hoist_transposes)       \
  X(transposes_to_reshapes) \
  X(matmul_to_dense)        \
  X(absorb_transposes)      \
  X(pools_to_means)         \
  X(fuse_activations)       \
  X(fold_affine_after)      \
  X(fold_affine_before)     \
  X(fuse_pad)               \
  X(fuse_clamp)

#define FIRN_DECLARE(name) Result<int> name(Graph& graph, Diag& diag);
FIRN_PASSES(FIRN_DECLARE)
#undef FIRN_DECLARE

std::span<const Pass> passes() {
#define FIRN_ENTRY(name) {#name, name},
  static constexpr Pass kPasses[] = {FIRN_PASSES(FIRN_ENTRY)};
#undef FIRN_ENTRY
  return kPasses;
}

namespace {

// Real networks settle in under ten; the rest is room for deep chains.
constexpr int kMaxRounds = 200;

// Layers are addressed by node name: no node goes without, and of several with one name those that
// compute come before those that move data.
void name_nodes(Graph& graph) {
  std::unordered_set<std::string> taken;
  const auto moves_data = [](const Node& node) {
    return std::holds_alternative<Transpose>(node.op) || std::holds_alternative<Reshape>(node.op);
  };
  for (const bool moving : {false, true}) {
    for (Node& node : graph.nodes) {
      if (moves_data(node) != moving) continue;
      if (node.name.empty()) node.name = graph.value(node.out[0]).name;
      if (node.name.empty()) {
        node.name = op_name(node.op);
        std::ranges::transform(node.name, node.name.begin(), [](unsigned char c) {
          return static_cast<char>(std::tolower(c));
        });
      }
      const std::string base = node.name;
      for (int i = 2; !taken.insert(node.name).second; ++i)
        node.name = base + "_" + std::to_string(i);
    }
  }
}

Status run_pass(const Pass& pass, Graph& graph, Diag& diag, int& fired) {
  FIRN_ASSIGN(fired, pass.run(graph, diag));
#ifndef NDEBUG
  if (const Status status = check(graph); !status.ok())
    return {Code::internal, std::string("after pass ") + pass.name + ": " + status.message()};
#endif
  return {};
}

}  // namespace

Status optimize(Graph& graph, Diag& diag) {
  FIRN_TRY(infer_shapes(graph));
  for (int round = 0; round < kMaxRounds; ++round) {
    // Only the last round, in which nothing fires, knows what is really left undone.
    Diag round_diag;
    std::string fired_passes;
    for (const Pass& pass : passes()) {
      int fired = 0;
      FIRN_TRY(run_pass(pass, graph, round_diag, fired));
      if (fired > 0) fired_passes += std::string(" ") + pass.name;
    }
    if (fired_passes.empty()) {
      diag.notes.insert(diag.notes.end(), round_diag.notes.begin(), round_diag.notes.end());
      name_nodes(graph);
      return check(graph);
    }
    if (round + 1 == kMaxRounds)
      return {Code::internal, "passes do not settle; still firing:" + fired_passes};
  }
  return {};
}

}  // namespace firn
