// SPDX-License-Identifier: Apache-2.0
// Operators that pick elements: slices, splits, gathers, triangles, one-hot.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

constexpr int32_t kFarEnd = std::numeric_limits<int32_t>::max();
constexpr int32_t kNearEnd = std::numeric_limits<int32_t>::min();

// ONNX says "to the edge" by any number past it; int32's ends are past every edge, too.
int32_t saturate(int64_t value) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, kNearEnd, kFarEnd));
}

// Starts, ends, axes and steps are computed.
Status computed_slice(Context& c, ValueId x) {
  FIRN_ASSIGN(const ValueId starts, c.input(1));
  FIRN_ASSIGN(const ValueId ends, c.input(2));
  return c.bind(c.emit("", Slice{{}, {}, {}, true},
                       {x, starts, ends, c.optional_input(3), c.optional_input(4)}));
}

Status slice(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.opset >= 10 && !(c.is_known(1) && c.is_known(2) && c.is_known(3) && c.is_known(4)))
    return computed_slice(c, x);
  std::vector<int64_t> starts, ends, axes, steps;
  if (c.opset < 10) {
    FIRN_ASSIGN(starts, c.attr_ints("starts"));
    FIRN_ASSIGN(ends, c.attr_ints("ends"));
    FIRN_ASSIGN(axes, c.attr_ints("axes"));
  } else {
    FIRN_ASSIGN(starts, c.constant_ints(1));
    FIRN_ASSIGN(ends, c.constant_ints(2));
    if (c.has(3)) {
      FIRN_ASSIGN(axes, c.constant_ints(3));
    }
    if (c.has(4)) {
      FIRN_ASSIGN(steps, c.constant_ints(4));
    }
  }
  const size_t count = starts.size();
  if (axes.empty()) {
    for (size_t i = 0; i < count; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (steps.empty()) steps.assign(count, 1);
  if (ends.size() != count || axes.size() != count || steps.size() != count) {
    return c.malformed("starts, ends, axes and steps differ in length");
  }
  const size_t rank = c.shape(x).rank;
  Slice op;
  op.begin.assign(rank, 0);
  op.end.assign(rank, kFarEnd);
  op.step.assign(rank, 1);
  std::vector<bool> sliced(rank);
  for (size_t i = 0; i < count; ++i) {
    FIRN_ASSIGN(const int32_t axis, c.axis(axes[i], static_cast<int>(rank)));
    const size_t at = static_cast<size_t>(axis);
    if (sliced[at]) return c.malformed("axis " + std::to_string(axis) + " is sliced twice");
    if (steps[i] == 0) return c.malformed("a step is 0");
    sliced[at] = true;
    op.begin[at] = saturate(starts[i]);
    op.end[at] = saturate(ends[i]);
    op.step[at] = saturate(steps[i]);
  }
  return c.bind(c.emit("", std::move(op), {x}));
}

// How long the parts of a Split are: stated, or equal with a shorter last one (since opset 18).
Result<std::vector<int64_t>> split_lengths(Context& c, int64_t dim) {
  std::vector<int64_t> lengths;
  if (c.opset < 13) {
    FIRN_ASSIGN(lengths, c.attr_ints("split"));
  } else if (c.has(1)) {
    FIRN_ASSIGN(lengths, c.constant_ints(1));
  }
  FIRN_ASSIGN(const int64_t stated, c.attr("num_outputs", static_cast<int64_t>(c.output_count())));
  const int64_t parts = static_cast<int64_t>(c.output_count());
  if (stated != parts) {
    return c.malformed("num_outputs is " + std::to_string(stated) + ", it has " +
                       std::to_string(parts));
  }
  if (!lengths.empty()) return lengths;
  if (dim < 0) return c.unsupported("an open dimension is split into equal parts");
  if (c.opset < 18 && dim % parts != 0) {
    return c.malformed(std::to_string(dim) + " does not split into " + std::to_string(parts) +
                       " equal parts");
  }
  const int64_t length = (dim + parts - 1) / parts;
  for (int64_t i = 0; i < parts; ++i) {
    lengths.push_back(std::clamp<int64_t>(dim - i * length, 0, length));
  }
  return lengths;
}

// The parts' ends are the sums of their lengths so far.
Status computed_split(Context& c, ValueId x, int32_t axis) {
  FIRN_ASSIGN(const ValueId lengths, c.input(1));
  const int64_t along = axis;
  FIRN_ASSIGN(const ValueId axes, c.constant<int64_t>("axis", {1}, std::span(&along, 1)));
  FIRN_ASSIGN(const ValueId ends, c.emit("ends", CumSum{}, {lengths}));
  FIRN_ASSIGN(const ValueId begins, c.binary("begins", Binary::Kind::sub, ends, lengths));
  for (size_t i = 0; i < c.output_count(); ++i) {
    const std::string part = std::to_string(i);
    const int32_t at = static_cast<int32_t>(i);
    FIRN_ASSIGN(const ValueId begin, c.slice("begin" + part, begins, 0, at, at + 1));
    FIRN_ASSIGN(const ValueId end, c.slice("end" + part, ends, 0, at, at + 1));
    FIRN_TRY(c.bind(c.emit(part, Slice{{}, {}, {}, true}, {x, begin, end, axes}), i));
  }
  return {};
}

Status split(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  if (c.opset >= 13 && !c.is_known(1)) return computed_split(c, x, axis);
  const int64_t dim = c.shape(x)[axis];
  FIRN_ASSIGN(const std::vector<int64_t> lengths, split_lengths(c, dim));
  if (lengths.size() != c.output_count()) {
    return c.malformed("split has " + std::to_string(lengths.size()) + " entries, there are " +
                       std::to_string(c.output_count()) + " outputs");
  }
  int64_t begin = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > kFarEnd - begin) {
      return c.malformed("a part has length " + std::to_string(lengths[i]));
    }
    const int64_t end = begin + lengths[i];
    FIRN_TRY(c.bind(
        c.slice(std::to_string(i), x, axis, static_cast<int32_t>(begin), static_cast<int32_t>(end)),
        i));
    begin = end;
  }
  if (dim >= 0 && begin != dim) {
    return c.malformed("the parts add up to " + std::to_string(begin) + ", axis " +
                       std::to_string(axis) + " has " + std::to_string(dim));
  }
  if (dim < 0) return c.unsupported("an open dimension is split");
  return {};
}

