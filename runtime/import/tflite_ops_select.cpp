// SPDX-License-Identifier: Apache-2.0
// Operators that pick elements: splits, gathers, choices.
#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

constexpr int32_t kFarEnd = std::numeric_limits<int32_t>::max();

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
    {wire::BuiltinOperator::GATHER, gather},    {wire::BuiltinOperator::ONE_HOT, one_hot},
    {wire::BuiltinOperator::SELECT, select_v1}, {wire::BuiltinOperator::SELECT_V2, select_v2},
    {wire::BuiltinOperator::SPLIT, split},      {wire::BuiltinOperator::SPLIT_V, split_v},
    {wire::BuiltinOperator::UNPACK, unpack},
};

}  // namespace

std::span<const Operator> select_operators() {
  return kOperators;
}

}  // namespace firn::tflite
