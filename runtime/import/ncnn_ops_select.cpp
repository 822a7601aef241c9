// SPDX-License-Identifier: Apache-2.0
// Parts of blobs, and blobs with a border.
#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/import/ncnn_expression.h"
#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

// ncnn leaves sizes and positions out with this number.
constexpr int32_t kNone = -233;
constexpr int32_t kEdge = std::numeric_limits<int32_t>::max();

// A part for each output: by sizes, of which -233 is a fair share of what is left, or by the
// positions where the parts meet.
Status slice(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const std::vector<int32_t> sizes, c.ints(0));
  FIRN_ASSIGN(const int32_t stated, c.param(1, 0));
  FIRN_ASSIGN(const std::vector<int32_t> indices, c.ints(2));
  FIRN_ASSIGN(const int32_t axis, c.blob_axis(stated, x));
  const size_t count = c.output_count();
  const bool by_index = !indices.empty();
  if (by_index ? indices.size() + 1 < count : sizes.size() < count) {
    return c.malformed(std::to_string(by_index ? indices.size() : sizes.size()) +
                       (by_index ? " positions for " : " sizes for ") + std::to_string(count) +
                       " outputs");
  }
  FIRN_ASSIGN(const int32_t whole, c.known_dim(x, axis));
  int32_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    int64_t size = 0;
    if (by_index) {
      const int64_t index = i + 1 == count ? whole : indices[i];
      size = (index < 0 ? whole + index : index) - begin;
    } else {
      size = sizes[i] == kNone ? (whole - begin) / static_cast<int64_t>(count - i) : sizes[i];
    }
    if (size < 1 || size > whole - begin) {
      return c.malformed("part " + std::to_string(i) + " has size " + std::to_string(size) +
                         " from " + std::to_string(begin) + " of " + std::to_string(whole));
    }
    const auto end = static_cast<int32_t>(begin + size);
    const std::string suffix = i == 0 ? "" : "part_" + std::to_string(i);
    FIRN_TRY(c.bind(c.slice(suffix, x, axis, begin, end), i));
    begin = end;
  }
  return {};
}

// The part of each axis that a Crop keeps.
struct Ranges {
  std::vector<int32_t> begin, end;
  explicit Ranges(int rank)
      : begin(static_cast<size_t>(rank)), end(static_cast<size_t>(rank), kEdge) {}
};

Result<ValueId> keep(Context& c, ValueId x, const Ranges& ranges) {
  Slice op;
  op.begin = ranges.begin;
  op.end = ranges.end;
  op.step.assign(ranges.begin.size(), 1);
  return c.emit("", std::move(op), {x});
}

