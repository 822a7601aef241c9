// SPDX-License-Identifier: Apache-2.0
// What DetectionOutput selects; its shape follows from the data, so inference needs it, too.
#ifndef FIRN_RUNTIME_DETECT_H_
#define FIRN_RUNTIME_DETECT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/ops.h"

namespace firn {

struct Detection {
  size_t box = 0;
  int32_t label = 0;
  float score = 0;
};

// boxes: 4 numbers each; scores: `classes` each. In the order of the output's rows; of equal scores
// the lower class first, then the earlier box.
std::vector<Detection> select_detections(const DetectionOutput& op, std::span<const float> boxes,
                                         std::span<const float> scores, size_t classes);

}  // namespace firn

#endif  // FIRN_RUNTIME_DETECT_H_
