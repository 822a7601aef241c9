// SPDX-License-Identifier: Apache-2.0
// The canonical operators behind object detectors: from scores and offsets to boxes.
#ifndef FIRN_RUNTIME_OPS_DETECTION_H_
#define FIRN_RUNTIME_OPS_DETECTION_H_

#include <array>
#include <cstdint>
#include <limits>

namespace firn {

// in: boxes [N,B,4], scores [N,C,B]; most per class (i64), IoU threshold, score threshold
// (scalars, optional). out: i64 [selected, 3]: batch, class, box; ONNX's NonMaxSuppression.
struct NonMaxSuppression {
  bool center = false;  // boxes are x, y, width, height; else two opposite corners y, x, y, x
  bool operator==(const NonMaxSuppression&) const = default;
};

// What detectors end in. in: boxes [B,4] as x0, y0, x1, y1, scores [B,C]. out: [rows,6] of class,
// score and box, the best score first. Boxes of one class (or, where each counts for its best class
// alone, all boxes) are taken from the best on, unless they overlap one that was taken.
struct DetectionOutput {
  int32_t first_class = 0;    // those before it, a background, do not count
  bool best_class = false;    // a box counts for its best class alone
  float score_threshold = 0;  // scores are above it
  float iou_threshold = 0.5f;
  int32_t candidates = std::numeric_limits<int32_t>::max();  // of a class: its best ones
  int32_t keep = std::numeric_limits<int32_t>::max();        // rows at most
  bool operator==(const DetectionOutput&) const = default;
};

// TensorFlow Lite's end of a detector. in: boxes [1,B,4 or more] as y, x, height, width relative to
// anchors [B,4] of the same, scores [1,B,C]. The last `classes` of the C scores count. out: boxes
// [1,rows,4] as y0, x0, y1, x1, classes [1,rows], scores [1,rows], their number [1]; zeros behind
// what is found. Fast: boxes are thinned out by their best score, then give rows for each of their
// classes_per_detection best classes; else class by class, per_class at most.
struct DetectionPostProcess {
  int32_t classes = 1, detections = 1, classes_per_detection = 1, per_class = 100;
  bool regular = false;  // class by class
  float score_threshold = 0, iou_threshold = 0.5f;
  std::array<float, 4> scale{1, 1, 1, 1};  // y, x, height, width are divided by
  bool operator==(const DetectionPostProcess&) const = default;
};

}  // namespace firn

#endif  // FIRN_RUNTIME_OPS_DETECTION_H_
