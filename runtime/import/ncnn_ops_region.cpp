// SPDX-License-Identifier: Apache-2.0
// Detectors of two stages: which regions of a picture to look at, and what lies in them.
//
// ncnn's pools read the first region alone; its users run them once for each. Here they read all,
// one behind the other where blobs have their batch.
#include <cmath>
#include <limits>

#include "runtime/import/ncnn_boxes.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

using Kind = Binary::Kind;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Centre and size of each anchor at each place, [N,2] each: anchors outermost, places row by row.
struct Anchors {
  ValueId centre = ValueId::none, size = ValueId::none;
};

// Widths and heights of anchors around a square, of ratios and scales that ncnn states nowhere but
// in its code.
std::vector<std::array<float, 2>> anchor_sizes(float base) {
  std::vector<std::array<float, 2>> sizes;
  for (const float ratio : {0.5f, 1.0f, 2.0f}) {
    const float width = std::round(base / std::sqrt(ratio));
    for (const float scale : {8.0f, 16.0f, 32.0f})
      sizes.push_back({width * scale, std::round(width * ratio) * scale});
  }
  return sizes;
}

Result<Anchors> make_anchors(Context& c, int32_t height, int32_t width) {
  FIRN_ASSIGN(const int32_t stride, c.at_least(1, 0, "the stride", 16));
  FIRN_ASSIGN(const int32_t base, c.at_least(1, 1, "the anchors' size", 16));
  const std::vector<std::array<float, 2>> sizes = anchor_sizes(static_cast<float>(base));
  const size_t places = static_cast<size_t>(height) * static_cast<size_t>(width);
  FIRN_TRY(c.allow(4 * sizes.size() * places * sizeof(float)));
  std::vector<float> centre, size;
  for (const std::array<float, 2>& each : sizes) {
    for (int32_t y = 0; y < height; ++y) {
      for (int32_t x = 0; x < width; ++x) {
        for (const int32_t at : {x, y})
          centre.push_back(static_cast<float>(base) * 0.5f +
                           static_cast<float>(at) * static_cast<float>(stride));
        size.insert(size.end(), each.begin(), each.end());
      }
    }
  }
  const Shape shape{static_cast<int32_t>(size.size() / 2), 2};
  Anchors anchors;
  FIRN_ASSIGN(anchors.centre, c.constant<float>("anchor_centres", shape, centre));
  FIRN_ASSIGN(anchors.size, c.constant<float>("anchor_sizes", shape, size));
  return anchors;
}

// The numbers of anchor `of`, `each` a place, as rows: [1,A*each,h,w] to [A*h*w,each].
Result<ValueId> as_rows(Context& c, const std::string& suffix, ValueId x, int32_t anchors,
                        int32_t each) {
  FIRN_ASSIGN(const ValueId split,
              c.reshape(suffix + "_split", x,
                        {TargetDim::of(anchors), TargetDim::of(each), TargetDim::rest()}));
  FIRN_ASSIGN(const ValueId turned, c.transpose(suffix + "_turned", split, {0, 2, 1}));
  return c.reshape(suffix, turned, {TargetDim::rest(), TargetDim::of(each)});
}

// Boxes [N,4] inside the picture, from offsets [N,4] in units of the anchors.
Result<ValueId> decode(Context& c, const Anchors& anchors, ValueId offsets, ValueId picture) {
  FIRN_ASSIGN(const ValueId shift, c.slice("shift", offsets, 1, 0, 2));
  FIRN_ASSIGN(const ValueId growth, c.slice("growth", offsets, 1, 2, 4));
  FIRN_ASSIGN(const ValueId moved, c.binary("moved", Kind::mul, shift, anchors.size));
  FIRN_ASSIGN(const ValueId centre, c.binary("centre", Kind::add, moved, anchors.centre));
  FIRN_ASSIGN(const ValueId factor, c.unary("factor", Unary::Kind::exp, growth));
  FIRN_ASSIGN(const ValueId size, c.binary("size", Kind::mul, factor, anchors.size));
  FIRN_ASSIGN(const ValueId boxes, box_corners(c, centre, size));
  // The picture is stated as height, width, scale.
  FIRN_ASSIGN(const ValueId height, c.slice("height", picture, 1, 0, 1));
  FIRN_ASSIGN(const ValueId width, c.slice("width", picture, 1, 1, 2));
  FIRN_ASSIGN(const ValueId sides, c.emit("sides", Concat{1}, {width, height, width, height}));
  FIRN_ASSIGN(const ValueId last, c.with_number("last", Kind::sub, sides, 1));
  FIRN_ASSIGN(const ValueId below, c.binary("below", Kind::min, boxes, last));
  return c.with_number("inside", Kind::max, below, 0);
}

// Scores [N,1] of boxes, of those too small one that no box is chosen with.
Result<ValueId> scores_of_large(Context& c, ValueId boxes, ValueId scores, ValueId picture) {
  FIRN_ASSIGN(const float least, c.param(5, 16.0f));
  FIRN_ASSIGN(const ValueId low, c.slice("low", boxes, 1, 0, 2));
  FIRN_ASSIGN(const ValueId high, c.slice("high", boxes, 1, 2, 4));
  FIRN_ASSIGN(const ValueId between, c.binary("between", Kind::sub, high, low));
  FIRN_ASSIGN(const ValueId sides, c.with_number("box_sides", Kind::add, between, 1));
  FIRN_ASSIGN(const ValueId shorter, c.reduce("shorter", Reduce::Kind::min, sides, {1}));
  FIRN_ASSIGN(const ValueId scale, c.slice("picture_scale", picture, 1, 2, 3));
  FIRN_ASSIGN(const ValueId limit, c.with_number("least_side", Kind::mul, scale, least));
  FIRN_ASSIGN(const ValueId small, c.binary("small", Kind::less, shorter, limit));
  FIRN_ASSIGN(const ValueId never, c.number("never", -kInfinity));
  return c.emit("candidates", Where{}, {small, never, scores});
}

