// SPDX-License-Identifier: Apache-2.0
// Rows of any pixel format as planes of floats from 0 to 255.
#ifndef FIRN_RUNTIME_IMAGE_ROWS_H_
#define FIRN_RUNTIME_IMAGE_ROWS_H_

#include <vector>

#include "firn/image.h"

namespace firn {

// Size, planes and strides make sense. invalid_argument.
Status check_image(const Image& image);

inline int channel_count(Channels channels) {
  return channels == Channels::gray ? 1 : 3;
}

// Decodes `width` pixels from (x, y) on. Of an image that passed check_image, and inside it.
class RowDecoder {
 public:
  RowDecoder(const Image& image, Channels channels, YuvRange range);
  // channel_count() planes of `width` floats each, one behind the other, in the channels' order.
  void decode(int x, int y, int width, float* out);

 private:
  struct Samples {  // one channel of the source
    const uint8_t* data;
    int row_stride, pixel_stride;
  };
  void read(const Samples& samples, int x, int y, int width, int subsampling, float* out) const;
  void decode_yuv(int x, int y, int width, float* out);
  void decode_colours(int x, int y, int width, float* out);

  bool yuv_;
  Channels channels_;
  YuvRange range_;
  std::array<Samples, 3> samples_{};  // R, G, B, or Y, U, V
  std::vector<float> line_;           // three channels of the source
};

}  // namespace firn

#endif  // FIRN_RUNTIME_IMAGE_ROWS_H_
