// SPDX-License-Identifier: Apache-2.0
// Pass: computes once what is computed twice.
//
//   op(x) -> a, op(x) -> b     becomes     op(x) -> a, read for both
#include <algorithm>
#include <unordered_map>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

size_t hash_of(const Node& node) {
  size_t hash = node.op.index();
  for (ValueId id : node.in) hash = hash * 1000003 + index(id);
  return hash;
}

bool same_results(const Rewrite& rewrite, const Node& a, const Node& b) {
  return a.op == b.op && a.in == b.in &&
         std::ranges::equal(a.out, b.out, [&](ValueId x, ValueId y) {
           return rewrite.value(x).type == rewrite.value(y).type &&
                  rewrite.value(x).quant == rewrite.value(y).quant &&
                  rewrite.shape(x) == rewrite.shape(y);
         });
}

}  // namespace

Result<int> remove_common(Graph& graph, Diag& diag) {
  std::unordered_multimap<size_t, int> seen;
  return rewrite_nodes(graph, diag, "remove_common", [&](Rewrite& rewrite, int n) -> Result<bool> {
    const Node node = rewrite.node(n);
    const size_t hash = hash_of(node);
    const auto [first, last] = seen.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const int twin = it->second;
      if (!rewrite.alive(twin) || !same_results(rewrite, rewrite.node(twin), node)) continue;
      // Each output in turn; a single one that must live on keeps the node.
      int moved = 0;
      for (size_t o = 0; o < node.out.size(); ++o)
        if (rewrite.forward(node.out[o], rewrite.node(twin).out[o])) ++moved;
      if (moved == static_cast<int>(node.out.size())) return true;
      rewrite.note(n, "twin of " + rewrite.node(twin).name + ", but an output of the graph");
      return false;
    }
    seen.emplace(hash, n);
    return false;
  });
}

}  // namespace firn
