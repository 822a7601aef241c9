// SPDX-License-Identifier: Apache-2.0
// Shape rule and reference of DetectionPostProcess: boxes from anchors, the best of them kept.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/infer_context.h"
#include "runtime/kept_boxes.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

struct Box {
  float y0, x0, y1, x1;
  float area() const { return (y1 - y0) * (x1 - x0); }
};

// The box that `code` makes of an anchor.
Box decode(const float* code, const float* anchor, const std::array<float, 4>& scale) {
  const float y = code[0] / scale[0] * anchor[2] + anchor[0];
  const float x = code[1] / scale[1] * anchor[3] + anchor[1];
  const float half_height = 0.5f * std::exp(code[2] / scale[2]) * anchor[2];
  const float half_width = 0.5f * std::exp(code[3] / scale[3]) * anchor[3];
  return {y - half_height, x - half_width, y + half_height, x + half_width};
}

// What they share of their union.
float overlap(const Box& a, const Box& b) {
  if (!(a.area() > 0) || !(b.area() > 0)) return 0;
  const float height = std::max(std::min(a.y1, b.y1) - std::max(a.y0, b.y0), 0.0f);
  const float width = std::max(std::min(a.x1, b.x1) - std::max(a.x0, b.x0), 0.0f);
  return height * width / (a.area() + b.area() - height * width);
}

// Indices of scores from the threshold on, the best first, equals in their order.
std::vector<size_t> candidates(const std::vector<float>& scores, float threshold) {
  std::vector<size_t> order;
  for (size_t i = 0; i < scores.size(); ++i)
    if (scores[i] >= threshold) order.push_back(i);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

// Those of the candidates that overlap no better one that is kept; `most` of them.
std::vector<size_t> thin_out(const std::vector<Box>& boxes, const std::vector<float>& scores,
                             const DetectionPostProcess& op, int32_t most) {
  std::vector<size_t> kept;
  KeptBoxes<Box> kept_boxes(op.iou_threshold);
  for (const size_t i : candidates(scores, op.score_threshold)) {
    if (kept.size() == static_cast<size_t>(most)) break;
    const auto covers = [&](const Box& k) { return overlap(k, boxes[i]) > op.iou_threshold; };
    if (kept_boxes.any(boxes[i], covers)) continue;
    kept.push_back(i);
    kept_boxes.add(boxes[i]);
  }
  return kept;
}

struct Detection {
  size_t box, cls;
  float score;
};

class Detector {
 public:
  // `scores`: `row` for each box, of which the last op.classes count.
  Detector(const DetectionPostProcess& op, std::vector<Box> boxes, std::span<const float> scores,
           size_t row)
      : op_(op), boxes_(std::move(boxes)), scores_(scores), row_(row) {}

  const Box& box(size_t i) const { return boxes_[i]; }

  std::vector<Detection> by_class() const {
    std::vector<Detection> all;
    for (size_t cls = 0; cls < classes(); ++cls) {
      std::vector<float> of_class;
      for (size_t i = 0; i < boxes_.size(); ++i) of_class.push_back(score(i, cls));
      for (const size_t i : thin_out(boxes_, of_class, op_, op_.per_class))
        all.push_back({i, cls, of_class[i]});
      std::ranges::stable_sort(all, std::ranges::greater(), &Detection::score);
      if (all.size() > static_cast<size_t>(op_.detections))
        all.resize(static_cast<size_t>(op_.detections));
    }
    return all;
  }

  std::vector<Detection> fast() const {
    std::vector<float> best;
    for (size_t i = 0; i < boxes_.size(); ++i) best.push_back(score(i, best_classes(i)[0]));
    std::vector<Detection> all;
    for (const size_t i : thin_out(boxes_, best, op_, op_.detections)) {
      const std::vector<size_t> order = best_classes(i);
      const size_t most = static_cast<size_t>(op_.classes_per_detection);
      for (size_t n = 0; n < std::min(most, order.size()); ++n)
        all.push_back({i, order[n], score(i, order[n])});
    }
    return all;
  }

 private:
  size_t classes() const { return static_cast<size_t>(op_.classes); }
  float score(size_t box, size_t cls) const {
    return scores_[box * row_ + (row_ - classes()) + cls];
  }
  // NaN, which compares with nothing, counts as the least.
  std::vector<size_t> best_classes(size_t box) const {
    const auto key = [&](size_t cls) {
      const float s = score(box, cls);
      return std::isnan(s) ? -INFINITY : s;
    };
    std::vector<size_t> order(classes());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return key(a) > key(b); });
    return order;
  }

  const DetectionPostProcess& op_;
  std::vector<Box> boxes_;
  std::span<const float> scores_;
  size_t row_;
};

}  // namespace

