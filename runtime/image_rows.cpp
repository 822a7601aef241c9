// SPDX-License-Identifier: Apache-2.0
// Decodes pixels: every format comes down to three planes of samples with strides.
#include "runtime/image_rows.h"

#include <algorithm>
#include <string>

namespace firn {
namespace {

// Rows of larger images would not fit the arithmetic's ints.
constexpr int kMaxSide = 1 << 15;

struct PlaneLayout {
  int samples;      // bytes of one group: 3 of a pixel of rgb, 2 of a pair of chroma
  int subsampling;  // 2: half the width and height, rounded up
};
struct FormatLayout {
  int planes;
  std::array<PlaneLayout, 3> plane;
};

FormatLayout layout_of(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb:
    case PixelFormat::bgr:
      return {1, {{{3, 1}}}};
    case PixelFormat::rgba:
    case PixelFormat::bgra:
      return {1, {{{4, 1}}}};
    case PixelFormat::gray:
      return {1, {{{1, 1}}}};
    case PixelFormat::nv12:
    case PixelFormat::nv21:
      return {2, {{{1, 1}, {2, 2}}}};
    case PixelFormat::i420:
    case PixelFormat::yuv420:
      return {3, {{{1, 1}, {1, 2}, {1, 2}}}};
  }
  return {0, {}};
}

int pixel_stride(const Plane& plane, const PlaneLayout& layout) {
  return plane.pixel_stride == 0 ? layout.samples : plane.pixel_stride;
}

int row_stride(const Plane& plane, const PlaneLayout& layout, int width) {
  const int samples = (width + layout.subsampling - 1) / layout.subsampling;
  return plane.row_stride == 0 ? samples * pixel_stride(plane, layout) : plane.row_stride;
}

// BT.601 in float: rgb = luma (y - offset) + ...
struct YuvMatrix {
  float offset, luma, v_to_r, u_to_g, v_to_g, u_to_b;
};
constexpr YuvMatrix kLimited{16, 1.164384f, 1.596027f, -0.391762f, -0.812968f, 2.017232f};
constexpr YuvMatrix kFull{0, 1, 1.402f, -0.344136f, -0.714136f, 1.772f};

float clamp_pixel(float value) {
  return std::min(std::max(value, 0.0f), 255.0f);
}

}  // namespace

Status check_image(const Image& image) {
  const auto invalid = [](const std::string& what) {
    return Status(Code::invalid_argument, "image: " + what);
  };
  if (image.width < 1 || image.height < 1 || image.width > kMaxSide || image.height > kMaxSide) {
    return invalid("size " + std::to_string(image.width) + "x" + std::to_string(image.height));
  }
  const FormatLayout format = layout_of(image.format);
  if (format.planes == 0) {
    return invalid("format " + std::to_string(static_cast<int>(image.format)) + " is unknown");
  }
  for (size_t i = 0; i < static_cast<size_t>(format.planes); ++i) {
    const Plane& plane = image.planes[i];
    const PlaneLayout& layout = format.plane[i];
    const std::string name = "plane " + std::to_string(i) + ": ";
    if (plane.data == nullptr) return invalid(name + "no data");
    const int pixel = pixel_stride(plane, layout);
    if (pixel < layout.samples || pixel > kMaxSide) {
      return invalid(name + "pixel stride " + std::to_string(pixel) + ", at least " +
                     std::to_string(layout.samples));
    }
    const int64_t groups = (image.width + layout.subsampling - 1) / layout.subsampling;
    // Behind a row's last group no padding is needed.
    const int64_t least = (groups - 1) * pixel + layout.samples;
    const int64_t row = plane.row_stride == 0 ? groups * pixel : plane.row_stride;
    if (row < least) {
      return invalid(name + "row stride " + std::to_string(row) + ", at least " +
                     std::to_string(least));
    }
  }
  return {};
}

