// SPDX-License-Identifier: Apache-2.0
// Maximum flow by shortest augmenting paths (Edmonds and Karp, 1972).
#include "quant/min_cut.h"

#include <algorithm>

namespace firn {

size_t MinCut::add_node() {
  edges_of_.emplace_back();
  return edges_of_.size() - 1;
}

void MinCut::add_edge(size_t from, size_t to, int64_t cost) {
  edges_of_[from].push_back(edges_.size());
  edges_.push_back({to, cost});
  edges_of_[to].push_back(edges_.size());
  edges_.push_back({from, 0});
}

// Pushes what the shortest path that is left can take.
bool MinCut::augment() {
  constexpr size_t kUnseen = SIZE_MAX;
  std::vector<size_t> reached_by(edges_of_.size(), kUnseen);
  std::vector<size_t> queue{kSource};
  for (size_t i = 0; i < queue.size() && reached_by[kSink] == kUnseen; ++i)
    for (const size_t e : edges_of_[queue[i]]) {
      const Edge& edge = edges_[e];
      if (edge.rest == 0 || edge.to == kSource || reached_by[edge.to] != kUnseen) continue;
      reached_by[edge.to] = e;
      queue.push_back(edge.to);
    }
  if (reached_by[kSink] == kUnseen) return false;

  const auto along_path = [&](auto&& visit) {
    for (size_t node = kSink; node != kSource; node = edges_[reached_by[node] ^ 1].to)
      visit(reached_by[node]);
  };
  int64_t flow = kInfinite;
  along_path([&](size_t e) { flow = std::min(flow, edges_[e].rest); });
  along_path([&](size_t e) {
    edges_[e].rest -= flow;
    edges_[e ^ 1].rest += flow;
  });
  return true;
}

std::vector<bool> MinCut::source_side() {
  while (augment()) {
  }
  // The sink's side is what can still reach the sink.
  std::vector<bool> source_side(edges_of_.size(), true);
  source_side[kSink] = false;
  std::vector<size_t> queue{kSink};
  for (size_t i = 0; i < queue.size(); ++i)
    for (const size_t e : edges_of_[queue[i]]) {
      const size_t from = edges_[e].to;
      if (edges_[e ^ 1].rest == 0 || !source_side[from]) continue;
      source_side[from] = false;
      queue.push_back(from);
    }
  return source_side;
}

}  // namespace firn
