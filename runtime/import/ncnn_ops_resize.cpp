// SPDX-License-Identifier: Apache-2.0
// Resizing over height and width, and sampling at stated positions.
#include <algorithm>
#include <cmath>

#include "runtime/import/ncnn_expression.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

enum Kind : int32_t { kNearest = 1, kBilinear, kBicubic };

// Height and width that are stated, computed, or a second blob's; 0: by scale.
Result<std::array<int32_t, 2>> stated_size(Context& c) {
  std::array<int32_t, 2> size{};
  FIRN_ASSIGN(const std::vector<int32_t> computed, sizes_from(c, 9));
  if (!computed.empty()) {  // the width first, the height perhaps
    if (computed.size() > 2 || std::ranges::any_of(computed, [](int32_t s) { return s < 1; })) {
      return c.malformed("its size is computed as " + std::to_string(computed.size()) +
                         " numbers, the first " + std::to_string(computed[0]));
    }
    size = {computed.back(), computed[0]};
    if (computed.size() == 1) {
      FIRN_ASSIGN(const ValueId x, c.input());
      FIRN_ASSIGN(size[0], c.known_dim(x, axis_of('h', c.dims(x))));
    }
    return size;
  }
  if (c.input_count() == 2) {
    FIRN_ASSIGN(const ValueId like, c.input(1));
    FIRN_TRY(c.expect_dims(like, 3, 3));
    for (int a = 0; a < 2; ++a) {
      FIRN_ASSIGN(size[static_cast<size_t>(a)], c.known_dim(like, a + 2));
    }
    return size;
  }
  FIRN_ASSIGN(size[0], c.at_least(0, 3, "output height", 0));
  FIRN_ASSIGN(size[1], c.at_least(0, 4, "output width", 0));
  if (size[0] == 0 || size[1] == 0) size = {0, 0};
  return size;
}

Result<int32_t> scaled_size(const Context& c, int32_t size, float scale) {
  const float target = std::floor(static_cast<float>(size) * scale);
  if (target >= 1 && target < 0x1p31f) return static_cast<int32_t>(target);
  return c.malformed("scale " + std::to_string(scale) + " of " + std::to_string(size));
}

// Of scales, ncnn maps positions by the scales themselves, but corner to corner by sizes.
Status set_scales(const Context& c, ValueId image, Resize2d& op) {
  for (size_t a = 0; a < 2; ++a) {
    FIRN_ASSIGN(op.scale[a], c.param(a == 0 ? 1 : 2, 1.0f));
    if (!(op.scale[a] > 0) || std::isinf(op.scale[a])) {
      return c.malformed("a scale is " + std::to_string(op.scale[a]));
    }
    if (op.coordinates != Resize2d::Coordinates::align_corners) continue;
    FIRN_ASSIGN(const int32_t size, c.known_dim(image, static_cast<int>(a) + 1));
    FIRN_ASSIGN(op.size[a], scaled_size(c, size, op.scale[a]));
    op.scale[a] = 1;
  }
  return {};
}

// A vector: each number fills an image.
Result<ValueId> fill_images(Context& c, ValueId x, const std::array<int32_t, 2>& size) {
  std::array<int64_t, 4> target{1, 0, size[0], size[1]};
  FIRN_ASSIGN(const int32_t channels, c.known_dim(x, 1));
  target[1] = channels;
  for (size_t a = 0; a < 2; ++a) {
    if (target[a + 2] != 0) continue;
    FIRN_ASSIGN(const float scale, c.param(a == 0 ? 1 : 2, 1.0f));
    if (!(scale >= 1 && scale < 0x1p31f)) {
      return c.malformed("a scale is " + std::to_string(scale));
    }
    target[a + 2] = static_cast<int64_t>(scale);
  }
  FIRN_ASSIGN(
      const ValueId pixels,
      c.reshape_blob("pixels", x, {TargetDim::copy(1), TargetDim::of(1), TargetDim::of(1)}));
  FIRN_ASSIGN(const ValueId shape, c.constant<int64_t>("shape", {4}, target));
  return c.emit("", Expand{}, {pixels, shape});
}

// Along height and width, as PyTorch's bicubic interpolation.
Result<ValueId> bicubic(Context& c, ValueId x, const std::array<int32_t, 2>& size,
                        bool align_corners) {
  Resize op;
  op.kind = Resize::Kind::cubic;
  op.coordinates =
      align_corners ? Resize::Coordinates::align_corners : Resize::Coordinates::half_pixel;
  op.axes = {2, 3};
  op.size = {size[0], size[1]};
  op.scale = {1, 1};
  for (size_t a = 0; a < 2 && size[0] == 0; ++a) {
    FIRN_ASSIGN(op.scale[a], c.param(a == 0 ? 1 : 2, 1.0f));
    if (!(op.scale[a] > 0) || std::isinf(op.scale[a])) {
      return c.malformed("a scale is " + std::to_string(op.scale[a]));
    }
  }
  return c.emit("", std::move(op), {x});
}

Status interp(Context& c) {
  FIRN_TRY(c.expect_inputs(1, c.has(9) ? c.input_count() : 2));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t kind, c.param(0, 0));
  FIRN_ASSIGN(const bool align_corners, c.flag(6, false));
  FIRN_ASSIGN(const auto size, stated_size(c));
  if (c.dims(x) == 1) return c.bind(fill_images(c, x, size));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  if (kind == kBicubic) return c.bind(bicubic(c, x, size, align_corners));
  Resize2d op;
  switch (kind) {
    case kNearest:
      op.kind = Resize2d::Kind::nearest;
      op.coordinates = Resize2d::Coordinates::asymmetric;
      op.nearest = Resize2d::Nearest::floor;
      break;
    case kBilinear:
      op.kind = Resize2d::Kind::bilinear;
      op.coordinates =
          align_corners ? Resize2d::Coordinates::align_corners : Resize2d::Coordinates::half_pixel;
      break;
    default:
      return c.unsupported("resize type " + std::to_string(kind));
  }
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  op.size = size;
  if (size[0] == 0) FIRN_TRY(set_scales(c, image, op));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image}));
  return c.bind(from_nhwc(c, y, 3));
}

// Positions are the grid's innermost dimension, or with permute_fusion its outermost.
Status grid_sample(Context& c) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(ValueId grid, c.input(1));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_TRY(c.expect_dims(grid, 3, 3));
  FIRN_ASSIGN(const int32_t kind, c.param(0, 1));
  FIRN_ASSIGN(const int32_t padding, c.param(1, 1));
  FIRN_ASSIGN(const bool permuted, c.flag(3, false));
  if (kind < 1 || kind > 3 || padding < 1 || padding > 3) {
    return c.malformed("sample_type is " + std::to_string(kind) + " and padding_mode " +
                       std::to_string(padding) + ", expected 1 to 3");
  }
  constexpr std::array<GridSample::Kind, 3> kKinds{
      GridSample::Kind::linear, GridSample::Kind::nearest, GridSample::Kind::cubic};
  GridSample op;
  op.kind = kKinds[static_cast<size_t>(kind - 1)];
  op.padding = static_cast<GridSample::Padding>(padding - 1);
  FIRN_ASSIGN(op.align_corners, c.flag(2, false));
  if (permuted) {
    FIRN_ASSIGN(grid, c.transpose("grid", grid, {0, 2, 3, 1}));
  }
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image, grid}));
  return c.bind(from_nhwc(c, y, 3));
}

constexpr Operator kOperators[] = {
    {"GridSample", grid_sample},
    {"Interp", interp},
};

}  // namespace

std::span<const Operator> resize_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