Status proposal(Context& c) {
  FIRN_TRY(c.expect_inputs(3, 3));
  FIRN_ASSIGN(const ValueId scores, c.input(0));
  FIRN_ASSIGN(const ValueId offsets, c.input(1));
  FIRN_ASSIGN(const ValueId stated, c.input(2));
  FIRN_TRY(c.expect_dims(scores, 3, 3));
  FIRN_TRY(c.expect_dims(offsets, 3, 3));
  FIRN_ASSIGN(const int32_t height, c.known_dim(scores, 2));
  FIRN_ASSIGN(const int32_t width, c.known_dim(scores, 3));
  FIRN_ASSIGN(const Anchors anchors, make_anchors(c, height, width));
  const auto count = static_cast<int32_t>(anchor_sizes(1).size());
  const Shape expected_scores{1, 2 * count, height, width};
  const Shape expected_offsets{1, 4 * count, height, width};
  if (c.shape(scores) != expected_scores || c.shape(offsets) != expected_offsets) {
    return c.malformed("scores are " + to_string(c.shape(scores)) + ", offsets " +
                       to_string(c.shape(offsets)) + ", expected " + to_string(expected_scores) +
                       " and " + to_string(expected_offsets));
  }
  DetectionOutput op;
  op.score_threshold = -kInfinity;
  FIRN_ASSIGN(const int32_t candidates, c.param(2, 6000));
  if (candidates > 0) op.candidates = candidates;
  FIRN_ASSIGN(op.keep, c.at_least(0, 3, "after_nms_topN", 300));
  FIRN_ASSIGN(op.iou_threshold, c.param(4, 0.7f));

  FIRN_ASSIGN(const ValueId picture,
              c.reshape("picture", stated, {TargetDim::of(1), TargetDim::rest()}));
  FIRN_ASSIGN(const ValueId rows, as_rows(c, "offsets", offsets, count, 4));
  FIRN_ASSIGN(const ValueId boxes, decode(c, anchors, rows, picture));
  FIRN_ASSIGN(const ValueId objects, c.slice("objects", scores, 1, count, 2 * count));
  FIRN_ASSIGN(const ValueId each, as_rows(c, "scores", objects, count, 1));
  FIRN_ASSIGN(const ValueId candidate, scores_of_large(c, boxes, each, picture));
  FIRN_ASSIGN(const ValueId found, c.emit("", op, {boxes, candidate}));
  const auto bind_columns = [&](const std::string& suffix, int32_t begin, int32_t end,
                                size_t output) -> Status {
    FIRN_ASSIGN(const ValueId columns, c.slice(suffix + "_columns", found, 1, begin, end));
    return c.bind(c.as_blob(suffix, columns,
                            {TargetDim::rest(), TargetDim::of(1), TargetDim::of(end - begin)}),
                  output);
  };
  FIRN_TRY(bind_columns("regions", 2, 6, 0));
  return c.output_count() > 1 ? bind_columns("region_scores", 1, 2, 1) : Status();
}

// Reads the sizes, whose parameters are 0 (width) and 1.
Status pool_regions(Context& c, RegionPool op, int32_t usual_size) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId regions, c.input(1));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(op.size[1], c.at_least(1, 0, "the width", usual_size));
  FIRN_ASSIGN(op.size[0], c.at_least(1, 1, "the height", usual_size));
  FIRN_ASSIGN(const ValueId boxes,
              c.reshape("boxes", regions, {TargetDim::rest(), TargetDim::of(4)}));
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image, boxes}));
  return c.bind(from_nhwc(c, y, 3));
}

Status roi_pooling(Context& c) {
  RegionPool op{RegionPool::Kind::max};
  FIRN_ASSIGN(op.scale, c.param(2, 1.0f));
  return pool_regions(c, op, 0);
}

Status ps_roi_pooling(Context& c) {
  RegionPool op{RegionPool::Kind::position};
  FIRN_ASSIGN(op.scale, c.param(2, 0.0625f));
  FIRN_TRY(pool_regions(c, op, 7));
  FIRN_ASSIGN(const int32_t channels, c.param(3, 0));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int32_t read, c.known_dim(x, 1));
  FIRN_ASSIGN(const int32_t width, c.param(0, 7));
  FIRN_ASSIGN(const int32_t height, c.param(1, 7));
  if (int64_t{channels} * width * height == read) return {};
  return c.malformed(std::to_string(channels) + " channels for " + std::to_string(width) + " by " +
                     std::to_string(height) + " bins, the input has " + std::to_string(read));
}

Status roi_align(Context& c) {
  RegionPool op{RegionPool::Kind::align};
  FIRN_ASSIGN(op.scale, c.param(2, 1.0f));
  FIRN_ASSIGN(op.samples, c.at_least(0, 3, "sampling_ratio", 0));
  FIRN_ASSIGN(op.half_pixel, c.flag(4, false));
  FIRN_ASSIGN(const int32_t version, c.param(5, 0));
  if (version != 0 && version != 1) {
    return c.unsupported("version " + std::to_string(version) + " of it");
  }
  if (version == 0) op.kind = RegionPool::Kind::align_inside;
  return pool_regions(c, op, 0);
}

constexpr Operator kOperators[] = {
    {"PSROIPooling", ps_roi_pooling},
    {"Proposal", proposal},
    {"ROIAlign", roi_align},
    {"ROIPooling", roi_pooling},
};

}  // namespace

std::span<const Operator> region_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
