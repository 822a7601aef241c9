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

Status slice(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
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

Status split(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
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

// A mask of the last two dimensions, which therefore have to be known.
Status trilu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t upper, c.attr("upper", int64_t{1}));
  int64_t k = 0;
  if (c.has(1)) {
    FIRN_ASSIGN(const std::vector<int64_t> values, c.constant_ints(1));
    if (values.size() != 1) return c.malformed("k is not a scalar");
    k = values[0];
  }
  const Shape& shape = c.shape(x);
  if (shape.rank < 2) return c.malformed("an input of rank " + std::to_string(shape.rank));
  const int32_t rows = shape[shape.rank - 2], columns = shape[shape.rank - 1];
  if (rows < 0 || columns < 0) return c.unsupported("open dimensions: " + to_string(shape));
  FIRN_ASSIGN(const size_t elements, checked_elements({rows, columns}));
  FIRN_TRY(c.allow(elements));
  std::vector<uint8_t> keep(elements);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      // |k| may be as large as an int64: no sum with it may overflow.
      const bool on_upper = j - i >= k, on_lower = j - i <= k;
      keep[static_cast<size_t>(i * columns + j)] = upper != 0 ? on_upper : on_lower;
    }
  }
  FIRN_ASSIGN(const ValueId numbers, c.constant<uint8_t>("triangle", {rows, columns}, keep));
  FIRN_ASSIGN(const ValueId mask, c.convert("mask", numbers, DType::boolean));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", c.type(x), 0));
  return c.bind(c.emit("", Where{}, {mask, x, zero}));
}

// Where the (wrapped) index equals the position along the new axis, on; else off.
Status one_hot(Context& c) {
  FIRN_ASSIGN(ValueId indices, c.input(0));
  FIRN_ASSIGN(const ValueId depth_input, c.input(1));
  FIRN_ASSIGN(const ValueId values, c.input(2));
  int64_t depth = 0;
  if (c.type(depth_input) == DType::f32) {
    FIRN_ASSIGN(const std::vector<float> depths, c.constant_floats(1));
    if (depths.size() == 1 && depths[0] >= 1 && depths[0] < 1e6f) {
      depth = static_cast<int64_t>(depths[0]);
    }
  } else {
    FIRN_ASSIGN(const std::vector<int64_t> depths, c.constant_ints(1));
    if (depths.size() == 1) depth = depths[0];
  }
  if (depth < 1 || depth > 1000000) return c.malformed("depth is not a scalar from 1 to 1000000");
  const int rank = c.rank(indices);
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, rank + 1));
  if (c.type(indices) != DType::i64) {
    FIRN_ASSIGN(indices, c.convert("whole", indices, DType::i64));
  }
  std::vector<TargetDim> to;
  Shape along;
  along.rank = static_cast<uint8_t>(std::min(rank + 1, kMaxRank));
  for (int d = 0, source = 0; d <= rank; ++d) {
    to.push_back(d == axis ? TargetDim::of(1) : TargetDim::copy(source++));
    if (d < kMaxRank) along[d] = d == axis ? static_cast<int32_t>(depth) : 1;
  }
  FIRN_ASSIGN(indices, c.reshape("columns", indices, to));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", DType::i64, 0));
  FIRN_ASSIGN(const ValueId size, c.scalar("depth", DType::i64, static_cast<double>(depth)));
  FIRN_ASSIGN(const ValueId below, c.binary("below", Binary::Kind::less, indices, zero));
  FIRN_ASSIGN(const ValueId raised, c.binary("raised", Binary::Kind::add, indices, size));
  FIRN_ASSIGN(const ValueId wrapped, c.emit("wrapped", Where{}, {below, raised, indices}));
  FIRN_TRY(c.allow(static_cast<size_t>(depth) * sizeof(int64_t)));
  std::vector<int64_t> positions(static_cast<size_t>(depth));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);
  FIRN_ASSIGN(const ValueId position, c.constant<int64_t>("positions", along, positions));
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
