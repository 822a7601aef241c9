// SPDX-License-Identifier: Apache-2.0
// Operators that pick elements: slices, splits, gathers, choices.
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

// Sizes of -1 reach the end.
Status slice(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const std::vector<int64_t> begin, c.ints(1));
  FIRN_ASSIGN(const std::vector<int64_t> size, c.ints(2));
  const Shape& shape = c.shape(x);
  if (begin.size() != shape.rank || size.size() != shape.rank) {
    return c.malformed("begin has " + std::to_string(begin.size()) + " entries, size " +
                       std::to_string(size.size()) + ", input is " + to_string(shape));
  }
  Slice op;
  for (size_t i = 0; i < begin.size(); ++i) {
    const int64_t dim = shape[static_cast<int>(i)];
    const bool past = dim >= 0 && (begin[i] > dim || size[i] > dim - begin[i]);
    if (begin[i] < 0 || begin[i] > kFarEnd || size[i] < -1 || size[i] > kFarEnd || past) {
      return c.malformed("from " + std::to_string(begin[i]) + ", " + std::to_string(size[i]) +
                         " of axis " + std::to_string(i) + " of " + to_string(shape));
    }
    op.begin.push_back(static_cast<int32_t>(begin[i]));
    op.end.push_back(size[i] < 0 ? kFarEnd : saturate(begin[i] + size[i]));
    op.step.push_back(1);
  }
  return c.bind(c.move("", std::move(op), {x}));
}

bool bit(int32_t mask, size_t i) {
  return i < 31 && (mask >> i & 1) != 0;
}

// What a strided slice does to the axes of its input, one entry of its lists after the other.
struct StridedSlice {
  Slice op;
  std::vector<TargetDim> result;  // the axes that stay, and new ones
  bool reshapes = false;

  void keep(int axis) { result.push_back(TargetDim::copy(axis)); }
  void whole(int axis) {
    push(0, kFarEnd, 1);
    keep(axis);
  }
  void push(int32_t begin, int32_t end, int32_t step) {
    op.begin.push_back(begin);
    op.end.push_back(end);
    op.step.push_back(step);
  }
};

Status strided_slice(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::StridedSliceOptions>(wire::BuiltinOptions::StridedSlice));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const std::vector<int64_t> begin, c.ints(1));
  FIRN_ASSIGN(const std::vector<int64_t> end, c.ints(2));
  FIRN_ASSIGN(const std::vector<int64_t> step, c.ints(3));
  const size_t count = begin.size();
  if (end.size() != count || step.size() != count) {
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
    } else if (step[i] == 0) {
      return c.malformed("a stride is 0");
    } else if (bit(options->shrink_axis_mask(), i)) {
      const int64_t dim = c.shape(x)[axis];
      if (dim >= 0 && (begin[i] >= dim || begin[i] < -dim)) {
        return c.malformed("index " + std::to_string(begin[i]) + " of axis " +
                           std::to_string(axis) + " of " + to_string(c.shape(x)));
      }
      slice.push(saturate(begin[i]), begin[i] == -1 ? kFarEnd : saturate(begin[i] + 1), 1);
      slice.reshapes = true;
      ++axis;
    } else {
      const bool forwards = step[i] > 0;
      const int64_t stop = options->offset() ? begin[i] + end[i] : end[i];
      slice.push(bit(options->begin_mask(), i) ? (forwards ? 0 : kFarEnd) : saturate(begin[i]),
                 bit(options->end_mask(), i) ? (forwards ? kFarEnd : kNearEnd) : saturate(stop),
                 saturate(step[i]));
      slice.keep(axis++);
    }
  }
  while (axis < rank) slice.whole(axis++);
  FIRN_ASSIGN(const ValueId y, c.move("", std::move(slice.op), {x}));
  if (!slice.reshapes) return c.bind(y);
  return c.bind(c.reshape("shaped", y, slice.result));
}

