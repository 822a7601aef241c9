// SPDX-License-Identifier: Apache-2.0
// Interp: resizing over height and width.
#include <cmath>

#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

enum Kind : int32_t { kNearest = 1, kBilinear, kBicubic };

// Sizes that are stated, or a second blob's; 0: by scale.
Result<std::array<int32_t, 2>> stated_size(Context& c) {
  std::array<int32_t, 2> size{};
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

Status set_scales(const Context& c, ValueId image, Resize2d& op) {
  for (size_t a = 0; a < 2; ++a) {
    FIRN_ASSIGN(op.scale[a], c.param(a == 0 ? 1 : 2, 1.0f));
    if (!(op.scale[a] > 0) || std::isinf(op.scale[a])) {
      return c.malformed("a scale is " + std::to_string(op.scale[a]));
    }
    // Except for the nearest pixel, ncnn maps by the sizes that a scale leads to.
    const int32_t size = c.shape(image)[static_cast<int>(a) + 1];
    if (op.kind == Resize2d::Kind::nearest || size < 0) continue;
    const float target = std::floor(static_cast<float>(size) * op.scale[a]);
    if (!(target >= 1 && target < 0x1p31f)) {
      return c.malformed("scale " + std::to_string(op.scale[a]) + " of " + std::to_string(size));
    }
    op.size[a] = static_cast<int32_t>(target);
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
  FIRN_ASSIGN(const ValueId pixels,
              c.reshape_blob("pixels", x, {TargetDim::copy(1), TargetDim::of(1), TargetDim::of(1)}));
  FIRN_ASSIGN(const ValueId shape, c.constant<int64_t>("shape", {4}, target));
  return c.emit("", Expand{}, {pixels, shape});
}

Status interp(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 2));
  if (c.has(9)) return c.unsupported("a size given by an expression");
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t kind, c.param(0, 0));
  FIRN_ASSIGN(const bool align_corners, c.flag(6, false));
  FIRN_ASSIGN(const auto size, stated_size(c));
  if (c.dims(x) == 1) return c.bind(fill_images(c, x, size));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  Resize2d op;
  switch (kind) {
    case kNearest:
      op.kind = Resize2d::Kind::nearest;
      op.coordinates = Resize2d::Coordinates::asymmetric;
      op.nearest = Resize2d::Nearest::floor;
      break;
    case kBilinear:
      op.kind = Resize2d::Kind::bilinear;
      op.coordinates = align_corners ? Resize2d::Coordinates::align_corners
                                     : Resize2d::Coordinates::half_pixel;
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

constexpr Operator kOperators[] = {
    {"Interp", interp},
};

}  // namespace

std::span<const Operator> resize_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
