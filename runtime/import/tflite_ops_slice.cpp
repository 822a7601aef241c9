// SPDX-License-Identifier: Apache-2.0
// Slices. Where one begins may be computed at run time: as long as its size is not, it is a Gather
// of so many indices in a row, whose shape is known; else its shape follows from data.
#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

constexpr int32_t kFarEnd = std::numeric_limits<int32_t>::max();
constexpr int32_t kNearEnd = std::numeric_limits<int32_t>::min();

// "To the edge" is any number past it.
int32_t saturate(int64_t value) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, kNearEnd, kFarEnd));
}

// Entry i of the vector that an input is, as i64 [1].
Result<ValueId> entry(Context& c, const std::string& suffix, size_t input, size_t i) {
  FIRN_ASSIGN(const ValueId all, c.input(input));
  const auto at = static_cast<int32_t>(i);
  FIRN_ASSIGN(const ValueId one, c.slice(suffix + "_entry", all, 0, at, at + 1));
  return c.type(one) == DType::i64 ? Result<ValueId>(one) : c.convert(suffix, one, DType::i64);
}

Result<ValueId> number(Context& c, const std::string& suffix, int64_t value) {
  return c.constant<int64_t>(suffix, {1}, std::span(&value, 1));
}

// `size` elements along an axis, from the index `begin` [1] on.
Result<ValueId> gather_run(Context& c, const std::string& suffix, ValueId x, int32_t axis,
                           ValueId begin, int32_t size) {
  FIRN_TRY(c.allow(static_cast<size_t>(size) * sizeof(int64_t)));
  std::vector<int64_t> steps(static_cast<size_t>(size));
  std::iota(steps.begin(), steps.end(), 0);
  FIRN_ASSIGN(const ValueId run, c.constant<int64_t>(suffix + "_steps", {size}, steps));
  FIRN_ASSIGN(const ValueId indices, c.binary(suffix + "_indices", Binary::Kind::add, begin, run));
  return c.move(suffix, Gather{axis}, {x, indices});
}

// One Slice whose begins and ends are vectors that are computed, one entry an axis.
Result<ValueId> slice_computed(Context& c, ValueId x, std::vector<ValueId> begin,
                               std::vector<ValueId> end, const std::vector<int64_t>& step) {
  FIRN_ASSIGN(const ValueId begins, c.emit("begins", Concat{0}, std::move(begin)));
  FIRN_ASSIGN(const ValueId ends, c.emit("ends", Concat{0}, std::move(end)));
  FIRN_ASSIGN(const ValueId steps,
              c.constant<int64_t>("steps", {static_cast<int32_t>(step.size())}, step));
  Slice op;
  op.from_input = true;
  return c.move("sliced", std::move(op), {x, begins, ends, ValueId::none, steps});
}

// Begins and sizes of a SLICE, empty where they are computed.
struct Extents {
  std::vector<std::optional<int64_t>> begin, size;
};

// With sizes that are all known: axis by axis, by what is known of its begin.
Status slice_sizes(Context& c, ValueId x, const Extents& extents) {
  const Shape shape = c.shape(x);
  Slice op;
  for (size_t i = 0; i < extents.begin.size(); ++i) {
    const int64_t dim = shape[static_cast<int>(i)], size = *extents.size[i];
    const int64_t begin = extents.begin[i].value_or(0);
    const bool past = dim >= 0 && (begin > dim || size > dim - begin);
    if (begin < 0 || begin > kFarEnd || size < -1 || size > kFarEnd || past) {
      return c.malformed("from " + std::to_string(begin) + ", " + std::to_string(size) +
                         " of axis " + std::to_string(i) + " of " + to_string(shape));
    }
    op.begin.push_back(static_cast<int32_t>(begin));
    op.end.push_back(size < 0 ? kFarEnd : saturate(begin + size));
    op.step.push_back(1);
    if (extents.begin[i]) continue;
    FIRN_ASSIGN(const ValueId at, entry(c, "begin" + std::to_string(i), 1, i));
    FIRN_ASSIGN(x, gather_run(c, "axis" + std::to_string(i), x, static_cast<int32_t>(i), at,
                              static_cast<int32_t>(size)));
    op.end.back() = kFarEnd;
  }
  return c.bind(c.move("", std::move(op), {x}));
}

