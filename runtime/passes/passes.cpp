// SPDX-License-Identifier: Apache-2.0
// The table of passes, the loops over it, and the names that nodes end up with.
#include "runtime/passes/passes.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "runtime/passes/match.h"

namespace firn {

// One line a pass, in the order they run: constants and what does nothing first, then layout, so
// that patterns see operators side by side, then fusion; int8 last, of what is fused.
#define FIRN_PASSES(X)      \
  X(fold_constants)         \
  X(shift_to_int8)          \
  X(read_parameters)        \
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
  X(fuse_layer_norm)        \
  X(fold_affine_after)      \
  X(fold_affine_quantized)  \
  X(fold_affine_before)     \
  X(fuse_pad)               \
  X(fuse_clamp)             \
  X(hoist_quantize)         \
  X(fold_quantized)         \
  X(sink_dequantize)

// Once those settle; what these change may let them go on.
#define FIRN_LATE_PASSES(X) \
  X(int8_to_float)          \
  X(dequantize_constants)

#define FIRN_DECLARE(name) Result<int> name(Graph& graph, Diag& diag);
FIRN_PASSES(FIRN_DECLARE)
FIRN_LATE_PASSES(FIRN_DECLARE)
#undef FIRN_DECLARE

// Worth trying, not always worth keeping: it adds Transposes, in the hope that more cancel.
Result<int> split_transposes(Graph& graph, Diag& diag);

std::span<const Pass> passes() {
#define FIRN_ENTRY(name) {#name, name},
  static constexpr Pass kPasses[] = {FIRN_PASSES(FIRN_ENTRY)};
  return kPasses;
}

namespace {

// Real networks settle in under ten; the rest is room for deep chains.
constexpr int kMaxRounds = 200;

// Layers are addressed by node name: no node goes without, and of several with one name those that
// compute come before those that move data.
void name_nodes(Graph& graph) {
  std::unordered_set<std::string> taken;
  for (const bool moving : {false, true}) {
    for (Node& node : graph.nodes) {
      if (moves_data(node.op) != moving) continue;
      if (node.name.empty()) node.name = graph.value(node.out[0]).name;
      if (node.name.empty()) {
        node.name = op_name(node.op);
        std::ranges::transform(node.name, node.name.begin(),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      }
      const std::string base = node.name;
      for (int i = 2; !taken.insert(node.name).second; ++i)
        node.name = base + "_" + std::to_string(i);
    }
  }
}

std::span<const Pass> late_passes() {
  static constexpr Pass kPasses[] = {FIRN_LATE_PASSES(FIRN_ENTRY)};
#undef FIRN_ENTRY
  return kPasses;
}

Status run_pass(const Pass& pass, Graph& graph, Diag& diag, int& fired) {
  FIRN_ASSIGN(fired, pass.run(graph, diag));
#ifndef NDEBUG
  if (const Status status = check(graph); !status.ok())
    return {Code::internal, std::string("after pass ") + pass.name + ": " + status.message()};
#endif
  return {};
}

// Runs all passes until none fires.
Status settle(Graph& graph, Diag& diag) {
  std::string fired_passes;
  for (int round = 0; round < kMaxRounds; ++round) {
    // Only the last round, in which nothing fires, knows what is really left undone.
    Diag round_diag;
    fired_passes.clear();
    for (const Pass& pass : passes()) {
      int fired = 0;
      FIRN_TRY(run_pass(pass, graph, round_diag, fired));
      if (fired > 0) fired_passes += std::string(" ") + pass.name;
    }
    if (!fired_passes.empty()) continue;
    diag = std::move(round_diag);
    return {};
  }
  return {Code::internal, "passes do not settle; still firing:" + fired_passes};
}

size_t transposed_elements(const Graph& graph) {
  size_t elements = 0;
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<Transpose>(node.op))
      elements += graph.value(node.out[0]).shape.elements();
  return elements;
}

// Keeps the graph with split Transposes if less is left to transpose, and tries again.
Status explore(Graph& graph, Diag& diag) {
  for (;;) {
    const size_t elements = transposed_elements(graph);
    if (elements == 0) return {};
    Graph trial = graph;
    Diag trial_diag;
    FIRN_ASSIGN(const int fired, split_transposes(trial, trial_diag));
    if (fired == 0) return {};
    FIRN_TRY(settle(trial, trial_diag));
    if (transposed_elements(trial) >= elements) return {};
    graph = std::move(trial);
    diag = std::move(trial_diag);
  }
}

}  // namespace

Status optimize(Graph& graph, Diag& diag) {
  FIRN_TRY(infer_shapes(graph));
  Diag settled;
  FIRN_TRY(settle(graph, settled));
  FIRN_TRY(explore(graph, settled));
  Diag late;
  int fired = 0;
  for (const Pass& pass : late_passes()) {
    int hits = 0;
    FIRN_TRY(run_pass(pass, graph, late, hits));
    fired += hits;
  }
  if (fired > 0) {
    FIRN_TRY(settle(graph, settled));
    FIRN_TRY(explore(graph, settled));
  }
  settled.notes.insert(settled.notes.end(), late.notes.begin(), late.notes.end());
  diag.notes.insert(diag.notes.end(), settled.notes.begin(), settled.notes.end());
  name_nodes(graph);
  return check(graph);
}

}  // namespace firn
