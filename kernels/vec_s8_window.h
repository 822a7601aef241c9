// SPDX-License-Identifier: Apache-2.0
// The walk over pooling windows that every variant of the vec_s8 family shares.
#ifndef FIRN_KERNELS_VEC_S8_WINDOW_H_
#define FIRN_KERNELS_VEC_S8_WINDOW_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/gemm_s8.h"

namespace firn::kernels {
namespace {  // each including file has its own, compiled for its own instruction set

// The part of a window that lies within the picture: taps [first, last) of one dimension.
struct ValidTaps {
  int32_t first, last;
  ValidTaps(int32_t start, int32_t dilation, int32_t kernel, int32_t size) {
    first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    if (start + (kernel - 1) * dilation < size) {
      last = kernel;  // mostly, and without a division
    } else {
      last = start >= size ? 0 : (size - start + dilation - 1) / dilation;
    }
    if (first >= last) first = last = 0;
  }
};

struct Window {
  const int8_t* input;  // channel 0 of the first valid pixel
  int8_t* output;       // channel 0
  // Valid ones, 0 where all is padding, and their distance in elements. The counts are no
  // neighbours because compilers would compare both at once, which has to wait for both to be
  // stored.
  int32_t rows;
  ptrdiff_t row_step;
  int32_t columns;
  ptrdiff_t column_step;

  // Calls fn(const int8_t* pixel) for each valid pixel.
  template <typename F>
  void for_pixels(F&& fn) const {
    const int8_t* row = input;
    for (int32_t y = 0; y < rows; ++y, row += row_step) {
      const int8_t* pixel = row;
      for (int32_t x = 0; x < columns; ++x, pixel += column_step) fn(pixel);
    }
  }
};

// An output row: the input rows that its windows reach, and where it is written.
struct WindowRow {
  const int8_t* input;  // channel 0 of pixel 0 of the first valid row
  int8_t* output;
  int32_t rows;
  ptrdiff_t row_step;

  WindowRow(const ConvShape& s, const int8_t* x, int8_t* y, size_t index) {
    const auto out_h = static_cast<size_t>(s.out_h);
    const ptrdiff_t row = static_cast<ptrdiff_t>(s.in_w) * s.in_pixel_stride;
    const int32_t y0 = static_cast<int32_t>(index % out_h) * s.stride_h - s.pad_top;
    const ValidTaps v(y0, s.dilation_h, s.kernel_h, s.in_h);
    input = x + static_cast<ptrdiff_t>(index / out_h) * s.in_h * row +
            (y0 + v.first * s.dilation_h) * row;
    output = y + index * static_cast<size_t>(s.out_w) * static_cast<size_t>(s.out_pixel_stride);
    rows = v.last - v.first;
    row_step = s.dilation_h * row;
  }
};

// Calls fn(const Window&) for every output pixel of output rows (of batch * out_h) [begin, end).
template <typename F>
void for_windows(const ConvShape& s, const int8_t* x, int8_t* y, size_t begin, size_t end, F&& fn) {
  const auto pixel = static_cast<ptrdiff_t>(s.in_pixel_stride);
  for (size_t index = begin; index < end; ++index) {
    const WindowRow row(s, x, y, index);
    int8_t* out = row.output;
    for (int32_t ox = 0; ox < s.out_w; ++ox, out += s.out_pixel_stride) {
      const int32_t x0 = ox * s.stride_w - s.pad_left;
      const ValidTaps h(x0, s.dilation_w, s.kernel_w, s.in_w);
      fn(Window{row.input + (x0 + h.first * s.dilation_w) * pixel, out, row.rows, row.row_step,
                h.last - h.first, s.dilation_w * pixel});
    }
  }
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_WINDOW_H_