// Sizes of -1 reach the end.
Status slice(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  Extents extents;
  FIRN_ASSIGN(extents.begin, c.known_ints(1));
  FIRN_ASSIGN(extents.size, c.known_ints(2));
  const Shape shape = c.shape(x);
  if (extents.begin.size() != shape.rank || extents.size.size() != shape.rank) {
    return c.malformed("begin has " + std::to_string(extents.begin.size()) + " entries, size " +
                       std::to_string(extents.size.size()) + ", input is " + to_string(shape));
  }
  bool sized = true;
  for (size_t i = 0; i < extents.size.size(); ++i)
    sized = sized && extents.size[i] && (extents.begin[i] || *extents.size[i] >= 0);
  if (sized) return slice_sizes(c, x, extents);
  std::vector<ValueId> begins, ends;
  FIRN_ASSIGN(const ValueId edge, number(c, "edge", kFarEnd));
  FIRN_ASSIGN(const ValueId zero, number(c, "zero", 0));
  for (size_t i = 0; i < extents.begin.size(); ++i) {
    const std::string axis = std::to_string(i);
    FIRN_ASSIGN(const ValueId begin, entry(c, "begin" + axis, 1, i));
    FIRN_ASSIGN(const ValueId size, entry(c, "size" + axis, 2, i));
    FIRN_ASSIGN(const ValueId sum, c.binary("sum" + axis, Binary::Kind::add, begin, size));
    FIRN_ASSIGN(const ValueId open, c.binary("open" + axis, Binary::Kind::less, size, zero));
    FIRN_ASSIGN(const ValueId end, c.emit("end" + axis, Where{}, {open, edge, sum}));
    begins.push_back(begin);
    ends.push_back(end);
  }
  return c.bind(slice_computed(c, x, std::move(begins), std::move(ends),
                               std::vector<int64_t>(shape.rank, 1)));
}

bool bit(int32_t mask, size_t i) {
  return i < 31 && (mask >> i & 1) != 0;
}

// What a strided slice does to the axes of its input, one entry of its lists after the other.
struct StridedSlice {
  Slice op;
  std::vector<ValueId> begin, end;  // what takes the place of op's, if it is computed
  std::vector<TargetDim> result;    // the axes that stay, and new ones
  bool reshapes = false;

  void keep(int axis) { result.push_back(TargetDim::copy(axis)); }
  void whole(int axis) {
    push(0, kFarEnd, 1);
    keep(axis);
  }
  void push(int32_t from, int32_t to, int32_t step) {
    op.begin.push_back(from);
    op.end.push_back(to);
    op.step.push_back(step);
    begin.push_back(ValueId::none);
    end.push_back(ValueId::none);
  }
  bool computed() const {
    const auto is_computed = [](ValueId id) { return id != ValueId::none; };
    return std::ranges::any_of(begin, is_computed) || std::ranges::any_of(end, is_computed);
  }
};

// The numbers of a STRIDED_SLICE, empty where they are computed.
struct Strides {
  std::vector<std::optional<int64_t>> begin, end;
  std::vector<int64_t> step;
};

// One index of an axis, which is dropped behind it.
Status push_index(Context& c, const Strides& given, size_t i, int axis, ValueId& x,
                  StridedSlice& slice) {
  slice.reshapes = true;
  if (!given.begin[i]) {
    FIRN_ASSIGN(const ValueId at, entry(c, "begin" + std::to_string(i), 1, i));
    FIRN_ASSIGN(x, gather_run(c, "index" + std::to_string(i), x, axis, at, 1));
    slice.push(0, kFarEnd, 1);
    return {};
  }
  const int64_t dim = c.shape(x)[axis], begin = *given.begin[i];
  if (dim >= 0 && (begin >= dim || begin < -dim)) {
    return c.malformed("index " + std::to_string(begin) + " of axis " + std::to_string(axis) +
                       " of " + to_string(c.shape(x)));
  }
  slice.push(saturate(begin), begin == -1 ? kFarEnd : saturate(begin + 1), 1);
  return {};
}

