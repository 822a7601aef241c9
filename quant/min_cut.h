// SPDX-License-Identifier: Apache-2.0
// The cheapest way to split a network in two: the minimum cut, from its maximum flow.
#ifndef FIRN_QUANT_MIN_CUT_H_
#define FIRN_QUANT_MIN_CUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace firn {

class MinCut {
 public:
  static constexpr size_t kSource = 0, kSink = 1;
  // Never cut, as long as there is another way.
  static constexpr int64_t kInfinite = int64_t{1} << 60;

  // Source and sink are among the nodes.
  explicit MinCut(size_t nodes = 2) : edges_of_(nodes) {}

  size_t add_node();
  // What is paid where `from` is on the source's side and `to` on the sink's.
  void add_edge(size_t from, size_t to, int64_t cost);
  // Per node whether it is on the source's side; of equally cheap cuts that with most nodes there.
  std::vector<bool> source_side();

 private:
  struct Edge {
    size_t to;
    int64_t rest;  // of its capacity
  };
  bool augment();

  std::vector<Edge> edges_;  // the reverse of edge i is i ^ 1
  std::vector<std::vector<size_t>> edges_of_;
};

}  // namespace firn

#endif  // FIRN_QUANT_MIN_CUT_H_
