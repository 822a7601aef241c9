// SPDX-License-Identifier: Apache-2.0
// Detections: candidates by score, thinned out by overlap. Shape rule and reference of
// DetectionOutput.
#include "runtime/detect.h"

#include <algorithm>

#include "runtime/infer_context.h"
#include "runtime/kept_boxes.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

struct Box {
  float x0, y0, x1, y1;
  explicit Box(std::span<const float> c) : x0(c[0]), y0(c[1]), x1(c[2]), y1(c[3]) {}
  float area() const { return (x1 - x0) * (y1 - y0); }
};

bool overlap(const Box& a, const Box& b, float threshold) {
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (!(width >= 0 && height >= 0)) return false;
  const float shared = width * height;
  return shared > threshold * (a.area() + b.area() - shared);
}

void sort_by_score(std::vector<Detection>& detections) {
  std::ranges::stable_sort(detections, std::ranges::greater(), &Detection::score);
}

// Keeps, from the best on, what overlaps nothing that is kept.
void thin_out(std::vector<Detection>& candidates, std::span<const float> boxes,
              const DetectionOutput& op) {
  sort_by_score(candidates);
  const auto most = static_cast<size_t>(std::max(op.candidates, 0));
  if (candidates.size() > most) candidates.resize(most);
  KeptBoxes<Box> kept(op.iou_threshold);
  std::erase_if(candidates, [&](const Detection& each) {
    const Box box(boxes.subspan(4 * each.box, 4));
    const bool covered =
        kept.any(box, [&](const Box& other) { return overlap(box, other, op.iou_threshold); });
    if (!covered) kept.add(box);
    return covered;
  });
}

Status check(const InferContext& c, const DetectionOutput& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  for (size_t i = 0; i < 2; ++i) {
    FIRN_TRY(c.expect_rank(i, 2));
    if (c.in(i)->type != DType::f32)
      return c.unsupported("input " + c.name(i) + " is " + dtype_name(c.in(i)->type));
  }
  const Shape& boxes = c.shape(0);
  if (boxes[1] != 4 || c.shape(1)[0] != boxes[0])
    return c.malformed("boxes are " + to_string(boxes) + ", scores " + to_string(c.shape(1)));
  if (op.first_class < 0)
    return c.malformed("the first class is " + std::to_string(op.first_class));
  return {};
}

}  // namespace

std::vector<Detection> select_detections(const DetectionOutput& op, std::span<const float> boxes,
                                         std::span<const float> scores, size_t classes) {
  const size_t count = boxes.size() / 4, first = static_cast<size_t>(op.first_class);
  std::vector<Detection> all;
  const auto passes = [&](float score) { return score > op.score_threshold; };  // NaN does not
  if (op.best_class) {
    for (size_t b = 0; b < count && first < classes; ++b) {
      const std::span<const float> row = scores.subspan(b * classes, classes).subspan(first);
      const auto best = std::ranges::max_element(row);
      const auto label = static_cast<int32_t>(first) + static_cast<int32_t>(best - row.begin());
      if (passes(*best)) all.push_back({b, label, *best});
    }
    thin_out(all, boxes, op);
  }
  for (size_t label = first; label < classes && !op.best_class; ++label) {
    std::vector<Detection> candidates;
    for (size_t b = 0; b < count; ++b) {
      const float score = scores[b * classes + label];
      if (passes(score)) candidates.push_back({b, static_cast<int32_t>(label), score});
    }
    thin_out(candidates, boxes, op);
    all.insert(all.end(), candidates.begin(), candidates.end());
  }
  sort_by_score(all);
  const auto most = static_cast<size_t>(std::max(op.keep, 0));
  if (all.size() > most) all.resize(most);
  return all;
}

Result<Inferred> infer_op(const InferContext& c, const DetectionOutput& op) {
  FIRN_TRY(check(c, op));
  const Value &boxes = *c.in(0), &scores = *c.in(1);
  if (boxes.constant == nullptr || scores.constant == nullptr)
    return c.unsupported("how many rows it has follows from data");
  const size_t rows = select_detections(op, boxes.as<float>(), scores.as<float>(),
                                        static_cast<size_t>(scores.shape[1]))
                          .size();
  return Inferred{DType::f32, {static_cast<int32_t>(rows), 6}};
}

Status compute(const Call& c, const DetectionOutput& op) {
  const std::span<const float> boxes = c.in[0].as<float>();
  const std::vector<Detection> detections =
      select_detections(op, boxes, c.in[1].as<float>(), static_cast<size_t>(c.in[1].shape[1]));
  const std::span<float> out = c.out.as<float>();
  if (out.size() != 6 * detections.size()) return c.invalid("its rows are not those inferred");
  for (size_t i = 0; i < detections.size(); ++i) {
    out[6 * i] = static_cast<float>(detections[i].label);
    out[6 * i + 1] = detections[i].score;
    std::ranges::copy(boxes.subspan(4 * detections[i].box, 4), out.begin() + 6 * i + 2);
  }
  return {};
}

}  // namespace firn
