// SPDX-License-Identifier: Apache-2.0
// Preprocessing: separable resampling in the order in which the image is stored; rotation and
// mirroring only change which way the taps and the output's strides run.
#include "firn/image.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/requant.h"
#include "runtime/image_rows.h"
#include "runtime/quant_check.h"

namespace firn {
namespace {

constexpr int kMaxOutputSide = 1 << 14;

Status invalid(const std::string& what) {
  return Status(Code::invalid_argument, "preprocess: " + what);
}

// One side of the upright image and how it lies in the output: `source` pixels are resized to
// `scaled`; output pixel 0 is pixel `first` of those. Outside of them is padding.
struct Side {
  int source = 0, scaled = 0, first = 0, out = 0;
  bool flipped = false;  // counted from the far end of the stored image
};

// Both sides, as the output sees them and as the image is stored.
struct Geometry {
  Rect crop;
  Side horizontal, vertical;  // of the output
  bool transposed = false;    // the output's horizontal side is the stored vertical one
  const Side& stored_x() const { return transposed ? vertical : horizontal; }
  const Side& stored_y() const { return transposed ? horizontal : vertical; }
};

int scale_rounded(int length, double scale) {
  return std::max(1, static_cast<int>(std::lrint(length * scale)));
}

// Chooses scaled and first of both sides.
Status fit_sides(const Preprocess& how, Side& w, Side& h) {
  w.scaled = w.out;
  h.scaled = h.out;
  if (how.fit == Fit::stretch) return {};
  const double by_width = static_cast<double>(w.out) / w.source;
  const double by_height = static_cast<double>(h.out) / h.source;
  if (how.fit == Fit::letterbox) {
    w.scaled = std::min(w.out, scale_rounded(w.source, std::min(by_width, by_height)));
    h.scaled = std::min(h.out, scale_rounded(h.source, std::min(by_width, by_height)));
    w.first = -((w.out - w.scaled) / 2);
    h.first = -((h.out - h.scaled) / 2);
    return {};
  }
  if (how.short_side == 0) {
    w.scaled = std::max(w.out, scale_rounded(w.source, std::max(by_width, by_height)));
    h.scaled = std::max(h.out, scale_rounded(h.source, std::max(by_width, by_height)));
  } else {
    // As torchvision's Resize: the longer side is rounded down.
    const int shorter = std::min(w.source, h.source);
    const auto scaled = [&](int length) {
      return static_cast<int64_t>(how.short_side) * length / shorter;
    };
    if (scaled(std::max(w.source, h.source)) > kMaxOutputSide) {
      return invalid("short side " + std::to_string(how.short_side) + " makes the longer too long");
    }
    w.scaled = static_cast<int>(scaled(w.source));
    h.scaled = static_cast<int>(scaled(h.source));
    if (w.scaled < w.out || h.scaled < h.out) {
      return invalid("an output of " + std::to_string(w.out) + "x" + std::to_string(h.out) +
                     " does not fit the resized " + std::to_string(w.scaled) + "x" +
                     std::to_string(h.scaled));
    }
  }
  w.first = static_cast<int>(std::lrint((w.scaled - w.out) / 2.0));
  h.first = static_cast<int>(std::lrint((h.scaled - h.out) / 2.0));
  return {};
}

Result<Geometry> plan(const Image& image, const Preprocess& how, int out_width, int out_height) {
  FIRN_TRY(check_image(image));
  Geometry g;
  g.crop = how.crop;
  if (g.crop.width == 0 && g.crop.height == 0) g.crop = {0, 0, image.width, image.height};
  const Rect& c = g.crop;
  if (c.x < 0 || c.y < 0 || c.width < 1 || c.height < 1 || c.x > image.width - c.width ||
      c.y > image.height - c.height) {
    return invalid("crop " + std::to_string(c.width) + "x" + std::to_string(c.height) + " at (" +
                   std::to_string(c.x) + ", " + std::to_string(c.y) + ") of an image of " +
                   std::to_string(image.width) + "x" + std::to_string(image.height));
  }
  if (out_width < 1 || out_height < 1 || out_width > kMaxOutputSide ||
      out_height > kMaxOutputSide) {
    return invalid("output size " + std::to_string(out_width) + "x" + std::to_string(out_height));
  }
  if (how.rotation % 90 != 0 || how.rotation < 0 || how.rotation > 270) {
    return invalid("rotation " + std::to_string(how.rotation) + " is none of 0, 90, 180, 270");
  }
  if (how.short_side < 0) return invalid("short side " + std::to_string(how.short_side));
  g.transposed = how.rotation == 90 || how.rotation == 270;
  g.horizontal.source = g.transposed ? c.height : c.width;
  g.vertical.source = g.transposed ? c.width : c.height;
  g.horizontal.out = out_width;
  g.vertical.out = out_height;
  // Turned by 90 degrees, the output's left is the stored bottom; by 180 both sides are reversed;
  // by 270 the output's top is the stored right.
  g.horizontal.flipped = (how.rotation == 90 || how.rotation == 180) != how.mirror;
  g.vertical.flipped = how.rotation == 180 || how.rotation == 270;
  FIRN_TRY(fit_sides(how, g.horizontal, g.vertical));
  return g;
}

// The stored pixels that make output pixel i, and their weights, which sum to 1. No weights:
// padding.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

Taps taps_of(const Side& side, int i, bool antialias) {
  Taps taps;
  const int at = i + side.first;
  if (at < 0 || at >= side.scaled) return taps;
  const double ratio = static_cast<double>(side.source) / side.scaled;
  const double center = (at + 0.5) * ratio;
  const double support = antialias ? std::max(1.0, ratio) : 1.0;  // half of the triangle's base
  const int begin = std::max(0, static_cast<int>(std::floor(center - support)));
  const int end = std::min(side.source, static_cast<int>(std::ceil(center + support)));
  double sum = 0;
  std::vector<double> weights;
  for (int s = begin; s < end; ++s) {
    weights.push_back(std::max(0.0, 1 - std::abs(s + 0.5 - center) / support));
    sum += weights.back();
  }
  for (double w : weights) taps.weights.push_back(static_cast<float>(w / sum));
  taps.first = begin;
  if (side.flipped) {
    taps.first = side.source - end;
    std::ranges::reverse(taps.weights);
  }
  return taps;
}

std::vector<Taps> all_taps(const Side& side, bool antialias) {
  std::vector<Taps> taps;
  for (int i = 0; i < side.out; ++i) taps.push_back(taps_of(side, i, antialias));
  return taps;
}

// Beyond, rows are decoded twice: huge pictures shrunk to icons shall not fill the memory.
constexpr size_t kMaxCachedRows = 64;

// Decoded rows of the crop: neighbouring output rows share most of theirs.
class RowCache {
 public:
  RowCache(const Image& image, const Preprocess& how, const Rect& crop, size_t rows)
      : decoder_(image, how.channels, how.yuv_range),
        crop_(crop),
        row_floats_(static_cast<size_t>(crop.width * channel_count(how.channels))),
        held_(rows, -1),
        rows_(rows * row_floats_) {}

