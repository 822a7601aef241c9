// SPDX-License-Identifier: Apache-2.0
// Pass: average pooling whose one window is the whole map is a mean.
//
//   x [N,7,7,C] -> AveragePool 7x7     becomes     x -> Reduce mean over 1, 2
#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

Result<bool> convert(Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const auto* op = std::get_if<Pool2d>(&node.op);
  if (op == nullptr || op->kind != Pool2d::Kind::average) return false;
  const Shape& in = rewrite.shape(node.in[0]);
  const Shape& out = rewrite.shape(node.out[0]);
  const Window& window = op->window;
  const bool whole = in.known() && out[1] == 1 && out[2] == 1 && window.kernel[0] == in[1] &&
                     window.kernel[1] == in[2] && window.pad == Window{}.pad &&
                     (window.dilation == Window{}.dilation || (in[1] == 1 && in[2] == 1));
  if (!whole) return false;
  if (!is_plain(rewrite, n)) {
    rewrite.note(n, "is quantized");
    return false;
  }
  rewrite.set_op(n, Reduce{Reduce::Kind::mean, {1, 2}, true});
  return true;
}

}  // namespace

Result<int> pools_to_means(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "pools_to_means", convert);
}

}  // namespace firn