Status gather(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  return c.bind(c.emit("", Gather{axis}, {x, indices}));
}

// 0, 1, 2, ... up to a scalar i64.
Result<ValueId> count_up(Context& c, std::string_view suffix, ValueId limit) {
  const std::string prefix(suffix);
  FIRN_ASSIGN(const ValueId zero, c.scalar(prefix + "_first", DType::i64, 0));
  FIRN_ASSIGN(const ValueId one, c.scalar(prefix + "_step", DType::i64, 1));
  return c.emit(suffix, Range{}, {zero, limit, one});
}

// The positions along an axis of x, which may be open, as a tensor of shape `to`.
Result<ValueId> positions(Context& c, std::string_view suffix, ValueId x, int32_t axis,
                          Reshape to) {
  const std::string prefix(suffix);
  const int32_t dim = c.shape(x)[axis];
  ValueId limit = ValueId::none;
  if (dim >= 0) {
    FIRN_TRY(c.allow(static_cast<size_t>(dim) * sizeof(int64_t)));
    FIRN_ASSIGN(limit, c.scalar(prefix + "_count", DType::i64, dim));
  } else {
    FIRN_ASSIGN(const ValueId size, c.emit(prefix + "_size", ShapeOf{axis, axis + 1}, {x}));
    FIRN_ASSIGN(limit, c.emit(prefix + "_count", Reshape{}, {size}));
  }
  FIRN_ASSIGN(const ValueId line, count_up(c, prefix + "_line", limit));
  return c.emit(suffix, std::move(to), {line});
}

