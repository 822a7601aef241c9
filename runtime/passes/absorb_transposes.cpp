// SPDX-License-Identifier: Apache-2.0
// Pass: a flattened map feeds Dense layers as it lies, and their weights are permuted instead.
//
//   x [N,H,W,C] -> Transpose 0,3,1,2 -> Reshape [N,CHW] -> Dense
//   becomes     x -> Reshape [N,HWC] -> Dense, columns of the weights in x's order
#include <algorithm>

#include "runtime/passes/match.h"
#include "runtime/passes/quantized.h"
#include "runtime/passes/reshape_groups.h"
#include "runtime/passes/rewrite.h"
#include "runtime/passes/transpose_above.h"

namespace firn {
namespace {

// Whether the columns of such weights can be permuted: scales, if any, are those of rows.
bool has_free_columns(const Value& weights) {
  return is_plain(weights) ||
         (weights.quant && weights.quant->block == 0 && weights.quant->axis <= 0);
}

// Whether node n reads `id` as the data of a Dense whose weights can be permuted.
bool is_flexible_dense(const Rewrite& rewrite, int n, ValueId id) {
  const Node& node = rewrite.node(n);
  return std::holds_alternative<Dense>(node.op) && node.in[0] == id && node.in[1] != id &&
         is_constant_like(rewrite, node.in[1]) && has_free_columns(rewrite.value(node.in[1]));
}

Result<bool> absorb(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Reshape>(&node.op);
  const auto above = op ? transpose_above(rewrite, node.in[0]) : std::nullopt;
  if (!above || op->from_input) return false;
  const ValueId flat = node.out[0];
  const Shape in = rewrite.shape(node.in[0]);
  const Shape out = rewrite.shape(flat);
  if (!in.known() || !out.known()) return false;

  // The last group merges the trailing dimensions, which the Transpose mixes among themselves.
  const std::vector<ReshapeGroup> groups = reshape_groups(in, out);
  const ReshapeGroup last = groups.back();
  const int merged = last.in_end - last.in_begin;
  if (last.out_end - last.out_begin != 1 || merged < 2 || merged >= kMaxRank) return false;
  for (int i = 0; i < last.in_begin; ++i)
    if (above->perm[static_cast<size_t>(i)] != i) return false;

  const std::vector<int> readers(rewrite.readers(flat).begin(), rewrite.readers(flat).end());
  const bool all_dense = !readers.empty() && std::ranges::all_of(readers, [&](int reader) {
    return is_flexible_dense(rewrite, reader, flat);
  });
  if (!all_dense || rewrite.graph().is_output(flat) || !rewrite.has_one_reader(node.in[0])) {
    rewrite.note(n, "not all that read the transposed map are Dense with constant weights");
    return false;
  }

  Shape split;  // the columns by the dimensions they came from
  Perm back{0};
  split.rank = static_cast<uint8_t>(merged + 1);
  for (int i = 0; i < merged; ++i) split[i + 1] = in[last.in_begin + i];
  const Perm order = inverse(above->perm);
  for (int i = last.in_begin; i < last.in_end; ++i)
    back.push_back(order[static_cast<size_t>(i)] - last.in_begin + 1);

  for (int reader : readers) {
    const ValueId weights = rewrite.node(reader).in[1];
    const std::string name = rewrite.value(weights).name;
    split[0] = rewrite.shape(weights)[0];
    FIRN_ASSIGN(const ValueId cut, rewrite.add(reshape_to({}, split), {weights}, name));
    FIRN_ASSIGN(const ValueId turned, rewrite.add(Transpose{back}, {cut}, name));
    FIRN_ASSIGN(const ValueId columns,
                rewrite.add(reshape_to({}, rewrite.shape(weights)), {turned}, name));
    rewrite.set_input(reader, 1, columns);
  }
  rewrite.set_input(n, 0, above->source);
  return true;
}

}  // namespace

Result<int> absorb_transposes(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "absorb_transposes", absorb);
}

}  // namespace firn
