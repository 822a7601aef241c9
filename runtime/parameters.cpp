// SPDX-License-Identifier: Apache-2.0
// Reads attributes from constant inputs.
#include "runtime/parameters.h"

#include <algorithm>
#include <numeric>

#include "runtime/geometry.h"
#include "runtime/infer_context.h"

namespace firn {
namespace {

int32_t saturated(int64_t x) {
  return static_cast<int32_t>(std::clamp<int64_t>(x, INT32_MIN, INT32_MAX));
}

// The axes in input i, or all of x's where it is left out.
Result<std::vector<int>> axes_of(const InferContext& c, size_t i) {
  std::vector<int> axes(c.shape(0).rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (c.in(i) == nullptr) return axes;
  FIRN_ASSIGN(const std::vector<int64_t> given, c.constant_ints(i));
  axes.clear();
  for (const int64_t a : given) {
    FIRN_ASSIGN(const int axis, c.axis(saturated(a), c.shape(0).rank));
    if (std::ranges::count(axes, axis) > 0)
      return c.malformed("axis " + std::to_string(a) + " is given twice");
    axes.push_back(axis);
  }
  return axes;
}

Status expect_each(const InferContext& c, const char* what, size_t got, size_t expected) {
  if (got == expected) return {};
  return c.malformed(std::to_string(got) + " " + what + " for " + std::to_string(expected) +
                     " axes");
}

Result<Slice> read(const InferContext& c, const Slice&) {
  FIRN_TRY(c.expect_inputs(3, 5));
  FIRN_ASSIGN(const std::vector<int64_t> begin, c.constant_ints(1));
  FIRN_ASSIGN(const std::vector<int64_t> end, c.constant_ints(2));
  std::vector<int> axes;
  if (c.in(3) != nullptr) {
    FIRN_ASSIGN(axes, axes_of(c, 3));
  } else {
    if (begin.size() > c.shape(0).rank)
      return c.malformed(std::to_string(begin.size()) + " starts, input is " +
                         to_string(c.shape(0)));
    axes.resize(begin.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  std::vector<int64_t> step(axes.size(), 1);
  if (c.in(4) != nullptr) {
    FIRN_ASSIGN(step, c.constant_ints(4));
  }
  FIRN_TRY(expect_each(c, "starts", begin.size(), axes.size()));
  FIRN_TRY(expect_each(c, "ends", end.size(), axes.size()));
  FIRN_TRY(expect_each(c, "steps", step.size(), axes.size()));
  const size_t rank = c.shape(0).rank;
  Slice slice{std::vector<int32_t>(rank, 0), std::vector<int32_t>(rank, INT32_MAX),
              std::vector<int32_t>(rank, 1)};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    slice.begin[a] = saturated(begin[i]);
    slice.end[a] = saturated(end[i]);
    slice.step[a] = saturated(step[i]);
  }
  return slice;
}

Result<Pad> read(const InferContext& c, const Pad& op) {
  FIRN_TRY(c.expect_inputs(2, 4));
  FIRN_ASSIGN(const std::vector<int64_t> pads, c.constant_ints(1));
  FIRN_ASSIGN(const std::vector<int> axes, axes_of(c, 3));
  if (pads.size() != 2 * axes.size())
    return c.malformed(std::to_string(pads.size()) + " paddings for " +
                       std::to_string(axes.size()) + " axes");
  const size_t rank = c.shape(0).rank;
  Pad pad{op.mode, std::vector<int32_t>(rank, 0), std::vector<int32_t>(rank, 0), op.value};
  for (size_t i = 0; i < axes.size(); ++i) {
    pad.before[static_cast<size_t>(axes[i])] = saturated(pads[i]);
    pad.after[static_cast<size_t>(axes[i])] = saturated(pads[axes.size() + i]);
  }
  if (c.in(2) != nullptr) {
    FIRN_ASSIGN(pad.value, c.constant_number(2));
  }
  return pad;
}

Result<Reduce> read(const InferContext& c, const Reduce& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(std::vector<int> axes, axes_of(c, 1));
  if (axes.empty() && !op.none_if_empty) {
    axes.resize(c.shape(0).rank);
    std::iota(axes.begin(), axes.end(), 0);
  }
  std::ranges::sort(axes);
  return Reduce{op.kind, {axes.begin(), axes.end()}, op.keep};
}

Result<Resize> read(const InferContext& c, const Resize& op) {
  FIRN_TRY(c.expect_inputs(2, 3));
  Resize resize = op;
  resize.from = Resize::From::attributes;
  if (op.from == Resize::From::sizes) {
    FIRN_ASSIGN(const std::vector<int64_t> sizes, c.constant_ints(1));
    FIRN_TRY(expect_each(c, "sizes", sizes.size(), op.axes.size()));
    resize.size.clear();
    for (const int64_t size : sizes) {
      if (size < 1) return c.malformed("size is " + std::to_string(size));
      resize.size.push_back(saturated(size));
    }
  } else {
    FIRN_ASSIGN(resize.scale, c.constant_floats(1));
    FIRN_TRY(expect_each(c, "scales", resize.scale.size(), op.axes.size()));
  }
  if (c.in(2) == nullptr) return resize;
  FIRN_ASSIGN(const std::vector<float> ends, c.constant_floats(2));
  if (ends.size() != 2 * op.axes.size())
    return c.malformed(std::to_string(ends.size()) + " ends of what is cropped, for " +
                       std::to_string(op.axes.size()) + " axes");
  const auto middle = ends.begin() + static_cast<std::ptrdiff_t>(op.axes.size());
  resize.begin.assign(ends.begin(), middle);
  resize.end.assign(middle, ends.end());
  return resize;
}

template <typename T>
Result<Node> with_attributes(const Graph& graph, const Node& node) {
  const T* op = std::get_if<T>(&node.op);
  FIRN_ASSIGN(T read_op, read(InferContext{graph, node}, *op));
  return Node{node.name, std::move(read_op), {node.in[0]}, node.out};
}

}  // namespace

bool has_parameter_inputs(const Op& op) {
  const auto* slice = std::get_if<Slice>(&op);
  const auto* pad = std::get_if<Pad>(&op);
  const auto* reduce = std::get_if<Reduce>(&op);
  const auto* resize = std::get_if<Resize>(&op);
  return (slice != nullptr && slice->from_input) || (pad != nullptr && pad->from_input) ||
         (reduce != nullptr && reduce->from_input) ||
         (resize != nullptr && resize->from != Resize::From::attributes);
}

Result<Node> resolve_parameters(const Graph& graph, const Node& node) {
  if (std::holds_alternative<Slice>(node.op)) return with_attributes<Slice>(graph, node);
  if (std::holds_alternative<Pad>(node.op)) return with_attributes<Pad>(graph, node);
  if (std::holds_alternative<Reduce>(node.op)) return with_attributes<Reduce>(graph, node);
  if (std::holds_alternative<Resize>(node.op)) return with_attributes<Resize>(graph, node);
  return node;
}

std::vector<ValueId> shaping_inputs(const Node& node) {
  const std::span<const ValueId> in(node.in);
  const auto* reshape = std::get_if<Reshape>(&node.op);
  size_t first = in.size();
  if (std::holds_alternative<Fill>(node.op) || std::holds_alternative<Range>(node.op) ||
      std::holds_alternative<NonZero>(node.op) ||
      std::holds_alternative<DetectionOutput>(node.op) ||
      std::holds_alternative<NonMaxSuppression>(node.op)) {
    first = 0;
  } else if (has_parameter_inputs(node.op) || (reshape != nullptr && reshape->from_input) ||
             std::holds_alternative<Expand>(node.op) || std::holds_alternative<Tile>(node.op) ||
             std::holds_alternative<Squeeze>(node.op) || std::holds_alternative<TopK>(node.op)) {
    first = 1;
  }
  std::vector<ValueId> shaping;
  for (const ValueId id : in.subspan(std::min(first, in.size())))
    if (id != ValueId::none) shaping.push_back(id);
  return shaping;
}

}  // namespace firn