  // Good until the next call.
  const float* row(int y) {
    const size_t slot = static_cast<size_t>(y) % held_.size();
    float* const data = rows_.data() + slot * row_floats_;
    if (held_[slot] != y) decoder_.decode(crop_.x, crop_.y + y, crop_.width, data);
    held_[slot] = y;
    return data;
  }
  size_t row_floats() const { return row_floats_; }

 private:
  RowDecoder decoder_;
  Rect crop_;
  size_t row_floats_;
  std::vector<int> held_;
  std::vector<float> rows_;
};

// Turns pixels into the output's elements. int8 as the kernels quantize; uint8 is int8 shifted.
template <typename T>
struct Encoder {
  static constexpr int kShift = std::is_same_v<T, uint8_t> ? 128 : 0;
  float inverse_scale = 1;
  kernels::Clamp8 clamp{-kShift};

  explicit Encoder(const std::optional<Quant>& quant) {
    if (std::is_same_v<T, float> || !quant) return;
    inverse_scale = static_cast<float>(1.0 / quant->scale[0]);
    clamp.zero = quant->zero[0] - kShift;
  }
  T operator()(float pixel, float mean, float std) const {
    const float value = (pixel - mean) / std;
    if constexpr (std::is_same_v<T, float>) {
      return value;
    } else {
      return static_cast<T>(kernels::round_clamped(value * inverse_scale, clamp) + kShift);
    }
  }
};

template <typename T>
void resample(const Image& image, const Preprocess& how, const Geometry& g,
              const Encoder<T>& encode, T* out) {
  const std::vector<Taps> columns = all_taps(g.stored_x(), how.antialias);
  const std::vector<Taps> rows = all_taps(g.stored_y(), how.antialias);
  size_t reach = 1;  // of the tallest filter
  for (const Taps& taps : rows) reach = std::max(reach, taps.weights.size());
  RowCache cache(image, how, g.crop, std::min(reach, kMaxCachedRows));
  std::vector<float> mixed(cache.row_floats());

  const size_t channels = static_cast<size_t>(channel_count(how.channels));
  const size_t width = static_cast<size_t>(g.horizontal.out);
  const size_t area = width * static_cast<size_t>(g.vertical.out);
  const bool planar = how.layout == Layout::nchw;
  const size_t channel_step = planar ? area : 1, pixel = planar ? 1 : channels;
  const size_t column_step = g.transposed ? width * pixel : pixel;
  const size_t row_step = g.transposed ? pixel : width * pixel;

  for (size_t j = 0; j < rows.size(); ++j) {
    std::ranges::fill(mixed, 0.0f);
    for (size_t k = 0; k < rows[j].weights.size(); ++k) {
      const float weight = rows[j].weights[k];
      const float* const row = cache.row(rows[j].first + static_cast<int>(k));
      for (size_t i = 0; i < mixed.size(); ++i) mixed[i] += weight * row[i];
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      const Taps& taps = columns[i];
      const bool padding = rows[j].weights.empty() || taps.weights.empty();
      for (size_t c = 0; c < channels; ++c) {
        float value = padding ? how.pad[c] : 0;
        if (!padding) {
          const float* const line =
              mixed.data() + c * static_cast<size_t>(g.crop.width) + taps.first;
          for (size_t k = 0; k < taps.weights.size(); ++k) value += taps.weights[k] * line[k];
        }
        out[j * row_step + i * column_step + c * channel_step] =
            encode(value, how.mean[c], how.std[c]);
      }
    }
  }
}

// Of three dimensions, as ncnn's inputs have, those of one picture.
Shape with_batch(const Shape& shape) {
  return shape.rank == 3 ? Shape{1, shape[0], shape[1], shape[2]} : shape;
}

Status check_output(const Preprocess& how, const Tensor& out, const std::optional<Quant>& quant) {
  if (out.data == nullptr) return invalid("the output has no data");
  if (out.type != DType::f32 && out.type != DType::u8 && out.type != DType::i8) {
    return invalid(std::string("output type ") + dtype_name(out.type) + " is none of f32, u8, i8");
  }
  const int channels = channel_count(how.channels);
  const int channel_axis = how.layout == Layout::nchw ? 1 : 3;
  const Shape shape = with_batch(out.shape);
  if (shape.rank != 4 || shape[0] != 1 || shape[channel_axis] != channels) {
    const std::string c = std::to_string(channels);
    return invalid("output shape " + to_string(out.shape) + ", expected " +
                   (how.layout == Layout::nchw ? "1x" + c + "xHxW" : "1xHxWx" + c));
  }
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    if (!std::isfinite(how.mean[c]) || !std::isfinite(how.pad[c]) || !std::isnormal(how.std[c])) {
      return invalid("mean, std or pad of channel " + std::to_string(c) + " is not usable");
    }
  }
  if (!quant || out.type == DType::f32) return {};
  if (!quant->per_tensor()) return invalid("the output's quantization is not per tensor");
  const Status status = check_quant({"output", out.type, out.shape, quant, nullptr}, true);
  return status.ok() ? status : invalid(status.message());
}

}  // namespace