RowDecoder::RowDecoder(const Image& image, Channels channels, YuvRange range)
    : yuv_(image.format >= PixelFormat::nv12),
      channels_(channels),
      range_(range),
      line_(3 * static_cast<size_t>(image.width)) {
  const FormatLayout format = layout_of(image.format);
  const auto samples = [&](size_t plane, int offset) {
    const Plane& p = image.planes[plane];
    const PlaneLayout& layout = format.plane[plane];
    return Samples{p.data + offset, row_stride(p, layout, image.width), pixel_stride(p, layout)};
  };
  switch (image.format) {
    case PixelFormat::rgb:
    case PixelFormat::rgba:
      samples_ = {samples(0, 0), samples(0, 1), samples(0, 2)};
      break;
    case PixelFormat::bgr:
    case PixelFormat::bgra:
      samples_ = {samples(0, 2), samples(0, 1), samples(0, 0)};
      break;
    case PixelFormat::gray:
      samples_ = {samples(0, 0), samples(0, 0), samples(0, 0)};
      break;
    case PixelFormat::nv12:
      samples_ = {samples(0, 0), samples(1, 0), samples(1, 1)};
      break;
    case PixelFormat::nv21:
      samples_ = {samples(0, 0), samples(1, 1), samples(1, 0)};
      break;
    case PixelFormat::i420:
    case PixelFormat::yuv420:
      samples_ = {samples(0, 0), samples(1, 0), samples(2, 0)};
      break;
  }
}

void RowDecoder::read(const Samples& samples, int x, int y, int width, int subsampling,
                      float* out) const {
  const uint8_t* row = samples.data + static_cast<ptrdiff_t>(y / subsampling) * samples.row_stride;
  const ptrdiff_t stride = samples.pixel_stride;
  if (subsampling == 1) {
    for (int i = 0; i < width; ++i) out[i] = row[(x + i) * stride];
  } else {
    // Two pixels a sample; an odd x starts with the second one of its pair.
    for (int i = 0; i < width; ++i) out[i] = row[((x + i) >> 1) * stride];
  }
}

void RowDecoder::decode_yuv(int x, int y, int width, float* out) {
  const YuvMatrix m = range_ == YuvRange::full ? kFull : kLimited;
  const size_t w = static_cast<size_t>(width);
  float* const luma = line_.data();
  read(samples_[0], x, y, width, 1, luma);
  if (channels_ == Channels::gray) {
    for (size_t i = 0; i < w; ++i) out[i] = clamp_pixel(m.luma * (luma[i] - m.offset));
    return;
  }
  float *const u = luma + w, *const v = u + w;
  read(samples_[1], x, y, width, 2, u);
  read(samples_[2], x, y, width, 2, v);
  float *red = out, *const green = out + w, *blue = green + w;
  if (channels_ == Channels::bgr) std::swap(red, blue);
  for (size_t i = 0; i < w; ++i) {
    const float l = m.luma * (luma[i] - m.offset), cu = u[i] - 128, cv = v[i] - 128;
    red[i] = clamp_pixel(l + m.v_to_r * cv);
    green[i] = clamp_pixel(l + m.u_to_g * cu + m.v_to_g * cv);
    blue[i] = clamp_pixel(l + m.u_to_b * cu);
  }
}

void RowDecoder::decode_colours(int x, int y, int width, float* out) {
  const size_t w = static_cast<size_t>(width);
  if (channels_ != Channels::gray) {
    const bool bgr = channels_ == Channels::bgr;
    for (size_t c = 0; c < 3; ++c) read(samples_[bgr ? 2 - c : c], x, y, width, 1, out + c * w);
    return;
  }
  if (samples_[0].data == samples_[1].data) return read(samples_[0], x, y, width, 1, out);
  float *const red = line_.data(), *const green = red + w, *const blue = green + w;
  read(samples_[0], x, y, width, 1, red);
  read(samples_[1], x, y, width, 1, green);
  read(samples_[2], x, y, width, 1, blue);
  for (size_t i = 0; i < w; ++i) out[i] = 0.299f * red[i] + 0.587f * green[i] + 0.114f * blue[i];
}

void RowDecoder::decode(int x, int y, int width, float* out) {
  yuv_ ? decode_yuv(x, y, width, out) : decode_colours(x, y, width, out);
}

}  // namespace firn