Status split_at(Context& c, ValueId x, int32_t axis, std::vector<int64_t> lengths) {
  const int64_t dim = c.shape(x)[axis];
  if (dim < 0) return c.unsupported("an open dimension is split");
  const auto rest = std::ranges::find(lengths, -1);
  if (rest != lengths.end()) {
    *rest = dim - (std::accumulate(lengths.begin(), lengths.end(), int64_t{0}) + 1);
  }
  int64_t begin = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > dim - begin) {
      return c.malformed("part " + std::to_string(i) + " has length " + std::to_string(lengths[i]) +
                         " of " + std::to_string(dim));
    }
    const int64_t end = begin + lengths[i];
    FIRN_TRY(c.bind(
        c.slice(std::to_string(i), x, axis, static_cast<int32_t>(begin), static_cast<int32_t>(end)),
        i));
    begin = end;
  }
  if (begin != dim) {
    return c.malformed("the parts add up to " + std::to_string(begin) + ", axis " +
                       std::to_string(axis) + " has " + std::to_string(dim));
  }
  return {};
}

Status split(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(1));
  FIRN_ASSIGN(const int32_t axis, c.axis_input(0, c.rank(x)));
  const auto parts = static_cast<int64_t>(c.output_count());
  const int64_t dim = c.shape(x)[axis];
  if (dim >= 0 && dim % parts != 0) {
    return c.malformed(std::to_string(dim) + " does not split into " + std::to_string(parts) +
                       " equal parts");
  }
  return split_at(c, x, axis, std::vector<int64_t>(c.output_count(), dim / parts));
}

Status split_v(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(std::vector<int64_t> lengths, c.ints(1));
  FIRN_ASSIGN(const int32_t axis, c.axis_input(2, c.rank(x)));
  if (lengths.size() != c.output_count()) {
    return c.malformed(std::to_string(lengths.size()) + " lengths, there are " +
                       std::to_string(c.output_count()) + " outputs");
  }
  for (const int64_t length : lengths) {
    if (length < -1 || length > kFarEnd) {
      return c.malformed("a part of length " + std::to_string(length));
    }
  }
  return split_at(c, x, axis, std::move(lengths));
}

Status unpack(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::AxisOptions>(wire::BuiltinOptions::Unpack));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int32_t axis, c.axis(options->axis(), c.rank(x)));
  const int32_t dim = c.shape(x)[axis];
  if (dim >= 0 && static_cast<size_t>(dim) != c.output_count()) {
    return c.malformed("axis " + std::to_string(axis) + " of " + to_string(c.shape(x)) +
                       " has not " + std::to_string(c.output_count()) + " parts");
  }
  std::vector<TargetDim> to;
  for (int d = 0; d < c.rank(x); ++d) {
    if (d != axis) to.push_back(TargetDim::copy(d));
  }
  for (size_t i = 0; i < c.output_count(); ++i) {
    const auto at = static_cast<int32_t>(i);
    const std::string number = std::to_string(i);
    FIRN_ASSIGN(const ValueId part, c.slice("part" + number, x, axis, at, at + 1));
    FIRN_TRY(c.bind(c.reshape(number, part, to), i));
  }
  return {};
}

// With batch dimensions the indices of sample b are moved into its rows of the flattened table.
Result<ValueId> gather_batches(Context& c, ValueId x, ValueId indices, int32_t axis,
                               int32_t batch_dims) {
  const Shape table = c.shape(x), wanted = c.shape(indices);
  if (axis != batch_dims || !table.known() || !wanted.known()) {
    return c.unsupported("batch dimensions with an axis behind the first, or open dimensions");
  }
  int64_t batches = 1;
  for (int d = 0; d < batch_dims; ++d) {
    if (d >= wanted.rank || wanted[d] != table[d]) {
      return c.malformed("batches of " + to_string(table) + " and " + to_string(wanted));
    }
    batches *= table[d];
  }
  const int64_t rows = table[axis];
  FIRN_TRY(c.allow(static_cast<size_t>(batches) * sizeof(int64_t)));
  std::vector<int64_t> first;
  for (int64_t b = 0; b < batches; ++b) first.push_back(b * rows);
  Shape first_shape = wanted;
  for (int d = batch_dims; d < wanted.rank; ++d) first_shape[d] = 1;
  std::vector<TargetDim> flat{TargetDim::of(batches * rows)};
  for (int d = axis + 1; d < table.rank; ++d) flat.push_back(TargetDim::of(table[d]));
  FIRN_ASSIGN(const ValueId offsets, c.constant<int64_t>("first", first_shape, first));
  FIRN_ASSIGN(const ValueId wide, c.convert("wide", indices, DType::i64));
  FIRN_ASSIGN(const ValueId moved, c.binary("moved", Binary::Kind::add, wide, offsets));
  FIRN_ASSIGN(const ValueId rows_of, c.reshape("rows", x, flat));
  return c.move("", Gather{0}, {rows_of, moved});
}

