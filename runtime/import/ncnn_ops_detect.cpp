// SPDX-License-Identifier: Apache-2.0
// The ends of detectors: boxes and scores decoded from what a network gives, then selected.
#include <cmath>
#include <limits>

#include "runtime/import/ncnn_boxes.h"
#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

using Kind = Binary::Kind;
constexpr int32_t kEdge = std::numeric_limits<int32_t>::max();

// ncnn passes scores that equal the threshold.
float below(float threshold) {
  return std::nextafter(threshold, -std::numeric_limits<float>::infinity());
}

Status bind_detections(Context& c, const DetectionOutput& op, ValueId boxes, ValueId scores) {
  FIRN_ASSIGN(const ValueId rows, c.emit("", op, {boxes, scores}));
  return c.bind(c.as_blob("rows", rows, {TargetDim::rest(), TargetDim::of(6)}));
}

// Offsets from prior boxes, in units of their sizes times a variance each.
Status detection_output(Context& c) {
  FIRN_TRY(c.expect_inputs(3, 3));
  FIRN_ASSIGN(const ValueId location, c.input(0));
  FIRN_ASSIGN(const ValueId confidence, c.input(1));
  FIRN_ASSIGN(const ValueId priors, c.input(2));
  FIRN_ASSIGN(const int32_t classes, c.param(0, 0));
  if (classes == -233) return c.unsupported("the layout of MXNet's detectors");
  FIRN_TRY(c.at_least(1, 0, "the number of classes", 0).status());
  DetectionOutput op;
  op.first_class = 1;
  FIRN_ASSIGN(op.iou_threshold, c.param(1, 0.05f));
  FIRN_ASSIGN(op.candidates, c.at_least(0, 2, "nms_top_k", 300));
  FIRN_ASSIGN(op.keep, c.at_least(0, 3, "keep_top_k", 100));
  FIRN_ASSIGN(op.score_threshold, c.param(4, 0.5f));
  FIRN_TRY(c.expect_dims(priors, 2, 2));

  const auto of_four = [&](std::string_view suffix, ValueId x) {
    return c.reshape(suffix, x, {TargetDim::rest(), TargetDim::of(4)});
  };
  FIRN_ASSIGN(const ValueId offsets, of_four("offsets", location));
  FIRN_ASSIGN(const ValueId first_row, c.slice("prior_row", priors, 1, 0, 1));
  FIRN_ASSIGN(const ValueId second_row, c.slice("variance_row", priors, 1, 1, 2));
  FIRN_ASSIGN(const ValueId prior, of_four("priors", first_row));
  FIRN_ASSIGN(const ValueId variance, of_four("variances", second_row));
  FIRN_ASSIGN(const ValueId scores,
              c.reshape("scores", confidence, {TargetDim::rest(), TargetDim::of(classes)}));

  FIRN_ASSIGN(const ValueId low, c.slice("prior_low", prior, 1, 0, 2));
  FIRN_ASSIGN(const ValueId high, c.slice("prior_high", prior, 1, 2, 4));
  FIRN_ASSIGN(const ValueId prior_size, c.binary("prior_size", Kind::sub, high, low));
  FIRN_ASSIGN(const ValueId sum, c.binary("prior_sum", Kind::add, low, high));
  FIRN_ASSIGN(const ValueId prior_centre, c.with_number("prior_centre", Kind::mul, sum, 0.5f));
  FIRN_ASSIGN(const ValueId scaled, c.binary("scaled", Kind::mul, offsets, variance));
  FIRN_ASSIGN(const ValueId shift, c.slice("shift", scaled, 1, 0, 2));
  FIRN_ASSIGN(const ValueId growth, c.slice("growth", scaled, 1, 2, 4));
  FIRN_ASSIGN(const ValueId moved, c.binary("moved", Kind::mul, shift, prior_size));
  FIRN_ASSIGN(const ValueId centre, c.binary("centre", Kind::add, moved, prior_centre));
  FIRN_ASSIGN(const ValueId factor, c.unary("factor", Unary::Kind::exp, growth));
  FIRN_ASSIGN(const ValueId size, c.binary("size", Kind::mul, factor, prior_size));
  FIRN_ASSIGN(const ValueId boxes, box_corners(c, centre, size));
  return bind_detections(c, op, boxes, scores);
}

// One input of a YOLO layer: [1,A*(5+classes),h,w], and the sizes of its anchors in the picture.
struct Grid {
  ValueId cells = ValueId::none;
  int32_t width = 0, height = 0;
  std::vector<float> anchors;  // width and height of each, as fractions of the picture
};

// Where each cell's box lies if its offsets are 0, and its anchor: [A*h*w,2] each.
struct GridConstants {
  ValueId corner = ValueId::none, anchor = ValueId::none, cell = ValueId::none;
};

