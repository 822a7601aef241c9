// SPDX-License-Identifier: Apache-2.0
// Resizing of pictures.
#include "runtime/import/tflite_ops.h"
#include "runtime/import/tflite_window.h"

namespace firn::tflite {
namespace {

using Coordinates = Resize2d::Coordinates;

// To a size that is computed at run time.
Result<ValueId> resize_computed(Context& c, ValueId x, const Resize2d& like) {
  Resize op;
  op.kind = like.kind == Resize2d::Kind::nearest ? Resize::Kind::nearest : Resize::Kind::linear;
  op.coordinates = like.coordinates == Coordinates::align_corners
                       ? Resize::Coordinates::align_corners
                   : like.coordinates == Coordinates::half_pixel ? Resize::Coordinates::half_pixel
                                                                 : Resize::Coordinates::asymmetric;
  op.nearest = like.nearest;
  op.axes = {1, 2};
  op.from = Resize::From::sizes;
  FIRN_ASSIGN(const ValueId size, c.input(1));
  return c.emit("", std::move(op), {x, size});
}

Status resize(Context& c, Resize2d op, bool align_corners, bool half_pixel_centers) {
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_TRY(expect_image(c, x));
  if (align_corners && half_pixel_centers) {
    return c.malformed("both align_corners and half_pixel_centers");
  }
  op.coordinates = align_corners        ? Coordinates::align_corners
                   : half_pixel_centers ? Coordinates::half_pixel
                                        : Coordinates::asymmetric;
  if (!c.is_known(1)) return c.bind(resize_computed(c, x, op));
  FIRN_ASSIGN(const std::vector<int64_t> size, c.ints(1));
  if (size.size() != 2) {
    return c.malformed("its size has " + std::to_string(size.size()) + " entries, expected 2");
  }
  for (size_t a = 0; a < 2; ++a) {
    if (size[a] < 1 || size[a] > INT32_MAX) {
      return c.malformed("a size of " + std::to_string(size[a]));
    }
    op.size[a] = static_cast<int32_t>(size[a]);
  }
  return c.bind(c.emit("", op, {x}));
}

Status resize_bilinear(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::ResizeBilinearOptions>(wire::BuiltinOptions::ResizeBilinear));
  Resize2d op;
  op.kind = Resize2d::Kind::bilinear;
  return resize(c, op, options->align_corners(), options->half_pixel_centers());
}

// The floor of a coordinate; aligned corners and pixel centres round to nearest.
Status resize_nearest(Context& c) {
  FIRN_ASSIGN(const auto* const options, c.options<wire::ResizeNearestNeighborOptions>(
                                             wire::BuiltinOptions::ResizeNearestNeighbor));
  Resize2d op;
  op.kind = Resize2d::Kind::nearest;
  const bool rounds = options->align_corners() || options->half_pixel_centers();
  op.nearest = rounds ? Resize2d::Nearest::round_prefer_ceil : Resize2d::Nearest::floor;
  return resize(c, op, options->align_corners(), options->half_pixel_centers());
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::RESIZE_BILINEAR, resize_bilinear},
    {wire::BuiltinOperator::RESIZE_NEAREST_NEIGHBOR, resize_nearest},
};

}  // namespace

std::span<const Operator> resize_operators() {
  return kOperators;
}

}  // namespace firn::tflite
