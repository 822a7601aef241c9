// SPDX-License-Identifier: Apache-2.0
// Reductions along axes, and what is computed with them.
#include <algorithm>
#include <optional>

#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

// A blob without dimensions is one of 1.
Result<ValueId> at_least_one_dim(Context& c, ValueId x) {
  if (c.dims(x) > 0) return x;
  return c.reshape_blob("number", x, {TargetDim::of(1)});
}

Result<std::vector<int32_t>> reduced_axes(const Context& c, ValueId x) {
  FIRN_ASSIGN(const bool all, c.flag(1, true));
  FIRN_ASSIGN(const std::vector<int32_t> stated, c.ints(3));
  FIRN_ASSIGN(const bool fixed, c.flag(5, false));
  if (!fixed && !stated.empty()) {
    return c.unsupported("axes counted with a batch, as old files do");
  }
  std::vector<int32_t> axes;
  if (all || c.dims(x) == 1) {
    for (int32_t d = 1; d < c.rank(x); ++d) axes.push_back(d);
    return axes;
  }
  for (const int32_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.blob_axis(entry, x));
    if (std::ranges::find(axes, axis) == axes.end()) axes.push_back(axis);
  }
  return axes;
}

Status reduction(Context& c) {
  using Kind = Reduce::Kind;
  // By ncnn's number; logsum is a sum first.
  constexpr std::array<Kind, 11> kKinds{Kind::sum, Kind::l1,  Kind::sum_square, Kind::mean,
                                        Kind::max, Kind::min, Kind::prod,       Kind::l1,
                                        Kind::l2,  Kind::sum, Kind::log_sum_exp};
  constexpr int32_t kLogSum = 9;
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t number, c.param(0, 0));
  FIRN_ASSIGN(const float factor, c.param(2, 1.0f));
  FIRN_ASSIGN(const bool keep, c.flag(4, false));
  FIRN_ASSIGN(std::vector<int32_t> axes, reduced_axes(c, x));
  if (number < 0 || static_cast<size_t>(number) >= kKinds.size()) {
    return c.unsupported("operation " + std::to_string(number));
  }
  if (axes.empty()) return c.malformed("no axis is given");
  FIRN_ASSIGN(ValueId y, c.reduce("", kKinds[static_cast<size_t>(number)], x, axes, keep));
  if (number == kLogSum) {
    FIRN_ASSIGN(y, c.unary("log", Unary::Kind::log, y));
  }
  if (factor != 1) {
    FIRN_ASSIGN(y, c.with_number("scaled", Binary::Kind::mul, y, factor));
  }
  return c.bind(at_least_one_dim(c, y));
}

Status softmax(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t stated, c.param(0, 0));
  FIRN_ASSIGN(const bool fixed, c.flag(1, false));
  if (!fixed && stated != 0) return c.unsupported("an axis as old files count it");
  FIRN_ASSIGN(const int32_t axis, c.blob_axis(c.dims(x) == 1 ? 0 : stated, x));
  return c.bind(c.emit("", Softmax{axis, false}, {x}));
}

// Where the largest elements of all are: 1, k; with the flag the values above.
Status arg_max(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const bool with_values, c.flag(0, false));
  TopK op;
  op.axis = 1;
  FIRN_ASSIGN(op.k, c.at_least(1, 1, "topk", 1));
  FIRN_ASSIGN(const ValueId flat, c.reshape_blob("flat", x, {TargetDim::rest()}));
  FIRN_ASSIGN(const std::vector<ValueId> best, c.emit_all("", op, {flat}, 2));
  FIRN_ASSIGN(const ValueId number, c.convert("number", best[1], DType::f32));
  const std::vector<TargetDim> row{TargetDim::of(1), TargetDim::of(op.k)};
  FIRN_ASSIGN(const ValueId indices, c.reshape_blob("indices", number, row));
  if (!with_values) return c.bind(indices);
  FIRN_ASSIGN(const ValueId values, c.reshape_blob("values", best[0], row));
  return c.bind(c.emit("both", Concat{1}, {values, indices}));
}

// One half times the sigmoid of the other.
Status gated_linear_unit(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t stated, c.param(0, 0));
  FIRN_ASSIGN(const int32_t axis, c.blob_axis(c.dims(x) == 1 ? 0 : stated, x));
  FIRN_ASSIGN(const int32_t size, c.known_dim(x, axis));
  FIRN_ASSIGN(const ValueId values, c.slice("values", x, axis, 0, size / 2));
  FIRN_ASSIGN(const ValueId gates, c.slice("gates", x, axis, size / 2, size / 2 * 2));
  FIRN_ASSIGN(const ValueId open, c.unary("open", Unary::Kind::sigmoid, gates));
  return c.bind(c.binary("", Binary::Kind::mul, values, open));
}

Status cumulative_sum(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t stated, c.param(0, 0));
  FIRN_ASSIGN(const int32_t axis, c.blob_axis(c.dims(x) == 1 ? 0 : stated, x));
  return c.bind(c.emit("", CumSum{axis, false, false}, {x}));
}

constexpr Operator kOperators[] = {
    {"ArgMax", arg_max},        {"CumulativeSum", cumulative_sum},
    {"GLU", gated_linear_unit}, {"Reduction", reduction},
    {"Softmax", softmax},
};

}  // namespace

std::span<const Operator> reduce_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