Result<std::vector<Inferred>> infer_op(const InferContext& c, const DetectionPostProcess& op) {
  FIRN_TRY(c.expect_inputs(3, 3));
  for (size_t i = 0; i < 3; ++i) {
    FIRN_TRY(c.expect_real(i));
    FIRN_TRY(c.expect_rank(i, i < 2 ? 3 : 2));
  }
  const Shape &boxes = c.shape(0), &scores = c.shape(1), &anchors = c.shape(2);
  if (boxes[0] != 1 || scores[0] != 1)
    return c.unsupported("a batch of " + std::to_string(boxes[0]) + ", expected 1");
  if (boxes[2] < 4 || scores[1] != boxes[1] || anchors != Shape{boxes[1], 4})
    return c.malformed("boxes are " + to_string(boxes) + ", scores " + to_string(scores) +
                       ", anchors " + to_string(anchors));
  if (op.classes < 1 || op.classes > scores[2])
    return c.malformed(std::to_string(op.classes) + " classes, scores are " + to_string(scores));
  if (op.detections < 0 || op.classes_per_detection < 1 || op.per_class < 0)
    return c.malformed(std::to_string(op.detections) + " detections of " +
                       std::to_string(op.classes_per_detection) + " classes, " +
                       std::to_string(op.per_class) + " per class");
  const auto scales = [](float s) { return std::isfinite(s) && s != 0; };
  if (!std::ranges::all_of(op.scale, scales)) return c.malformed("a scale of boxes is 0");
  FIRN_ASSIGN(const int32_t rows, c.dimension("the number of detections",
                                              int64_t{op.detections} * op.classes_per_detection));
  return std::vector<Inferred>{{DType::f32, {1, rows, 4}},
                               {DType::f32, {1, rows}},
                               {DType::f32, {1, rows}},
                               {DType::f32, {1}}};
}

Status compute(const Call& c, const DetectionPostProcess& op) {
  FIRN_ASSIGN(const Operand codes, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand scores, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand anchors, c.load(2, DType::f32));
  std::array<Operand, 4> out;
  for (size_t i = 0; i < out.size(); ++i) {
    FIRN_ASSIGN(out[i], c.open_output(i, DType::f32));
    std::ranges::fill(out[i].f32(), 0.0f);
  }
  const auto width = static_cast<size_t>(c.in[0].shape[2]);
  std::vector<Box> boxes;
  for (size_t i = 0; i < static_cast<size_t>(c.in[0].shape[1]); ++i)
    boxes.push_back(decode(codes.f32().data() + i * width, anchors.f32().data() + i * 4, op.scale));
  const Detector detector(op, std::move(boxes), scores.f32(),
                          static_cast<size_t>(c.in[1].shape[2]));
  const std::vector<Detection> found = op.regular ? detector.by_class() : detector.fast();
  for (size_t row = 0; row < found.size(); ++row) {
    const Box& box = detector.box(found[row].box);
    std::ranges::copy(std::array{box.y0, box.x0, box.y1, box.x1},
                      out[0].f32().begin() + static_cast<std::ptrdiff_t>(4 * row));
    out[1].f32()[row] = static_cast<float>(found[row].cls);
    out[2].f32()[row] = found[row].score;
  }
  out[3].f32()[0] = static_cast<float>(found.size());
  for (size_t i = 0; i < out.size(); ++i) c.store(out[i], i);
  return {};
}

}  // namespace firn
