// SPDX-License-Identifier: Apache-2.0
// From a camera frame to the network's input: the same for training, calibrating and running.
#ifndef FIRN_EXAMPLES_CAMERA_PIPELINE_H_
#define FIRN_EXAMPLES_CAMERA_PIPELINE_H_

#include "firn/image.h"
#include "scenes.h"

namespace pipeline {

inline constexpr int kFrameWidth = 320, kFrameHeight = 240;
inline constexpr int kInputSize = 96;

inline firn::Shape input_shape() {
  return {1, 3, kInputSize, kInputSize};
}

inline firn::Preprocess preprocessing() {
  firn::Preprocess how;
  how.fit = firn::Fit::stretch;
  how.yuv_range = firn::YuvRange::full;
  how.mean = {127.5f, 127.5f, 127.5f};
  how.std = {64.0f, 64.0f, 64.0f};
  return how;
}

}  // namespace pipeline

#endif  // FIRN_EXAMPLES_CAMERA_PIPELINE_H_
