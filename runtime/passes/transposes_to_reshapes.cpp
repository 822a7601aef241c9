// SPDX-License-Identifier: Apache-2.0
// Pass: a Transpose that moves only dimensions of size 1 becomes a Reshape where it can go no
// further: beside another Reshape, which it merges with, or above an operator that wants this
// layout. Elsewhere it stays a Transpose, which can still cancel another one further down.
//
//   x [N,1,1,C] -> Transpose 0,3,1,2 -> Reshape     becomes     x -> Reshape [0,C,1,1] -> Reshape
//   x [N,1,H,W] -> Transpose 0,2,3,1 -> Conv2d      becomes     x -> Reshape [0,H,W,1] -> Conv2d
#include <algorithm>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

// No Transpose moves past these.
bool stops_transposes(const Op& op) {
  return std::holds_alternative<Reshape>(op) || std::holds_alternative<Conv2d>(op) ||
         std::holds_alternative<ConvTranspose2d>(op) || std::holds_alternative<Pool2d>(op) ||
         std::holds_alternative<Resize2d>(op) || std::holds_alternative<DepthToSpace>(op) ||
         std::holds_alternative<LocalResponseNorm>(op) || std::holds_alternative<InstanceNorm>(op);
}

Result<bool> convert(Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const auto* op = std::get_if<Transpose>(&node.op);
  if (op == nullptr || is_identity(op->perm)) return false;
  const Value& in = rewrite.value(node.in[0]);
  const Value& out = rewrite.value(node.out[0]);
  if (!in.shape.known() || !moves_only_units(in.shape, op->perm)) return false;
  if (!same_encoding(in, out)) {
    rewrite.note(n, "its quantization is not per tensor");
    return false;
  }
  const auto stops = [&](int reader) { return stops_transposes(rewrite.node(reader).op); };
  const std::span<const int> readers = rewrite.readers(node.out[0]);
  // Without readers it makes an output of the graph, and stops, too.
  if (!rewrite.made_by<Reshape>(node.in[0]) && !std::ranges::all_of(readers, stops)) return false;
  rewrite.set_op(n, reshape_to(in.shape, out.shape));
  return true;
}

}  // namespace

Result<int> transposes_to_reshapes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "transposes_to_reshapes", convert);
}

}  // namespace firn