// Keeps what lies on one side of diagonal k of the last two dimensions.
Status trilu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t upper, c.attr("upper", int64_t{1}));
  const int32_t rank = c.rank(x);
  if (rank < 2) return c.malformed("an input of rank " + std::to_string(rank));
  FIRN_ASSIGN(ValueId diagonal, c.scalar("main", DType::i64, 0));
  if (c.has(1)) {
    FIRN_ASSIGN(const ValueId k, c.input(1));
    FIRN_ASSIGN(diagonal, c.emit("k", Reshape{}, {k}));
  }
  FIRN_ASSIGN(const ValueId rows, positions(c, "rows", x, rank - 2, Reshape{{-1, 1}}));
  FIRN_ASSIGN(const ValueId columns, positions(c, "columns", x, rank - 1, Reshape{{1, -1}}));
  FIRN_ASSIGN(const ValueId distance, c.binary("distance", Binary::Kind::sub, columns, rows));
  const Binary::Kind beyond = upper != 0 ? Binary::Kind::less : Binary::Kind::greater;
  FIRN_ASSIGN(const ValueId drop, c.binary("drop", beyond, distance, diagonal));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", c.type(x), 0));
  return c.bind(c.emit("", Where{}, {drop, zero, x}));
}

// Where the (wrapped) index equals the position along the new axis, on; else off.
Status one_hot(Context& c) {
  FIRN_ASSIGN(ValueId indices, c.input(0));
  FIRN_ASSIGN(ValueId depth, c.input(1));
  FIRN_ASSIGN(const ValueId values, c.input(2));
  const int rank = c.rank(indices);
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, rank + 1));
  for (ValueId* whole : {&indices, &depth}) {
    if (c.type(*whole) == DType::i64) continue;
    FIRN_ASSIGN(*whole, c.convert("whole", *whole, DType::i64));
  }
  FIRN_ASSIGN(depth, c.emit("depth", Reshape{}, {depth}));
  if (const auto known = c.builder.known_ints(depth); known && known->front()) {
    constexpr int64_t kMost = 1000000;
    const int64_t number = *known->front();
    if (number < 1 || number > kMost)
      return c.malformed("depth is " + std::to_string(number) + ", expected 1 to " +
                         std::to_string(kMost));
    FIRN_TRY(c.allow(static_cast<size_t>(number) * sizeof(int64_t)));
  }
  std::vector<TargetDim> to;
  Reshape along;
  for (int d = 0, source = 0; d <= rank; ++d) {
    to.push_back(d == axis ? TargetDim::of(1) : TargetDim::copy(source++));
    along.shape.push_back(d == axis ? -1 : 1);
  }
  FIRN_ASSIGN(indices, c.reshape("columns", indices, to));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", DType::i64, 0));
  FIRN_ASSIGN(const ValueId below, c.binary("below", Binary::Kind::less, indices, zero));
  FIRN_ASSIGN(const ValueId raised, c.binary("raised", Binary::Kind::add, indices, depth));
  FIRN_ASSIGN(const ValueId wrapped, c.emit("wrapped", Where{}, {below, raised, indices}));
  FIRN_ASSIGN(const ValueId line, count_up(c, "line", depth));
  FIRN_ASSIGN(const ValueId position, c.emit("positions", std::move(along), {line}));
  FIRN_ASSIGN(const ValueId hot, c.binary("hot", Binary::Kind::equal, wrapped, position));
  FIRN_ASSIGN(const ValueId off, c.slice("off", values, 0, 0, 1));
  FIRN_ASSIGN(const ValueId on, c.slice("on", values, 0, 1, 2));
  return c.bind(c.emit("", Where{}, {hot, on, off}));
}

constexpr Operator kOperators[] = {
    {"Gather", gather}, {"OneHot", one_hot}, {"Slice", slice}, {"Split", split}, {"Trilu", trilu},
};

}  // namespace

std::span<const Operator> select_operators() {
  return kOperators;
}

}  // namespace firn::onnx
