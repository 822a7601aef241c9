// SPDX-License-Identifier: Apache-2.0
// Resize and its predecessor Upsample, over height and width.
#include <array>
#include <cmath>
#include <optional>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

// Factors or sizes by axis, as far as they are stated.
struct Target {
  std::array<std::optional<float>, kMaxRank> scale;
  std::array<std::optional<int64_t>, kMaxRank> size;
};

// The axes that scales and sizes speak of: all, or since opset 18 those of an attribute.
Result<std::vector<int32_t>> target_axes(Context& c, int rank) {
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.attr_ints("axes"));
  std::vector<int32_t> axes;
  for (int32_t d = 0; stated.empty() && d < rank; ++d) axes.push_back(d);
  for (const int64_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.axis(entry, rank));
    axes.push_back(axis);
  }
  return axes;
}

Status set_scales(const Context& c, const std::vector<float>& scales,
                  const std::vector<int32_t>& axes, Target& target) {
  if (scales.size() != axes.size()) {
    return c.malformed("scales has " + std::to_string(scales.size()) + " entries, expected " +
                       std::to_string(axes.size()));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!(scales[i] > 0) || std::isinf(scales[i])) {
      return c.malformed("a scale is " + std::to_string(scales[i]));
    }
    target.scale[static_cast<size_t>(axes[i])] = scales[i];
  }
  return {};
}

Status set_sizes(Context& c, size_t input, const std::vector<int32_t>& axes, Target& target) {
  FIRN_ASSIGN(const std::vector<std::optional<int64_t>> sizes, c.known_ints(input));
  if (sizes.size() != axes.size()) {
    return c.malformed("sizes has " + std::to_string(sizes.size()) + " entries, expected " +
                       std::to_string(axes.size()));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    // An open size may be the batch's; height and width are asked for again.
    if (sizes[i] && *sizes[i] < 1) return c.malformed("a size is " + std::to_string(*sizes[i]));
    target.size[static_cast<size_t>(axes[i])] = sizes[i];
  }
  FIRN_ASSIGN(const std::string policy, c.attr("keep_aspect_ratio_policy", "stretch"));
  if (policy != "stretch") return c.unsupported("keep_aspect_ratio_policy '" + policy + "'");
  return {};
}

// Batch and channels must stay as they are.
Status check_outer(const Context& c, ValueId x, const Target& target) {
  for (size_t d = 0; d < 2; ++d) {
    const int32_t dim = c.shape(x)[static_cast<int>(d)];
    const bool scaled = target.scale[d] && *target.scale[d] != 1.0f;
    const bool sized = target.size[d] && dim >= 0 && *target.size[d] != dim;
    if (scaled || sized) return c.unsupported("batch or channels are resized");
  }
  return {};
}

// Rows and columns (of one spatial dimension: columns only) into `op`.
Status set_spatial(const Context& c, ValueId x, const Target& target, bool sizes, Resize2d& op) {
  const int rank = c.rank(x);
  for (int d = 2; d < rank; ++d) {
    const size_t axis = static_cast<size_t>(d), a = static_cast<size_t>(d + 4 - rank) - 2;
    const int32_t dim = c.shape(x)[d];
    if (target.size[axis]) {
      FIRN_ASSIGN(op.size[a], to_int32(c, "a size", *target.size[axis]));
    } else if (target.scale[axis]) {
      op.scale[a] = *target.scale[axis];
      // The standard then takes the corners of the fractional size, runtimes of the whole one.
      const bool whole = dim >= 0 ? std::floor(static_cast<float>(dim) * op.scale[a]) ==
                                        static_cast<float>(dim) * op.scale[a]
                                  : std::floor(op.scale[a]) == op.scale[a];
      if (op.coordinates == Resize2d::Coordinates::align_corners && !whole) {
        return c.unsupported("align_corners with a fractional output size");
      }
    } else if (sizes && dim < 0) {
      return c.unsupported("an output size is not known");
    }
  }
  return {};
}

Result<ValueId> emit_resize(Context& c, ValueId x, const Resize2d& op) {
  const int rank = c.rank(x);
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc}));
  return from_nhwc(c, y, rank);
}

Status set_kind(const Context& c, const std::string& mode, Resize2d& op) {
  if (mode == "nearest") {
    op.kind = Resize2d::Kind::nearest;
  } else if (mode == "linear" || mode == "bilinear") {
    op.kind = Resize2d::Kind::bilinear;
  } else {
    return c.unsupported("mode '" + mode + "' is not supported");
  }
  return {};
}

