// SPDX-License-Identifier: Apache-2.0
// Operators that look for elements: positions, the largest, running sums.
#include <limits>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

Status gather_nd(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  return c.bind(c.move("", GatherNd{0}, {x, indices}));
}

// The k largest of the innermost dimension, and where they are.
Status top_k(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  if (!c.is_known(1)) {
    FIRN_ASSIGN(const ValueId computed, c.input(1));
    FIRN_ASSIGN(const ValueId wide, c.convert("k", computed, DType::i64));
    FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all("", TopK{-1, -1, true}, {x, wide}, 2));
    FIRN_TRY(c.bind(out[0], 0));
    return c.bind(out[1], 1);
  }
  FIRN_ASSIGN(const std::vector<int64_t> k, c.ints(1));
  if (k.size() != 1 || k[0] < 0 || k[0] > std::numeric_limits<int32_t>::max()) {
    return c.malformed("k is not one number from 0");
  }
  FIRN_ASSIGN(const std::vector<ValueId> out,
              c.emit_all("", TopK{-1, static_cast<int32_t>(k[0]), true}, {x}, 2));
  FIRN_TRY(c.bind(out[0], 0));
  return c.bind(out[1], 1);
}

Status cumsum(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::CumsumOptions>(wire::BuiltinOptions::Cumsum));
  FIRN_ASSIGN(const ValueId x, c.number(0));
  FIRN_ASSIGN(const int32_t axis, c.axis_input(1, c.rank(x)));
  const bool exclusive = options != nullptr && options->exclusive();
  const bool reverse = options != nullptr && options->reverse();
  return c.bind(c.emit("", CumSum{axis, exclusive, reverse}, {x}));
}

// The positions of what is not zero, one a row.
Status where(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  FIRN_ASSIGN(const ValueId columns, c.emit("columns", NonZero{}, {x}));
  return c.bind(c.transpose("", columns, {1, 0}));
}

// Zeros with the updates at the indices; of several for one place, their sum.
Status scatter_nd(Context& c) {
  FIRN_ASSIGN(const ValueId indices, c.input(0));
  FIRN_ASSIGN(const ValueId updates, c.number(1));
  FIRN_ASSIGN(const ValueId stated, c.input(2));
  FIRN_ASSIGN(const ValueId shape, c.convert("shape", stated, DType::i64));
  FIRN_ASSIGN(const ValueId zeros, c.emit("zeros", Fill{c.type(updates), 0}, {shape}));
  const Scatter op{Scatter::Kind::positions, Scatter::Reduction::add, 0};
  return c.bind(c.emit("", op, {zeros, indices, updates}));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::CUMSUM, cumsum},         {wire::BuiltinOperator::GATHER_ND, gather_nd},
    {wire::BuiltinOperator::SCATTER_ND, scatter_nd}, {wire::BuiltinOperator::TOPK_V2, top_k},
    {wire::BuiltinOperator::WHERE, where},
};

}  // namespace

std::span<const Operator> search_operators() {
  return kOperators;
}

}  // namespace firn::tflite
