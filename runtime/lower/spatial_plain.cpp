// SPDX-License-Identifier: Apache-2.0
// Pools and bilinear resizes in float that XNNPACK does not take: padding that counts, dilation,
// other coordinates and scales.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/geometry.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

// One output pixel, all channels.
void pool_pixel(const Pool2d& op, const WindowTaps& rows, const WindowTaps& columns,
                const float* image, int64_t width, int64_t c, float* y) {
  const bool max = op.kind == Pool2d::Kind::max;
  std::fill_n(y, c, max ? -std::numeric_limits<float>::infinity() : 0.0f);
  for (int64_t ky = rows.begin; ky < rows.end; ++ky)
    for (int64_t kx = columns.begin; kx < columns.end; ++kx) {
      const int64_t iy = rows.first + ky * op.window.dilation[0];
      const int64_t ix = columns.first + kx * op.window.dilation[1];
      const float* x = image + (iy * width + ix) * c;
      if (max) {
        for (int64_t i = 0; i < c; ++i) y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
      } else {
        for (int64_t i = 0; i < c; ++i) y[i] += x[i];
      }
    }
  if (max) return;
  const int64_t seen = (rows.end - rows.begin) * (columns.end - columns.begin);
  const int64_t count = op.count_pad ? rows.counted * columns.counted : seen;
  const float share = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
  for (int64_t i = 0; i < c; ++i) y[i] *= share;
}

// Calls f(n, oy) for all rows of an image batch, on the pool.
template <typename F>
void for_rows(kernels::Pool& pool, const Shape& y, F&& f) {
  const auto height = static_cast<size_t>(y[1]);
  const size_t row = static_cast<size_t>(y[2]) * static_cast<size_t>(y[3]);
  pool.parallel_for(static_cast<size_t>(y[0]) * height, 1 + (size_t{1} << 14) / row,
                    [&](size_t begin, size_t end) {
                      for (size_t r = begin; r < end; ++r)
                        f(static_cast<int64_t>(r / height), static_cast<int64_t>(r % height));
                    });
}

bool are_floats(const LowerContext& context, const Node& node) {
  return is_plain(context.value(node.in[0]), DType::f32) &&
         is_plain(context.value(node.out[0]), DType::f32);
}

// The two input pixels that an output pixel lies between along one axis, and how far it is to the
// second one.
struct Between {
  int64_t first, second;
  float share;
};

std::vector<Between> between(const Resize2d& op, int axis, int64_t in, int64_t out) {
  std::vector<Between> all;
  for (int64_t i = 0; i < out; ++i) {
    const double at =
        std::clamp(resize_source(op, axis, i, in, out), 0.0, static_cast<double>(in - 1));
    const auto first = static_cast<int64_t>(at);
    all.push_back(
        {first, std::min(first + 1, in - 1), static_cast<float>(at - static_cast<double>(first))});
  }
  return all;
}

}  // namespace

Lowered lower_pool_plain(const LowerContext& context, const Node& node, const Pool2d& op,
                         std::vector<LoweredStep>& steps) {
  if (!are_floats(context, node)) return false;
  const ValueId x = node.in[0], y = node.out[0];
  auto step = make_step(
      [=, xs = context.value(x).shape, ys = context.value(y).shape](const Frame& frame) -> Status {
        for_rows(frame.pool, ys, [&](int64_t n, int64_t oy) {
          const int64_t c = ys[3];
          const float* image = frame.at<const float>(x) + n * xs[1] * xs[2] * c;
          float* to = frame.at<float>(y) + (n * ys[1] + oy) * ys[2] * c;
          const WindowTaps rows = window_taps(op.window, 0, oy, xs[1]);
          for (int64_t ox = 0; ox < ys[2]; ++ox, to += c)
            pool_pixel(op, rows, window_taps(op.window, 1, ox, xs[2]), image, xs[2], c, to);
        });
        return {};
      });
  LoweredStep lowered = describe_step(context, node, std::move(step), "loop");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return true;
}

Lowered lower_resize_bilinear(const LowerContext& context, const Node& node, const Resize2d& op,
                              std::vector<LoweredStep>& steps) {
  if (!are_floats(context, node)) return false;
  const ValueId x = node.in[0], y = node.out[0];
  const Shape &xs = context.value(x).shape, &ys = context.value(y).shape;
  auto step = make_step([=, rows = between(op, 0, xs[1], ys[1]),
                         columns = between(op, 1, xs[2], ys[2])](const Frame& frame) -> Status {
    for_rows(frame.pool, ys, [&](int64_t n, int64_t oy) {
      const int64_t c = ys[3];
      const Between& row = rows[static_cast<size_t>(oy)];
      const float* image = frame.at<const float>(x) + n * xs[1] * xs[2] * c;
      const float* upper = image + row.first * xs[2] * c;
      const float* lower = image + row.second * xs[2] * c;
      float* to = frame.at<float>(y) + (n * ys[1] + oy) * ys[2] * c;
      for (const Between& column : columns) {
        const int64_t left = column.first * c, right = column.second * c;
        for (int64_t i = 0; i < c; ++i) {
          const float above =
              upper[left + i] * (1 - column.share) + upper[right + i] * column.share;
          const float below =
              lower[left + i] * (1 - column.share) + lower[right + i] * column.share;
          to[i] = above * (1 - row.share) + below * row.share;
        }
        to += c;
      }
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "loop");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
