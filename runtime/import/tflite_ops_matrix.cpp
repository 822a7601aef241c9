// SPDX-License-Identifier: Apache-2.0
// Fully connected layers, matrix products, rows of tables.
#include <utility>

#include "runtime/import/tflite_layer.h"
#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

// x is a matrix of as many columns as the weights have, whatever its rank.
Status fully_connected(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::FullyConnectedOptions>(wire::BuiltinOptions::FullyConnected));
  if (options->weights_format() != wire::WeightsFormat::plain) {
    return c.unsupported("shuffled weights are not supported");
  }
  FIRN_ASSIGN(LayerInputs in, layer_inputs(c, 0, 1, 2, true));
  if (c.rank(in.w) != 2) {
    return c.malformed("its weights are " + to_string(c.shape(in.w)) + ", expected 2 dimensions");
  }
  const Shape x = c.shape(in.x);
  const int32_t columns = c.shape(in.w)[1];
  const bool in_rows = x.rank > 0 && x[x.rank - 1] == columns;
  const bool keeps = options->keep_num_dims() && in_rows;
  if (!keeps && !(x.rank == 2 && in_rows)) {
    const std::optional<Quant> quant = c.builder.value(in.x).quant;
    // The first dimension may be open, and is a row each where it can be.
    const bool batch_rows = x.rank > 0 && x[0] < 0;
    FIRN_ASSIGN(in.x,
                c.emit("rows", Reshape{{batch_rows ? 0 : -1, batch_rows ? -1 : columns}, false},
                       {in.x}, quant));
  }
  return c.bind(emit_layer(c, Dense{}, in, options->activation()));
}

Result<ValueId> adjoint(Context& c, std::string_view suffix, ValueId x) {
  std::vector<int32_t> perm;
  for (int32_t d = 0; d < c.rank(x); ++d) perm.push_back(d);
  if (perm.size() < 2) return c.malformed("an input of rank " + std::to_string(perm.size()));
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return c.transpose(suffix, x, std::move(perm));
}

Status batch_matmul(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::BatchMatMulOptions>(wire::BuiltinOptions::BatchMatMul));
  FIRN_ASSIGN(ValueId a, c.real_input(0));
  FIRN_ASSIGN(ValueId b, c.real_input(1));
  if (options->adj_x()) {
    FIRN_ASSIGN(a, adjoint(c, "adj_x", a));
  }
  if (options->adj_y()) {
    FIRN_ASSIGN(b, adjoint(c, "adj_y", b));
  }
  return c.bind(c.emit("", MatMul{}, {a, b}));
}

Status embedding_lookup(Context& c) {
  FIRN_ASSIGN(const ValueId ids, c.input(0));
  FIRN_ASSIGN(const ValueId table, c.number(1));
  return c.bind(c.emit("", Gather{0}, {table, ids}));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::BATCH_MATMUL, batch_matmul},
    {wire::BuiltinOperator::EMBEDDING_LOOKUP, embedding_lookup},
    {wire::BuiltinOperator::FULLY_CONNECTED, fully_connected},
};

}  // namespace

std::span<const Operator> matrix_operators() {
  return kOperators;
}

}  // namespace firn::tflite