Status set_coordinates(Context& c, Resize2d& op) {
  using Coordinates = Resize2d::Coordinates;
  using Nearest = Resize2d::Nearest;
  FIRN_ASSIGN(const std::string mode, c.attr("coordinate_transformation_mode", "half_pixel"));
  if (mode == "half_pixel") {
    op.coordinates = Coordinates::half_pixel;
  } else if (mode == "pytorch_half_pixel") {
    op.coordinates = Coordinates::pytorch_half_pixel;
  } else if (mode == "asymmetric") {
    op.coordinates = Coordinates::asymmetric;
  } else if (mode == "align_corners") {
    op.coordinates = Coordinates::align_corners;
  } else {
    return c.unsupported("coordinate_transformation_mode '" + mode + "' is not supported");
  }
  FIRN_ASSIGN(const std::string nearest, c.attr("nearest_mode", "round_prefer_floor"));
  if (nearest == "round_prefer_floor") {
    op.nearest = Nearest::round_prefer_floor;
  } else if (nearest == "round_prefer_ceil") {
    op.nearest = Nearest::round_prefer_ceil;
  } else if (nearest == "floor") {
    op.nearest = Nearest::floor;
  } else if (nearest == "ceil") {
    op.nearest = Nearest::ceil;
  } else {
    return c.malformed("nearest_mode is '" + nearest + "'");
  }
  return {};
}

Status check_rank(const Context& c, ValueId x) {
  if (c.rank(x) == 3 || c.rank(x) == 4) return {};
  return c.unsupported("an input of rank " + std::to_string(c.rank(x)) + ", supported are 3 and 4");
}

// Inputs x, roi, scales, sizes; the region counts in a mode that is not supported alone.
Status resize_11(Context& c, ValueId x) {
  Resize2d op;
  FIRN_ASSIGN(const std::string mode, c.attr("mode", "nearest"));
  FIRN_TRY(set_kind(c, mode, op));
  FIRN_TRY(set_coordinates(c, op));
  FIRN_ASSIGN(const int64_t antialias, c.attr("antialias", int64_t{0}));
  if (antialias != 0) return c.unsupported("antialias is not supported");
  for (const char* of_other_modes :
       {"cubic_coeff_a", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy"}) {
    static_cast<void>(c.find(of_other_modes));
  }
  FIRN_ASSIGN(const std::vector<int32_t> axes, target_axes(c, c.rank(x)));
  Target target;
  const ValueId scales = c.optional_input(2);
  // An empty tensor is another way to leave scales out.
  const bool by_scales = scales != ValueId::none &&
                         !(c.has(3) && c.shape(scales).known() && c.shape(scales).elements() == 0);
  if (by_scales) {
    FIRN_ASSIGN(const std::vector<float> factors, c.constant_floats(2));
    FIRN_TRY(set_scales(c, factors, axes, target));
  } else {
    FIRN_TRY(set_sizes(c, 3, axes, target));
  }
  FIRN_TRY(check_outer(c, x, target));
  for (const int32_t axis : axes) {
    if (!by_scales && axis >= 2 && !target.size[static_cast<size_t>(axis)]) {
      return c.unsupported("the output size depends on open dimensions");
    }
  }
  FIRN_TRY(set_spatial(c, x, target, !by_scales, op));
  return c.bind(emit_resize(c, x, op));
}

// Upsample and the first Resize: pixel x comes from x / scale; the nearest below when enlarging,
// the nearest above when shrinking.
Status resize_by_scales(Context& c, ValueId x, const std::vector<float>& scales) {
  Resize2d op;
  FIRN_ASSIGN(const std::string mode, c.attr("mode", "nearest"));
  FIRN_TRY(set_kind(c, mode, op));
  op.coordinates = Resize2d::Coordinates::asymmetric;
  FIRN_ASSIGN(const std::vector<int32_t> axes, target_axes(c, c.rank(x)));
  Target target;
  FIRN_TRY(set_scales(c, scales, axes, target));
  FIRN_TRY(check_outer(c, x, target));
  FIRN_TRY(set_spatial(c, x, target, false, op));
  const bool shrinks = op.scale[0] < 1 || op.scale[1] < 1;
  if (shrinks && (op.scale[0] > 1 || op.scale[1] > 1)) {
    return c.unsupported("shrinking one dimension and enlarging the other");
  }
  op.nearest = shrinks ? Resize2d::Nearest::ceil : Resize2d::Nearest::floor;
  return c.bind(emit_resize(c, x, op));
}

Status resize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(check_rank(c, x));
  if (c.opset >= 11) return resize_11(c, x);
  FIRN_ASSIGN(const std::vector<float> scales, c.constant_floats(1));
  return resize_by_scales(c, x, scales);
}

Status upsample(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(check_rank(c, x));
  std::vector<float> scales;
  if (c.opset < 9) {
    FIRN_ASSIGN(scales, c.attr_floats("scales"));
  } else {
    FIRN_ASSIGN(scales, c.constant_floats(1));
  }
  return resize_by_scales(c, x, scales);
}

constexpr Operator kOperators[] = {
    {"Resize", resize},
    {"Upsample", upsample},
};

}  // namespace

std::span<const Operator> resize_operators() {
  return kOperators;
}

}  // namespace firn::onnx
