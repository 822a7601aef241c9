// SPDX-License-Identifier: Apache-2.0
// Reductions, arg-max, softmax.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Reduce::Kind;

struct Axes {
  std::vector<int32_t> axes;  // sorted
  bool noop = false;          // none are stated, and that means none
};

// An attribute, and since `input_since` an input; without any, all of them.
Result<Axes> reduced_axes(Context& c, int rank, int64_t input_since) {
  std::vector<int64_t> stated;
  if (c.opset < input_since) {
    FIRN_ASSIGN(stated, c.attr_ints("axes"));
  } else if (c.has(1)) {
    FIRN_ASSIGN(stated, c.constant_ints(1));
  }
  FIRN_ASSIGN(const int64_t noop, c.attr("noop_with_empty_axes", int64_t{0}));
  Axes result;
  result.noop = stated.empty() && noop != 0;
  for (const int64_t axis : stated) {
    FIRN_ASSIGN(const int32_t positive, c.axis(axis, rank));
    result.axes.push_back(positive);
  }
  for (int32_t d = 0; stated.empty() && !result.noop && d < rank; ++d) result.axes.push_back(d);
  std::ranges::sort(result.axes);
  if (std::ranges::adjacent_find(result.axes) != result.axes.end()) {
    return c.malformed("an axis occurs twice");
  }
  return result;
}

// With no axes, each element is reduced by itself: its absolute value, its square.
Result<ValueId> reduced(Context& c, Kind kind, std::string_view suffix, int64_t input_since) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t keep, c.attr("keepdims", int64_t{1}));
  if (c.opset >= input_since && !c.is_known(1)) {
    FIRN_ASSIGN(const int64_t noop, c.attr("noop_with_empty_axes", int64_t{0}));
    FIRN_ASSIGN(const ValueId given, c.input(1));
    return c.reduce(suffix, Reduce{kind, {}, keep != 0, true, noop != 0}, x, given);
  }
  FIRN_ASSIGN(Axes axes, reduced_axes(c, c.rank(x), input_since));
  return c.reduce(suffix, kind, x, std::move(axes.axes), keep != 0);
}

template <Kind kind, int64_t input_since = 18>
Status reduce(Context& c) {
  return c.bind(reduced(c, kind, "", input_since));
}

Status reduce_log_sum(Context& c) {
  FIRN_ASSIGN(const ValueId sum, reduced(c, Kind::sum, "sum", 18));
  return c.bind(c.unary("", Unary::Kind::log, sum));
}

// The last of equals is the first of the reversed axis, counted from its end.
Status arg(Context& c, bool min) {
  FIRN_ASSIGN(ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int64_t keep, c.attr("keepdims", int64_t{1}));
  FIRN_ASSIGN(const int64_t last, c.attr("select_last_index", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  const ArgMax op{axis, keep != 0, min};
  if (c.type(x) != DType::f32 && c.type(x) != DType::i32 && c.type(x) != DType::i64) {
    FIRN_ASSIGN(x, c.convert("wide", x, DType::i32));
  }
  if (last == 0) return c.bind(c.emit("", op, {x}));
  const int32_t dim = c.shape(x)[axis];
  if (dim < 0) return c.unsupported("select_last_index along an open dimension");
  FIRN_ASSIGN(const ValueId reversed,
              c.slice("reversed", x, axis, -1, std::numeric_limits<int32_t>::min(), -1));
  FIRN_ASSIGN(const ValueId from_end, c.emit("from_end", op, {reversed}));
  FIRN_ASSIGN(const ValueId end, c.scalar("last", DType::i64, dim - 1));
  return c.bind(c.binary("", Binary::Kind::sub, end, from_end));
}

// Along one axis since opset 13; before, over all axes from `axis` on, as if flattened.
Status softmax(Context& c, bool log) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const Shape shape = c.shape(x);
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{c.opset < 13 ? 1 : -1}));
  if (c.opset < 13 && stated == shape.rank && shape.rank > 0) {
    return c.unsupported("axis " + std::to_string(stated) + " of " + to_string(shape));
  }
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, shape.rank));
  bool one_axis = c.opset >= 13;
  if (!one_axis) {
    one_axis = true;
    for (int d = axis + 1; d < shape.rank; ++d) one_axis = one_axis && shape[d] == 1;
  }
  if (one_axis) return c.bind(c.emit("", Softmax{axis, log}, {x}));
  std::vector<TargetDim> flat;
  for (int d = 0; d < axis; ++d) flat.push_back(TargetDim::copy(d));
  flat.push_back(TargetDim::rest());
  FIRN_ASSIGN(const ValueId rows, c.reshape("rows", x, flat));
  FIRN_ASSIGN(const ValueId y, c.emit("", Softmax{axis, log}, {rows}));
  return c.bind(c.restore("shape", y, x, axis));
}

constexpr Operator kOperators[] = {
    {"ArgMax", [](Context& c) { return arg(c, false); }},
    {"ArgMin", [](Context& c) { return arg(c, true); }},
    {"LogSoftmax", [](Context& c) { return softmax(c, true); }},
    {"ReduceL1", reduce<Kind::l1>},
    {"ReduceL2", reduce<Kind::l2>},
    {"ReduceLogSum", reduce_log_sum},
    {"ReduceLogSumExp", reduce<Kind::log_sum_exp>},
    {"ReduceMax", reduce<Kind::max>},
    {"ReduceMean", reduce<Kind::mean>},
    {"ReduceMin", reduce<Kind::min>},
    {"ReduceProd", reduce<Kind::prod>},
    {"ReduceSum", reduce<Kind::sum, 13>},
    {"ReduceSumSquare", reduce<Kind::sum_square>},
    {"Softmax", [](Context& c) { return softmax(c, false); }},
};

}  // namespace

std::span<const Operator> reduce_operators() {
  return kOperators;
}

}  // namespace firn::onnx