Result<GridConstants> grid_constants(Context& c, const std::string& suffix, const Grid& grid) {
  const size_t count =
      grid.anchors.size() * static_cast<size_t>(grid.width) * static_cast<size_t>(grid.height);
  FIRN_TRY(c.allow(2 * count * sizeof(float)));
  std::vector<float> corner, anchor;
  for (size_t a = 0; a < grid.anchors.size() / 2; ++a) {
    for (int32_t y = 0; y < grid.height; ++y) {
      for (int32_t x = 0; x < grid.width; ++x) {
        corner.insert(corner.end(), {static_cast<float>(x), static_cast<float>(y)});
        anchor.insert(anchor.end(), {grid.anchors[2 * a], grid.anchors[2 * a + 1]});
      }
    }
  }
  const Shape shape{static_cast<int32_t>(corner.size() / 2), 2};
  const std::array<float, 2> cell{1 / static_cast<float>(grid.width),
                                  1 / static_cast<float>(grid.height)};
  GridConstants result;
  FIRN_ASSIGN(result.corner, c.constant<float>(suffix + "_corner", shape, corner));
  FIRN_ASSIGN(result.anchor, c.constant<float>(suffix + "_anchor", shape, anchor));
  FIRN_ASSIGN(result.cell, c.constant<float>(suffix + "_cell", {2}, cell));
  return result;
}

struct Decoded {
  ValueId boxes = ValueId::none, scores = ValueId::none;  // [N,4], [N,classes]
};

// How a cell's logits make its score: YOLOv3's as ncnn computes it, 1 / (1 + exp(-object) * (1 +
// exp(-class))), or sigmoid(object) * softmax(classes).
Result<ValueId> cell_scores(Context& c, ValueId object, ValueId classes, bool v3) {
  if (!v3) {
    FIRN_ASSIGN(const ValueId sure, c.unary("sure", Unary::Kind::sigmoid, object));
    FIRN_ASSIGN(const ValueId shares, c.emit("shares", Softmax{1, false}, {classes}));
    return c.binary("scores", Kind::mul, sure, shares);
  }
  FIRN_ASSIGN(const ValueId minus_object, c.unary("minus_object", Unary::Kind::neg, object));
  FIRN_ASSIGN(const ValueId minus_class, c.unary("minus_class", Unary::Kind::neg, classes));
  FIRN_ASSIGN(const ValueId a, c.unary("object", Unary::Kind::exp, minus_object));
  FIRN_ASSIGN(const ValueId b, c.unary("class", Unary::Kind::exp, minus_class));
  FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Kind::add, b, 1));
  FIRN_ASSIGN(const ValueId product, c.binary("product", Kind::mul, a, raised));
  FIRN_ASSIGN(const ValueId whole, c.with_number("whole", Kind::add, product, 1));
  return c.unary("scores", Unary::Kind::reciprocal, whole);
}

Result<Decoded> decode(Context& c, const std::string& suffix, const Grid& grid, int32_t classes,
                       bool v3) {
  const auto anchors = static_cast<int64_t>(grid.anchors.size() / 2);
  FIRN_ASSIGN(const GridConstants constants, grid_constants(c, suffix, grid));
  FIRN_ASSIGN(const ValueId split,
              c.reshape(suffix + "_split", grid.cells,
                        {TargetDim::of(anchors), TargetDim::of(5 + classes), TargetDim::rest()}));
  FIRN_ASSIGN(const ValueId turned, c.transpose(suffix + "_turned", split, {0, 2, 1}));
  FIRN_ASSIGN(const ValueId rows,
              c.reshape(suffix + "_rows", turned, {TargetDim::rest(), TargetDim::of(5 + classes)}));
  FIRN_ASSIGN(const ValueId xy, c.slice(suffix + "_xy", rows, 1, 0, 2));
  FIRN_ASSIGN(const ValueId wh, c.slice(suffix + "_wh", rows, 1, 2, 4));
  FIRN_ASSIGN(const ValueId object, c.slice(suffix + "_object", rows, 1, 4, 5));
  FIRN_ASSIGN(const ValueId logits, c.slice(suffix + "_classes", rows, 1, 5, kEdge));
  FIRN_ASSIGN(const ValueId inside, c.unary(suffix + "_inside", Unary::Kind::sigmoid, xy));
  FIRN_ASSIGN(const ValueId at, c.binary(suffix + "_at", Kind::add, inside, constants.corner));
  FIRN_ASSIGN(const ValueId centre, c.binary(suffix + "_centre", Kind::mul, at, constants.cell));
  FIRN_ASSIGN(const ValueId growth, c.unary(suffix + "_growth", Unary::Kind::exp, wh));
  FIRN_ASSIGN(const ValueId size, c.binary(suffix + "_size", Kind::mul, growth, constants.anchor));
  Decoded decoded;
  FIRN_ASSIGN(decoded.boxes, box_corners(c, centre, size));
  FIRN_ASSIGN(decoded.scores, cell_scores(c, object, logits, v3));
  return decoded;
}

