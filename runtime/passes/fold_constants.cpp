// SPDX-License-Identifier: Apache-2.0
// Pass: computes what does not depend on the inputs.
//
//   constant -> op -> v     becomes     constant v
//   x [2,3] -> ShapeOf -> v             constant v = {2, 3}
#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

// A file should not grow much for the sake of an Expand or a Fill that is cheap to run.
constexpr size_t kGrowth = 4;
constexpr size_t kFreeBytes = size_t{1} << 20;

size_t bytes_of(const Value& value) {
  return value.shape.elements() * dtype_bytes(value.type);
}

Result<bool> fold(Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const bool shape_of = std::holds_alternative<ShapeOf>(node.op);
  size_t in_bytes = 0;
  bool quantized = rewrite.value(node.out[0]).quant.has_value();
  for (ValueId id : node.in) {
    if (id == ValueId::none) continue;
    if (shape_of ? !rewrite.shape(id).known() : !rewrite.is_constant(id)) return false;
    in_bytes += bytes_of(rewrite.value(id));
    quantized = quantized || (!shape_of && rewrite.value(id).quant);
  }
  // Quantized weights stay as they are: kernels want them in 8 bits.
  if (quantized && (!moves_data(node.op) ||
                    !same_encoding(rewrite.value(node.in[0]), rewrite.value(node.out[0]))))
    return false;
  for (ValueId id : node.out) {
    const Value& out = rewrite.value(id);
    if (!out.shape.known()) return false;
    const bool is_shape = out.type == DType::i64 && out.shape.rank <= 1;
    if (!is_shape && bytes_of(out) > kGrowth * in_bytes + kFreeBytes) {
      rewrite.note(n, "the result would take " + std::to_string(bytes_of(out)) + " bytes");
      return false;
    }
  }
  return rewrite.fold(n);
}

}  // namespace

Result<int> fold_constants(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fold_constants", fold);
}

}  // namespace firn
