// SPDX-License-Identifier: Apache-2.0
// The reference operators on images: pools, resizes, normalizations over pixels and channels.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

double pool(const Pool2d& op, const Shape& xs, const float* image, int64_t oy, int64_t ox,
            int64_t channel) {
  const WindowTaps rows = window_taps(op.window, 0, oy, xs[1]);
  const WindowTaps columns = window_taps(op.window, 1, ox, xs[2]);
  double sum = 0, largest = -std::numeric_limits<double>::infinity();
  for (int64_t ky = rows.begin; ky < rows.end; ++ky)
    for (int64_t kx = columns.begin; kx < columns.end; ++kx) {
      const int64_t iy = rows.first + ky * op.window.dilation[0];
      const int64_t ix = columns.first + kx * op.window.dilation[1];
      const double x = static_cast<double>(image[(iy * xs[2] + ix) * xs[3] + channel]);
      sum += x;
      if (!(x <= largest) && !std::isnan(largest)) largest = x;  // NaN wins
    }
  if (op.kind == Pool2d::Kind::max) return largest;
  const int64_t seen = (rows.end - rows.begin) * (columns.end - columns.begin);
  const int64_t count = op.count_pad ? rows.counted * columns.counted : seen;
  // A dilated window in a corner may see padding only: its average is 0.
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

}  // namespace

Status compute(const Call& c, const Pool2d& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  float* out = y.f32().data();
  for (int64_t n = 0; n < ys[0]; ++n) {
    const float* image = x.f32().data() + n * xs[1] * xs[2] * xs[3];
    for (int64_t oy = 0; oy < ys[1]; ++oy)
      for (int64_t ox = 0; ox < ys[2]; ++ox)
        for (int64_t channel = 0; channel < ys[3]; ++channel)
          *out++ = static_cast<float>(pool(op, xs, image, oy, ox, channel));
  }
  c.store(y);
  return {};
}

namespace {

Status resize_nearest_pixels(const Call& c, const Resize2d& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  const Mover mover(x.tensor, c.out);
  for (int64_t n = 0; n < ys[0]; ++n)
    for (int64_t oy = 0; oy < ys[1]; ++oy)
      for (int64_t ox = 0; ox < ys[2]; ++ox) {
        const double sy = resize_source(op, 0, oy, xs[1], ys[1]);
        const double sx = resize_source(op, 1, ox, xs[2], ys[2]);
        const int64_t iy = resize_nearest(op.nearest, sy, xs[1]);
        const int64_t ix = resize_nearest(op.nearest, sx, xs[2]);
        mover.move(((n * ys[1] + oy) * ys[2] + ox) * ys[3], ((n * xs[1] + iy) * xs[2] + ix) * xs[3],
                   xs[3]);
      }
  return {};
}

}  // namespace

Status compute(const Call& c, const Resize2d& op) {
  if (op.kind == Resize2d::Kind::nearest) return resize_nearest_pixels(c, op);
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  float* out = y.f32().data();
  for (int64_t n = 0; n < ys[0]; ++n)
    for (int64_t oy = 0; oy < ys[1]; ++oy)
      for (int64_t ox = 0; ox < ys[2]; ++ox) {
        const double sy = std::clamp(resize_source(op, 0, oy, xs[1], ys[1]), 0.0, xs[1] - 1.0);
        const double sx = std::clamp(resize_source(op, 1, ox, xs[2], ys[2]), 0.0, xs[2] - 1.0);
        const int64_t top = static_cast<int64_t>(sy), left = static_cast<int64_t>(sx);
        const int64_t bottom = std::min<int64_t>(top + 1, xs[1] - 1);
        const int64_t right = std::min<int64_t>(left + 1, xs[2] - 1);
        const double fy = sy - static_cast<double>(top), fx = sx - static_cast<double>(left);
        for (int64_t channel = 0; channel < ys[3]; ++channel) {
          const auto at = [&](int64_t iy, int64_t ix) {
            const int64_t offset = ((n * xs[1] + iy) * xs[2] + ix) * xs[3] + channel;
            return static_cast<double>(x.f32()[static_cast<size_t>(offset)]);
          };
          const double upper = at(top, left) * (1 - fx) + at(top, right) * fx;
          const double lower = at(bottom, left) * (1 - fx) + at(bottom, right) * fx;
          *out++ = static_cast<float>(upper * (1 - fy) + lower * fy);
        }
      }
  c.store(y);
  return {};
}