// A range of an axis. `offset`: ends count from the begins.
Status push_range(Context& c, const wire::StridedSliceOptions& options, const Strides& given,
                  size_t i, StridedSlice& slice) {
  const bool forwards = given.step[i] > 0, offset = options.offset();
  const bool from_edge = bit(options.begin_mask(), i), to_edge = bit(options.end_mask(), i);
  const int64_t begin = given.begin[i].value_or(0), end = given.end[i].value_or(0);
  slice.push(from_edge ? (forwards ? 0 : kFarEnd) : saturate(begin),
             to_edge ? (forwards ? kFarEnd : kNearEnd) : saturate(offset ? begin + end : end),
             saturate(given.step[i]));
  const std::string axis = std::to_string(i);
  if (!given.begin[i] && !from_edge) {
    FIRN_ASSIGN(slice.begin.back(), entry(c, "begin" + axis, 1, i));
  }
  const bool known_end = given.end[i] && (!offset || given.begin[i]);
  if (to_edge || known_end) return {};
  FIRN_ASSIGN(slice.end.back(), entry(c, "end" + axis, 2, i));
  if (!offset) return {};
  FIRN_ASSIGN(const ValueId start, entry(c, "start" + axis, 1, i));
  FIRN_ASSIGN(slice.end.back(),
              c.binary("stop" + axis, Binary::Kind::add, start, slice.end.back()));
  return {};
}

Result<ValueId> emit_strided(Context& c, ValueId x, StridedSlice& slice) {
  if (!slice.computed()) return c.move("", slice.op, {x});
  std::vector<int64_t> step;
  for (size_t a = 0; a < slice.begin.size(); ++a) {
    step.push_back(slice.op.step[a]);
    const std::string axis = std::to_string(a);
    if (slice.begin[a] == ValueId::none) {
      FIRN_ASSIGN(slice.begin[a], number(c, "from" + axis, slice.op.begin[a]));
    }
    if (slice.end[a] == ValueId::none) {
      FIRN_ASSIGN(slice.end[a], number(c, "to" + axis, slice.op.end[a]));
    }
  }
  return slice_computed(c, x, slice.begin, slice.end, step);
}

Status strided_slice(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::StridedSliceOptions>(wire::BuiltinOptions::StridedSlice));
  FIRN_ASSIGN(ValueId x, c.input(0));
  Strides given;
  FIRN_ASSIGN(given.begin, c.known_ints(1));
  FIRN_ASSIGN(given.end, c.known_ints(2));
  FIRN_ASSIGN(given.step, c.ints(3));
  const size_t count = given.begin.size();
  if (given.end.size() != count || given.step.size() != count) {
    return c.malformed("begin, end and strides differ in length");
  }
  const int rank = c.rank(x);
  const auto is_new = [&](size_t i) {
    return bit(options->new_axis_mask(), i) && !bit(options->ellipsis_mask(), i);
  };
  int stated = 0, ellipses = 0;
  for (size_t i = 0; i < count; ++i) {
    if (bit(options->ellipsis_mask(), i)) {
      ++ellipses;
    } else if (!is_new(i)) {
      ++stated;
    }
  }
  if (ellipses > 1) return c.malformed("two ellipses");
  if (stated > rank) {
    return c.malformed(std::to_string(stated) + " axes of " + to_string(c.shape(x)));
  }
  StridedSlice slice;
  int axis = 0;
  for (size_t i = 0; i < count; ++i) {
    if (bit(options->ellipsis_mask(), i)) {
      for (const int last = axis + rank - stated; axis < last; ++axis) slice.whole(axis);
    } else if (is_new(i)) {
      slice.result.push_back(TargetDim::of(1));
      slice.reshapes = true;
    } else if (given.step[i] == 0) {
      return c.malformed("a stride is 0");
    } else if (bit(options->shrink_axis_mask(), i)) {
      FIRN_TRY(push_index(c, given, i, axis++, x, slice));
    } else {
      FIRN_TRY(push_range(c, *options, given, i, slice));
      slice.keep(axis++);
    }
  }
  while (axis < rank) slice.whole(axis++);
  FIRN_ASSIGN(const ValueId y, emit_strided(c, x, slice));
  if (!slice.reshapes) return c.bind(y);
  return c.bind(c.reshape("shaped", y, slice.result));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::SLICE, slice},
    {wire::BuiltinOperator::STRIDED_SLICE, strided_slice},
};

}  // namespace

std::span<const Operator> slice_operators() {
  return kOperators;
}

}  // namespace firn::tflite
