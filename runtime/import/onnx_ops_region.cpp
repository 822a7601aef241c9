// SPDX-License-Identifier: Apache-2.0
// What lies in regions of images: RoiAlign and MaxRoiPool.
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

Result<ValueId> pool_regions(Context& c, const RegionPool& op, ValueId regions, ValueId images) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.rank(x) != 4) return c.malformed("its input is " + to_string(c.shape(x)));
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc, regions, images}));
  return from_nhwc(c, y, 4);
}

Status roi_align(Context& c) {
  FIRN_ASSIGN(const ValueId regions, c.input(1));
  FIRN_ASSIGN(const ValueId images, c.input(2));
  FIRN_ASSIGN(const std::string mode, c.attr("mode", "avg"));
  if (mode != "avg" && mode != "max") return c.malformed("mode is '" + mode + "'");
  // Before opset 16 there was no choice.
  const char* const usual = c.opset < 16 ? "output_half_pixel" : "half_pixel";
  FIRN_ASSIGN(const std::string coordinates, c.attr("coordinate_transformation_mode", usual));
  if (coordinates != "half_pixel" && coordinates != "output_half_pixel")
    return c.malformed("coordinate_transformation_mode is '" + coordinates + "'");
  RegionPool op;
  op.kind = mode == "avg" ? RegionPool::Kind::align : RegionPool::Kind::align_max;
  op.half_pixel = coordinates == "half_pixel";
  FIRN_ASSIGN(op.scale, c.attr("spatial_scale", 1.0f));
  FIRN_ASSIGN(const int64_t samples, c.attr("sampling_ratio", int64_t{0}));
  FIRN_ASSIGN(op.samples, to_int32(c, "sampling_ratio", samples));
  FIRN_ASSIGN(const int64_t height, c.attr("output_height", int64_t{1}));
  FIRN_ASSIGN(const int64_t width, c.attr("output_width", int64_t{1}));
  FIRN_ASSIGN(op.size[0], to_int32(c, "output_height", height));
  FIRN_ASSIGN(op.size[1], to_int32(c, "output_width", width));
  return c.bind(pool_regions(c, op, regions, images));
}

// A region's first number says which image it is of.
Status max_roi_pool(Context& c) {
  FIRN_ASSIGN(const ValueId rows, c.input(1));
  FIRN_ASSIGN(const std::vector<int64_t> size, c.attr_ints("pooled_shape"));
  if (size.size() != 2 || c.rank(rows) != 2)
    return c.malformed("pooled_shape has " + std::to_string(size.size()) +
                       " entries, regions are " + to_string(c.shape(rows)));
  RegionPool op;
  FIRN_ASSIGN(op.size[0], to_int32(c, "pooled_shape", size[0]));
  FIRN_ASSIGN(op.size[1], to_int32(c, "pooled_shape", size[1]));
  FIRN_ASSIGN(op.scale, c.attr("spatial_scale", 1.0f));
  FIRN_ASSIGN(const ValueId regions, c.slice("regions", rows, 1, 1, 5));
  FIRN_ASSIGN(const ValueId first, c.slice("first", rows, 1, 0, 1));
  FIRN_ASSIGN(const ValueId numbers, c.reshape("numbers", first, {TargetDim::rest()}));
  FIRN_ASSIGN(const ValueId images, c.convert("images", numbers, DType::i64));
  return c.bind(pool_regions(c, op, regions, images));
}

constexpr Operator kOperators[] = {{"MaxRoiPool", max_roi_pool}, {"RoiAlign", roi_align}};

}  // namespace

std::span<const Operator> region_operators() {
  return kOperators;
}

}  // namespace firn::onnx