// Input i of a YOLO layer, of `boxes` anchors.
Result<Grid> read_grid(Context& c, size_t i, int32_t boxes, int32_t classes) {
  Grid grid;
  FIRN_ASSIGN(grid.cells, c.input(i));
  FIRN_TRY(c.expect_dims(grid.cells, 3, 3));
  FIRN_ASSIGN(const int32_t channels, c.known_dim(grid.cells, 1));
  FIRN_ASSIGN(grid.height, c.known_dim(grid.cells, 2));
  FIRN_ASSIGN(grid.width, c.known_dim(grid.cells, 3));
  if (channels != boxes * (int64_t{5} + classes) || grid.height < 1 || grid.width < 1) {
    return c.malformed("input " + std::to_string(i) + " is " + to_string(c.shape(grid.cells)) +
                       ", expected " + std::to_string(boxes) + " boxes of " +
                       std::to_string(classes) + " classes");
  }
  return grid;
}

// Sizes of the anchors of input i: of YOLOv3 those that a mask picks, in pixels of a picture that
// is the grid times a scale; of v2 all, in cells.
Status read_anchors(const Context& c, size_t i, int32_t boxes, bool v3, Grid& grid) {
  FIRN_ASSIGN(const std::vector<float> sizes, c.floats(4));
  std::vector<float> mask, scales;
  if (v3) {
    FIRN_ASSIGN(mask, c.floats(5));
    FIRN_ASSIGN(scales, c.floats(6));
    if (scales.size() <= i) return c.malformed("input " + std::to_string(i) + " has no scale");
  }
  const float scale = v3 ? scales[i] : 1;
  const float width = std::trunc(scale * static_cast<float>(grid.width));
  const float height = std::trunc(scale * static_cast<float>(grid.height));
  if (!(width >= 1 && height >= 1)) return c.malformed("a scale is " + std::to_string(scale));
  for (int32_t b = 0; b < boxes; ++b) {
    size_t at = static_cast<size_t>(b);
    if (v3) {
      const size_t entry = i * static_cast<size_t>(boxes) + at;
      const float picked = entry < mask.size() ? mask[entry] : -1;
      if (!(picked >= 0 && picked < 1e6f)) {
        return c.malformed("entry " + std::to_string(entry) + " of the mask is missing or wrong");
      }
      at = static_cast<size_t>(picked);
    }
    if (2 * at + 1 >= sizes.size()) {
      return c.malformed("anchor " + std::to_string(at) + " of " +
                         std::to_string(sizes.size() / 2));
    }
    grid.anchors.push_back(sizes[2 * at] / width);
    grid.anchors.push_back(sizes[2 * at + 1] / height);
  }
  return {};
}

Status yolo(Context& c, bool v3) {
  FIRN_TRY(c.expect_inputs(1, c.input_count()));
  FIRN_ASSIGN(const int32_t classes, c.at_least(1, 0, "the number of classes", 20));
  FIRN_ASSIGN(const int32_t boxes, c.at_least(1, 1, "the number of boxes", 5));
  DetectionOutput op;
  op.first_class = 1;
  op.best_class = true;
  FIRN_ASSIGN(const float threshold, c.param(2, 0.01f));
  op.score_threshold = below(threshold);
  FIRN_ASSIGN(op.iou_threshold, c.param(3, 0.45f));
  std::vector<ValueId> all_boxes, all_scores;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(Grid grid, read_grid(c, i, boxes, classes));
    FIRN_TRY(read_anchors(c, i, boxes, v3, grid));
    FIRN_ASSIGN(const Decoded decoded, decode(c, "grid_" + std::to_string(i), grid, classes, v3));
    all_boxes.push_back(decoded.boxes);
    all_scores.push_back(decoded.scores);
  }
  FIRN_ASSIGN(const ValueId joined, c.emit("all_boxes", Concat{0}, std::move(all_boxes)));
  FIRN_ASSIGN(const ValueId scores, c.emit("all_scores", Concat{0}, std::move(all_scores)));
  // A background in front, so that classes count from 1.
  Pad background;
  background.before = {0, 1};
  background.after = {0, 0};
  FIRN_ASSIGN(const ValueId labelled, c.emit("labelled", background, {scores}));
  return bind_detections(c, op, joined, labelled);
}

constexpr Operator kOperators[] = {
    {"DetectionOutput", detection_output},
    {"YoloDetectionOutput", [](Context& c) { return yolo(c, false); }},
    {"Yolov3DetectionOutput", [](Context& c) { return yolo(c, true); }},
};

}  // namespace

Result<ValueId> box_corners(Context& c, ValueId centre, ValueId size) {
  FIRN_ASSIGN(const ValueId half, c.with_number("half", Kind::mul, size, 0.5f));
  FIRN_ASSIGN(const ValueId low, c.binary("low", Kind::sub, centre, half));
  FIRN_ASSIGN(const ValueId high, c.binary("high", Kind::add, centre, half));
  return c.emit("boxes", Concat{1}, {low, high});
}

std::span<const Operator> detect_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
