// SPDX-License-Identifier: Apache-2.0
// Camera frames and pictures to input tensors: crop, turn, resize, colours, normalize and quantize,
// without copies in between.
#ifndef FIRN_IMAGE_H_
#define FIRN_IMAGE_H_

#include <array>
#include <cstdint>
#include <optional>

#include "firn/export.h"
#include "firn/status.h"
#include "firn/tensor.h"

namespace firn {

// Eight bits a channel; alpha is ignored. Where YUV has an odd width or height, the chroma planes'
// is rounded up.
enum class PixelFormat : uint8_t {
  rgb,  // one plane: these five
  bgr,
  rgba,
  bgra,
  gray,
  nv12,    // two planes: Y; UV pairs
  nv21,    // two planes: Y; VU pairs
  i420,    // three planes: Y; U; V
  yuv420,  // the same; with pixel strides it is Android's YUV_420_888
};

// Strides are in bytes: from one row to the next, and from one sample (of a plane with pairs or
// colours: from one group) to the next. 0 is dense.
struct Plane {
  const uint8_t* data = nullptr;
  int row_stride = 0;
  int pixel_stride = 0;
};

// A view, as the camera or a decoder hands it over.
struct Image {
  PixelFormat format = PixelFormat::rgb;
  int width = 0, height = 0;
  std::array<Plane, 3> planes;
};

struct Rect {
  int x = 0, y = 0, width = 0, height = 0;
};

// How an upright image fills the output.
enum class Fit : uint8_t {
  stretch,    // all of it, whatever its aspect ratio
  crop,       // its middle, aspect ratio kept
  letterbox,  // all of it in the middle, aspect ratio kept, the rest is `pad`
};
enum class Channels : uint8_t { rgb, bgr, gray };
enum class Layout : uint8_t { nchw, nhwc };
// BT.601 luma from 16 to 235 (video), or from 0 to 255 (JPEG; most phones' camera frames).
enum class YuvRange : uint8_t { limited, full };

// In the order of the steps.
struct Preprocess {
  Rect crop{};          // of the image as it is stored; empty: all of it
  int rotation = 0;     // clockwise: 0, 90, 180 or 270
  bool mirror = false;  // left and right change places, after the rotation
  Fit fit = Fit::stretch;
  // Fit::crop: the shorter side after resizing; the output is cut from the middle of that
  // (ImageNet: 256 for 224 x 224). 0: as much as possible.
  int short_side = 0;
  // Bilinear, with a filter that widens when it shrinks, as Pillow's; otherwise always the four
  // nearest pixels, as OpenCV's.
  bool antialias = true;
  YuvRange yuv_range = YuvRange::limited;
  Channels channels = Channels::rgb;
  std::array<float, 3> pad{0, 0, 0};   // pixel of the output's channels, 0..255
  std::array<float, 3> mean{0, 0, 0};  // (pixel - mean) / std, channel by channel
  std::array<float, 3> std{1, 1, 1};
  Layout layout = Layout::nchw;
};

// Fills `out`: f32, u8 or i8, 1 x channels x height x width or as `layout` says; the 1 may be left
// out. 8-bit outputs with
// `quant`, an input's TensorInfo::quant, are quantized with it; without, values are rounded and
// clamped. invalid_argument names what is wrong.
FIRN_API Status preprocess(const Image& image, const Preprocess& how, const Tensor& out,
                           const std::optional<Quant>& quant = {});

struct Point {
  float x = 0, y = 0;
};

// Where a point of the output lies in the image as it is stored: to draw what a detector found.
// Pixels are unit squares, so that the output's corners are (0, 0) and (out_width, out_height).
FIRN_API Result<Point> to_image(const Image& image, const Preprocess& how, int out_width,
                                int out_height, const Point& point);

}  // namespace firn

#endif  // FIRN_IMAGE_H_
