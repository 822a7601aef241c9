// SPDX-License-Identifier: Apache-2.0
// The reference convolutions and matrix products: plain loops, sums in double.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

// Where the taps of an output lie along one axis: tap k at first + k * step. It reads a pixel where
// that is inside [0, end) and a multiple of `spacing`, the distance of the pixels.
struct Taps {
  int64_t first, step, end, spacing;

  // Those inside are [begin, end) of `kernel`: windows may be much larger than the input.
  std::pair<int64_t, int64_t> inside(int64_t kernel) const {
    const auto up_to = [&](int64_t way) {  // taps before that far from the first
      return std::clamp<int64_t>((way + std::abs(step) - 1) / std::abs(step), 0, kernel);
    };
    if (step > 0) return {up_to(-first), up_to(end - first)};
    return {up_to(first - end + 1), up_to(first + 1)};
  }
};

Taps gather(const Window& window, size_t axis, int64_t out, int64_t size) {
  return {out * window.stride[axis] - window.pad[axis], window.dilation[axis], size, 1};
}

// Of a transposed convolution, seen from its output: the input's pixels are `stride` apart there.
Taps spread(const Window& window, size_t axis, int64_t out, int64_t size) {
  const int64_t stride = window.stride[axis];
  return {out + window.pad[axis], -int64_t{window.dilation[axis]}, size * stride, stride};
}

// y[n,oy,ox,oc] = bias[oc] + the sum over the taps that read a pixel and the channels of oc's
// group.
Status convolve(const Call& c, const Window& window, int32_t groups, const Clamp& clamp,
                Taps (*taps_of)(const Window&, size_t, int64_t, int64_t)) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand w, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand bias, c.load_bias(2));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const Shape& ws = c.in[1].shape;
  const Shape& ys = c.out.shape;
  const int64_t channels = ws[3], group_out = ys[3] / groups;
  const float* xd = x.f32().data();
  const float* wd = w.f32().data();
  float* yd = y.f32().data();
  for (int64_t n = 0; n < ys[0]; ++n)
    for (int64_t oy = 0; oy < ys[1]; ++oy)
      for (int64_t ox = 0; ox < ys[2]; ++ox) {
        const Taps rows = taps_of(window, 0, oy, xs[1]), columns = taps_of(window, 1, ox, xs[2]);
        const auto [ky_begin, ky_end] = rows.inside(ws[1]);
        const auto [kx_begin, kx_end] = columns.inside(ws[2]);
        for (int64_t oc = 0; oc < ys[3]; ++oc) {
          double sum = bias.f32().empty() ? 0.0 : bias.f32()[static_cast<size_t>(oc)];
          for (int64_t ky = ky_begin; ky < ky_end; ++ky) {
            const int64_t y_at = rows.first + ky * rows.step;
            if (y_at % rows.spacing != 0) continue;
            for (int64_t kx = kx_begin; kx < kx_end; ++kx) {
              const int64_t x_at = columns.first + kx * columns.step;
              if (x_at % columns.spacing != 0) continue;
              const int64_t iy = y_at / rows.spacing, ix = x_at / columns.spacing;
              const float* pixel =
                  xd + ((n * xs[1] + iy) * xs[2] + ix) * xs[3] + oc / group_out * channels;
              const float* filter = wd + ((oc * ws[1] + ky) * ws[2] + kx) * channels;
              for (int64_t ic = 0; ic < channels; ++ic)
                sum += static_cast<double>(pixel[ic]) * static_cast<double>(filter[ic]);
            }
          }
          *yd++ = clamped(sum, clamp);
        }
      }
  c.store(y);
  return {};
}

}  // namespace

Status compute(const Call& c, const Conv2d& op) {
  return convolve(c, op.window, op.groups, op.clamp, gather);
}

Status compute(const Call& c, const ConvTranspose2d& op) {
  return convolve(c, op.window, op.groups, op.clamp, spread);
}

Status compute(const Call& c, const Dense& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand w, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand bias, c.load_bias(2));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const size_t n = static_cast<size_t>(c.in[1].shape[0]);
  const size_t k = static_cast<size_t>(c.in[1].shape[1]);
  const std::span<float> out = y.f32();
  for (size_t i = 0; i < out.size(); ++i) {
    double sum = bias.f32().empty() ? 0.0 : bias.f32()[i % n];
    for (size_t j = 0; j < k; ++j)
      sum +=
          static_cast<double>(x.f32()[i / n * k + j]) * static_cast<double>(w.f32()[i % n * k + j]);
    out[i] = clamped(sum, op.clamp);
  }
  c.store(y);
  return {};
}

Status compute(const Call& c, const MatMul&) {
  FIRN_ASSIGN(const Operand a, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand b, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& as = c.in[0].shape;
  const Shape& bs = c.in[1].shape;
  const Shape& ys = c.out.shape;
  // Each matrix stands for its first element while the batch dimensions are walked.
  Strides a_stride = broadcast_strides(as, ys), b_stride = broadcast_strides(bs, ys);
  const int64_t m = ys[ys.rank - 2], n = ys[ys.rank - 1], k = as[as.rank - 1];
  Shape batch = ys;
  batch[ys.rank - 2] = batch[ys.rank - 1] = 1;
  float* out = y.f32().data();
  for (Walk walk(batch, {a_stride, b_stride}); !walk.done(); walk.next())
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += static_cast<double>(a.f32()[static_cast<size_t>(walk[0] + i * k + l)]) *
                 static_cast<double>(b.f32()[static_cast<size_t>(walk[1] + l * n + j)]);
        *out++ = static_cast<float>(sum);
      }
  c.store(y);
  return {};
}

}  // namespace firn
