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

// Regions of an image, each brought to one size by a grid of bins. in: x [N,H,W,C], regions [R,4]
// as x0, y0, x1, y1, and of which image each is (i64, i32 [R]; left out: all of the first). out:
// [R,height,width,C]. Of each bin:
//   max: the largest pixel, bins widened to whole ones (Fast R-CNN, arXiv:1504.08083);
//   position: the mean of pixels, each bin of channels of its own, so that C is height * width
//   times
//     the output's (R-FCN, arXiv:1605.06409);
//   align: the mean of samples between pixels (Mask R-CNN, arXiv:1703.06870);
//   align_max: the largest share of a pixel in a sample, as ONNX's RoiAlign defines it;
//   align_inside: align of a bin's part inside the image, with samples that start there, as ncnn's.
struct RegionPool {
  enum class Kind : uint8_t { max, position, align, align_max, align_inside };
  Kind kind = Kind::max;
  std::array<int32_t, 2> size{1, 1};  // height, width
  float scale = 1;                    // from the regions' units to pixels
  int32_t samples = 0;                // along a side of a bin; 0: one a pixel
  bool half_pixel = false;  // align: positions are of pixels' centres, sizes may be below 1
  bool operator==(const RegionPool&) const = default;
};

}  // namespace firn

#endif  // FIRN_RUNTIME_OPS_DETECTION_H_