Status preprocess(const Image& image, const Preprocess& how, const Tensor& out,
                  const std::optional<Quant>& quant) {
  FIRN_TRY(check_output(how, out, quant));
  const bool planar = how.layout == Layout::nchw;
  const Shape shape = with_batch(out.shape);
  FIRN_ASSIGN(const Geometry geometry,
              plan(image, how, shape[planar ? 3 : 2], shape[planar ? 2 : 1]));
  const auto fill = [&]<typename T>(T* elements) {
    resample(image, how, geometry, Encoder<T>(quant), elements);
  };
  if (out.type == DType::f32) {
    fill(static_cast<float*>(out.data));
  } else if (out.type == DType::u8) {
    fill(static_cast<uint8_t*>(out.data));
  } else {
    fill(static_cast<int8_t*>(out.data));
  }
  return {};
}

Result<Point> to_image(const Image& image, const Preprocess& how, int out_width, int out_height,
                       const Point& point) {
  FIRN_ASSIGN(const Geometry g, plan(image, how, out_width, out_height));
  const auto along = [](const Side& side, float at) {
    const float source = static_cast<float>(side.source);
    const float position =
        (at + static_cast<float>(side.first)) * source / static_cast<float>(side.scaled);
    return side.flipped ? source - position : position;
  };
  const float horizontal = along(g.horizontal, point.x), vertical = along(g.vertical, point.y);
  return Point{static_cast<float>(g.crop.x) + (g.transposed ? vertical : horizontal),
               static_cast<float>(g.crop.y) + (g.transposed ? horizontal : vertical)};
}

}  // namespace firn