Status gather(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::GatherOptions>(wire::BuiltinOptions::Gather));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  const int32_t stated = options == nullptr ? 0 : options->axis();
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  int32_t batch_dims = options == nullptr ? 0 : options->batch_dims();
  if (batch_dims < 0) batch_dims += c.rank(indices);
  if (batch_dims < 0 || batch_dims > axis) {
    return c.malformed(std::to_string(batch_dims) + " batch dimensions before axis " +
                       std::to_string(axis));
  }
  if (batch_dims > 0) return c.bind(gather_batches(c, x, indices, axis, batch_dims));
  return c.bind(c.move("", Gather{axis}, {x, indices}));
}

// A condition of rank 1 chooses whole rows, where SELECT gives it to tensors of more dimensions.
Status select(Context& c, bool by_rows) {
  FIRN_ASSIGN(ValueId condition, c.input(0));
  FIRN_ASSIGN(const ValueId a, c.number(1));
  FIRN_ASSIGN(const ValueId b, c.number(2));
  if (by_rows && c.rank(condition) == 1 && c.rank(a) > 1) {
    std::vector<TargetDim> to{TargetDim::copy(0)};
    to.resize(static_cast<size_t>(c.rank(a)), TargetDim::of(1));
    FIRN_ASSIGN(condition, c.reshape("rows", condition, to));
  }
  return c.bind(c.emit("", Where{}, {condition, a, b}));
}

Status select_v1(Context& c) {
  return select(c, true);
}
Status select_v2(Context& c) {
  return select(c, false);
}

// On where the position along the new axis is the index, off elsewhere.
Status one_hot(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::OneHotOptions>(wire::BuiltinOptions::OneHot));
  FIRN_ASSIGN(const ValueId indices, c.input(0));
  FIRN_ASSIGN(const std::vector<int64_t> depth, c.ints(1));
  FIRN_ASSIGN(const ValueId on, c.number(2));
  FIRN_ASSIGN(const ValueId off, c.number(3));
  if (depth.size() != 1 || depth[0] < 0 || depth[0] > kFarEnd) {
    return c.malformed("its depth is not one number from 0");
  }
  const int rank = c.rank(indices) + 1;
  FIRN_ASSIGN(const int32_t axis, c.axis(options->axis(), rank));
  FIRN_TRY(c.allow(static_cast<size_t>(depth[0]) * sizeof(int64_t)));
  std::vector<int64_t> positions(static_cast<size_t>(depth[0]));
  std::iota(positions.begin(), positions.end(), 0);
  Shape along{static_cast<int32_t>(depth[0])};
  for (int d = axis + 1; d < rank && along.rank < kMaxRank; ++d) along[along.rank++] = 1;
  std::vector<TargetDim> to;
  for (int d = 0; d + 1 < rank; ++d) to.push_back(TargetDim::copy(d));
  to.insert(to.begin() + axis, TargetDim::of(1));
  FIRN_ASSIGN(const ValueId position, c.constant<int64_t>("positions", along, positions));
  FIRN_ASSIGN(const ValueId wide, c.convert("wide", indices, DType::i64));
  FIRN_ASSIGN(const ValueId index, c.reshape("index", wide, to));
  FIRN_ASSIGN(const ValueId hot, c.binary("hot", Binary::Kind::equal, index, position));
  return c.bind(c.emit("", Where{}, {hot, on, off}));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::GATHER, gather},
    {wire::BuiltinOperator::ONE_HOT, one_hot},
    {wire::BuiltinOperator::SELECT, select_v1},
    {wire::BuiltinOperator::SELECT_V2, select_v2},
    {wire::BuiltinOperator::SLICE, slice},
    {wire::BuiltinOperator::SPLIT, split},
    {wire::BuiltinOperator::SPLIT_V, split_v},
    {wire::BuiltinOperator::STRIDED_SLICE, strided_slice},
    {wire::BuiltinOperator::UNPACK, unpack},
};

}  // namespace

std::span<const Operator> select_operators() {
  return kOperators;
}

}  // namespace firn::tflite
