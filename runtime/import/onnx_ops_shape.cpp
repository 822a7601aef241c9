// SPDX-License-Identifier: Apache-2.0
// Operators that give a tensor another shape, and those that tell its shape.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

Status reshape(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId target, c.input(1));
  FIRN_ASSIGN(const int64_t allow_zero, c.attr("allowzero", int64_t{0}));
  if (!c.builder.is_constant(target)) {
    return c.bind(c.emit("", Reshape{{}, true, allow_zero != 0}, {x, target}));
  }
  FIRN_ASSIGN(const std::vector<int64_t> dims, c.constant_ints(1));
  std::vector<TargetDim> to;
  int open = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t dim = dims[i];
    if (dim < -1 || dim > std::numeric_limits<int32_t>::max()) {
      return c.malformed("shape has dimension " + std::to_string(dim));
    }
    if (dim == -1 && ++open > 1) return c.malformed("shape has more than one -1");
    if (dim == 0 && allow_zero == 0) {
      if (static_cast<int>(i) >= c.rank(x)) {
        return c.malformed("shape copies dimension " + std::to_string(i) + " of input " +
                           to_string(c.shape(x)));
      }
      to.push_back(TargetDim::copy(static_cast<int>(i)));
    } else {
      to.push_back(TargetDim::of(dim));
    }
  }
  return c.bind(c.reshape("", x, to));
}

// The product of dimensions [begin, end), or -1 where one is open.
int64_t product(const Shape& shape, int begin, int end) {
  int64_t result = 1;
  for (int d = begin; d < end; ++d) {
    if (shape[d] < 0) return -1;
    result *= shape[d];
  }
  return result;
}

Status flatten(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(int64_t axis, c.attr("axis", int64_t{1}));
  const Shape& shape = c.shape(x);
  if (axis < 0) axis += shape.rank;
  if (axis < 0 || axis > shape.rank) {
    return c.malformed("axis " + std::to_string(axis) + " of " + to_string(shape));
  }
  const int split = static_cast<int>(axis);
  if (split == 1) return c.bind(c.reshape("", x, {TargetDim::copy(0), TargetDim::rest()}));
  const int64_t outer = product(shape, 0, split), inner = product(shape, split, shape.rank);
  if (outer < 0 && inner < 0) {
    return c.unsupported("open dimensions on both sides of axis " + std::to_string(axis) + ": " +
                         to_string(shape));
  }
  return c.bind(c.reshape("", x, {TargetDim::of(outer), TargetDim::of(inner)}));
}

// The axes of Squeeze and Unsqueeze: an attribute before opset 13, an input since; sorted.
Result<std::vector<int32_t>> axes_of(Context& c, int rank) {
  std::vector<int64_t> axes;
  if (c.opset < 13) {
    FIRN_ASSIGN(axes, c.attr_ints("axes"));
  } else if (c.has(1)) {
    FIRN_ASSIGN(axes, c.constant_ints(1));
  }
  std::vector<int32_t> result;
  for (const int64_t axis : axes) {
    FIRN_ASSIGN(const int32_t positive, c.axis(axis, rank));
    result.push_back(positive);
  }
  std::ranges::sort(result);
  if (std::ranges::adjacent_find(result) != result.end())
    return c.malformed("an axis occurs twice");
  return result;
}

// Axes that are computed, which there must be then.
Status computed_axes(Context& c, bool insert) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId axes, c.input(1));
  return c.bind(c.emit("", Squeeze{insert}, {x, axes}));
}

Status squeeze(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.opset >= 13 && !c.is_known(1)) return computed_axes(c, false);
  const Shape& shape = c.shape(x);
  FIRN_ASSIGN(std::vector<int32_t> axes, axes_of(c, shape.rank));
  if (axes.empty()) {
    if (!shape.known()) return c.unsupported("without axes, of " + to_string(shape));
    for (int32_t d = 0; d < shape.rank; ++d) {
      if (shape[d] == 1) axes.push_back(d);
    }
  }
  std::vector<TargetDim> to;
  for (int32_t d = 0; d < shape.rank; ++d) {
    if (!std::ranges::binary_search(axes, d)) {
      to.push_back(TargetDim::copy(d));
    } else if (shape[d] != 1) {
      return c.malformed("axis " + std::to_string(d) + " of " + to_string(shape) + " is not 1");
    }
  }
  return c.bind(c.reshape("", x, to));
}

Status unsqueeze(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.opset >= 13 && c.has(1) && !c.is_known(1)) return computed_axes(c, true);
  size_t added = 0;
  if (c.opset < 13) {
    FIRN_ASSIGN(const std::vector<int64_t> axes, c.attr_ints("axes"));
    added = axes.size();
  } else {
    FIRN_ASSIGN(const std::vector<int64_t> axes, c.constant_ints(1));
    added = axes.size();
  }
  if (added > kMaxRank) return c.unsupported("a rank above " + std::to_string(kMaxRank));
  const int rank = c.rank(x) + static_cast<int>(added);
  FIRN_ASSIGN(const std::vector<int32_t> axes, axes_of(c, rank));
  std::vector<TargetDim> to;
  int source = 0;
  for (int32_t d = 0; d < rank; ++d) {
    to.push_back(std::ranges::binary_search(axes, d) ? TargetDim::of(1)
                                                     : TargetDim::copy(source++));
  }
  return c.bind(c.reshape("", x, to));
}

// The dimensions [begin, end) of x: a constant where they are known.
Result<ValueId> shape_of(Context& c, std::string_view suffix, ValueId x, int32_t begin,
                         int32_t end) {
  std::vector<int64_t> dims;
  for (int32_t d = begin; d < end; ++d) dims.push_back(c.shape(x)[d]);
  if (std::ranges::all_of(dims, [](int64_t dim) { return dim >= 0; })) {
    return c.constant<int64_t>(suffix, {static_cast<int32_t>(dims.size())}, dims);
  }
  return c.emit(suffix, ShapeOf{begin, end}, {x});
}

Status shape(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const int64_t rank = c.rank(x);
  FIRN_ASSIGN(int64_t begin, c.attr("start", int64_t{0}));
  FIRN_ASSIGN(int64_t end, c.attr("end", rank));
  begin = std::clamp<int64_t>(begin < 0 ? begin + rank : begin, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, 0, rank);
  return c.bind(
      shape_of(c, "", x, static_cast<int32_t>(begin), static_cast<int32_t>(std::max(begin, end))));
}

Status size(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId dims, shape_of(c, "shape", x, 0, c.rank(x)));
  return c.bind(c.reduce("", Reduce::Kind::prod, dims, {0}, false));
}

Status expand(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId target, c.input(1));
  return c.bind(c.emit("", Expand{}, {x, target}));
}

constexpr Operator kOperators[] = {
    {"Expand", expand}, {"Flatten", flatten}, {"Reshape", reshape},     {"Shape", shape},
    {"Size", size},     {"Squeeze", squeeze}, {"Unsqueeze", unsqueeze},
};

}  // namespace

std::span<const Operator> shape_operators() {
  return kOperators;
}

}  // namespace firn::onnx