Status compute(const Call& c, const LocalResponseNorm& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const int64_t channels = c.in[0].shape[3];
  const int64_t before = (op.size - int64_t{1}) / 2, after = op.size / 2;
  for (size_t i = 0; i < x.f32().size(); ++i) {
    const int64_t channel = static_cast<int64_t>(i) % channels;
    const float* pixel = x.f32().data() + (static_cast<int64_t>(i) - channel);
    double squares = 0;
    for (int64_t k = std::max<int64_t>(0, channel - before);
         k <= std::min(channels - 1, channel + after); ++k)
      squares += static_cast<double>(pixel[k]) * static_cast<double>(pixel[k]);
    const double base =
        static_cast<double>(op.bias) + static_cast<double>(op.alpha) / op.size * squares;
    y.f32()[i] = static_cast<float>(static_cast<double>(pixel[channel]) /
                                    std::pow(base, static_cast<double>(op.beta)));
  }
  c.store(y);
  return {};
}

Status compute(const Call& c, const InstanceNorm& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand scale, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand bias, c.load(2, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const size_t channels = static_cast<size_t>(xs[xs.rank - 1]);
  const size_t samples = static_cast<size_t>(xs[0]);
  const size_t pixels = xs.elements() / samples / channels;
  for (size_t n = 0; n < samples; ++n)
    for (size_t channel = 0; channel < channels; ++channel) {
      const auto position = [&](size_t p) { return (n * pixels + p) * channels + channel; };
      double mean = 0, variance = 0;
      for (size_t p = 0; p < pixels; ++p) mean += static_cast<double>(x.f32()[position(p)]);
      mean /= static_cast<double>(pixels);
      for (size_t p = 0; p < pixels; ++p) {
        const double d = static_cast<double>(x.f32()[position(p)]) - mean;
        variance += d * d;
      }
      variance /= static_cast<double>(pixels);
      const double factor = static_cast<double>(scale.f32()[channel]) /
                            std::sqrt(variance + static_cast<double>(op.epsilon));
      for (size_t p = 0; p < pixels; ++p)
        y.f32()[position(p)] =
            static_cast<float>((static_cast<double>(x.f32()[position(p)]) - mean) * factor +
                               static_cast<double>(bias.f32()[channel]));
    }
  c.store(y);
  return {};
}

Status compute(const Call& c, const LayerNorm& op) {
  const auto has = [&](size_t i) { return i < c.in.size() && c.node.in[i] != ValueId::none; };
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand scale, c.load(has(1) ? 1 : 0, DType::f32));
  FIRN_ASSIGN(const Operand bias, c.load(has(2) ? 2 : 0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const auto count = static_cast<size_t>(xs[xs.rank - 1]);
  for (size_t row = 0; row < x.f32().size(); row += count) {
    const std::span<const float> from = x.f32().subspan(row, count);
    double mean = 0, variance = 0;
    for (float v : from) mean += static_cast<double>(v);
    mean = op.centred ? mean / static_cast<double>(count) : 0;
    for (float v : from)
      variance += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
    const double deviation =
        std::sqrt(variance / static_cast<double>(count) + static_cast<double>(op.epsilon));
    for (size_t i = 0; i < count; ++i)
      y.f32()[row + i] = static_cast<float>((static_cast<double>(from[i]) - mean) / deviation *
                                                (has(1) ? static_cast<double>(scale.f32()[i]) : 1) +
                                            (has(2) ? static_cast<double>(bias.f32()[i]) : 0));
  }
  c.store(y);
  return {};
}

Status compute(const Call& c, const DepthToSpace& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  const Mover mover(x.tensor, c.out);
  const int64_t b = op.block;
  int64_t to = 0;
  for (int64_t n = 0; n < ys[0]; ++n)
    for (int64_t oy = 0; oy < ys[1]; ++oy)
      for (int64_t ox = 0; ox < ys[2]; ++ox)
        for (int64_t oc = 0; oc < ys[3]; ++oc) {
          const int64_t cell = oy % b * b + ox % b;
          const int64_t depth = op.crd ? oc * b * b + cell : cell * ys[3] + oc;
          mover.move(to++, ((n * xs[1] + oy / b) * xs[2] + ox / b) * xs[3] + depth);
        }
  return {};
}

}  // namespace firn