// starts, ends and axes, as NumPy slices.
Result<ValueId> crop_by_axes(Context& c, ValueId x, std::vector<int32_t> starts,
                             std::vector<int32_t> ends, std::vector<int32_t> axes) {
  if (axes.empty()) {
    axes.resize(static_cast<size_t>(c.dims(x)));
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (starts.size() < axes.size() || ends.size() < axes.size()) {
    return c.malformed(std::to_string(starts.size()) + " starts and " +
                       std::to_string(ends.size()) + " ends for " + std::to_string(axes.size()) +
                       " axes");
  }
  Ranges ranges(c.rank(x));
  for (size_t i = 0; i < axes.size(); ++i) {
    FIRN_ASSIGN(const int32_t axis, c.blob_axis(axes[i], x));
    const auto at = static_cast<size_t>(axis);
    ranges.begin[at] = starts[i] == kNone ? 0 : starts[i];
    ranges.end[at] = ends[i] == kNone || ends[i] == 0 ? kEdge : ends[i];
  }
  return keep(c, x, ranges);
}

// The parameters of one dimension: the offset, the size and the offset from the other end.
struct CropIds {
  int offset, size, offset2;
};
constexpr CropIds kWidth{0, 3, 6}, kHeight{1, 4, 7}, kDepth{13, 14, 15}, kChannels{2, 5, 8};

// Outermost first.
std::vector<CropIds> crop_ids(int dims) {
  std::vector<CropIds> ids{kWidth};
  if (dims > 1) ids.insert(ids.begin(), kHeight);
  if (dims > 3) ids.insert(ids.begin(), kDepth);
  if (dims > 2) ids.insert(ids.begin(), kChannels);
  return ids;
}

// A crop of parameters that a dimension's numbers say, or of the size of a second blob.
Result<ValueId> crop_by_offsets(Context& c, ValueId x, std::optional<ValueId> like) {
  FIRN_TRY(c.expect_dims(x, 1, 4));
  Ranges ranges(c.rank(x));
  const std::vector<CropIds> ids = crop_ids(c.dims(x));
  for (size_t d = 0; d < ids.size(); ++d) {
    FIRN_ASSIGN(const int32_t begin, c.at_least(0, ids[d].offset, "an offset", 0));
    FIRN_ASSIGN(const int32_t behind, c.at_least(0, ids[d].offset2, "an offset", 0));
    FIRN_ASSIGN(const int32_t stated, c.param(ids[d].size, 0));
    int64_t end = behind == 0 ? kEdge : -int64_t{behind};
    const bool outermost = d == 0 && ids.size() > 2;
    if (like && !(outermost && c.dims(*like) != c.dims(x))) {
      // Aligned from the inside: a blob of fewer dimensions is one of 1 in the others.
      const int at = c.rank(*like) - static_cast<int>(ids.size() - d);
      int32_t size = 1;
      if (at > 0) {
        FIRN_ASSIGN(size, c.known_dim(*like, at));
      }
      end = int64_t{begin} + size;
    } else if (!like && stated != kNone) {
      if (stated < 1) return c.malformed("a size is " + std::to_string(stated));
      FIRN_ASSIGN(const int64_t whole, c.known_dim(x, static_cast<int>(d) + 1));
      end = std::min<int64_t>(int64_t{begin} + stated, whole - behind);
    }
    ranges.begin[d + 1] = begin;
    ranges.end[d + 1] = static_cast<int32_t>(std::min<int64_t>(end, kEdge));
  }
  return keep(c, x, ranges);
}

Status crop(Context& c) {
  const bool computed = c.has(19) && c.has(20);
  FIRN_TRY(c.expect_inputs(1, computed ? c.input_count() : 2));
  FIRN_ASSIGN(const ValueId x, c.input());
  if (computed || (c.has(9) && c.has(10))) {
    FIRN_ASSIGN(std::vector<int32_t> starts, computed ? sizes_from(c, 19) : c.ints(9));
    FIRN_ASSIGN(std::vector<int32_t> ends, computed ? sizes_from(c, 20) : c.ints(10));
    FIRN_ASSIGN(std::vector<int32_t> axes, computed ? sizes_from(c, 21) : c.ints(11));
    return c.bind(crop_by_axes(c, x, std::move(starts), std::move(ends), std::move(axes)));
  }
  std::optional<ValueId> like;
  if (c.input_count() == 2) {
    FIRN_ASSIGN(const int32_t offset, c.param(0, 0));
    if (offset == kNone) return c.unsupported("a range that another layer computes");
    FIRN_ASSIGN(like, c.input(1));
  }
  return c.bind(crop_by_offsets(c, x, like));
}

Status padding(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 1, 4));
  FIRN_ASSIGN(const int32_t type, c.param(4, 0));
  FIRN_ASSIGN(const int32_t per_channel, c.param(6, 0));
  if (per_channel != 0) return c.unsupported("a value for each channel");
  Pad op;
  FIRN_ASSIGN(op.value, c.param(5, 0.0f));
  switch (type) {
    case 0:
      break;
    case 1:
      op.mode = Pad::Mode::edge;
      break;
    case 2:
      op.mode = Pad::Mode::reflect;
      break;
    default:
      return c.malformed("type is " + std::to_string(type) + ", expected 0 to 2");
  }
  const auto rank = static_cast<size_t>(c.rank(x));
  op.before.assign(rank, 0);
  op.after.assign(rank, 0);
  // Innermost first: left and right, top and bottom, front and behind.
  constexpr std::array<std::pair<int, int>, 3> kIds{{{2, 3}, {0, 1}, {7, 8}}};
  const size_t padded = std::min<size_t>(rank - 1, kIds.size());
  for (size_t d = 0; d < padded; ++d) {
    const size_t axis = rank - 1 - d;
    FIRN_ASSIGN(op.before[axis], c.at_least(0, kIds[d].first, "padding", 0));
    FIRN_ASSIGN(op.after[axis], c.at_least(0, kIds[d].second, "padding", 0));
  }
  return c.bind(c.emit("", std::move(op), {x}));
}

Status flip(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const std::vector<int32_t> axes, c.ints(0));
  Ranges ranges(c.rank(x));
  Slice op;
  op.begin = ranges.begin;
  op.end = ranges.end;
  op.step.assign(ranges.begin.size(), 1);
  for (const int32_t entry : axes) {
    FIRN_ASSIGN(const int32_t axis, c.blob_axis(entry, x));
    const auto at = static_cast<size_t>(axis);
    op.begin[at] = kEdge;
    op.end[at] = std::numeric_limits<int32_t>::min();
    op.step[at] = -1;
  }
  return c.bind(c.emit("", std::move(op), {x}));
}

constexpr Operator kOperators[] = {
    {"Crop", crop},
    {"Flip", flip},
    {"Padding", padding},
    {"Slice", slice},
};

}  // namespace

std::span<const Operator> select_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
