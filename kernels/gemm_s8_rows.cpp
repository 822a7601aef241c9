// SPDX-License-Identifier: Apache-2.0
// Cuts a convolution into blocks and tiles and points them at their input rows.
#include "kernels/gemm_s8_rows.h"

#include <algorithm>
#include <cstring>

namespace firn::kernels {
namespace {

constexpr std::array<ptrdiff_t, kMaxTaps> kNoOffsets{};

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

GemmS8Plan::GemmS8Plan(const ConvShape& s, int32_t k_step, int32_t max_panels) {
  dense = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
          s.pad_top == 0 && s.pad_left == 0 && s.out_h == s.in_h && s.out_w == s.in_w;
  // Few channels fill only a part of a tap's last step; side by side in memory, the pixels of a
  // filter row can share steps.
  fused = s.groups == 1 && s.kernel_w > 1 && s.dilation_w == 1 && s.in_pixel_stride == s.in_c &&
          int64_t{s.kernel_w} * s.in_c <= kSlotBytes && int64_t{s.kernel_h} * s.repeat <= kMaxSlots;
  taps = (fused ? s.kernel_h : s.kernel_h * s.kernel_w) * s.repeat;
  tap_k = fused ? s.kernel_w * s.in_c : s.in_c;
  steps = static_cast<int32_t>(divide_up(tap_k, k_step));
  panels = static_cast<int32_t>(divide_up(s.out_c, kPanel));
  part_panels = max_panels;
  parts = static_cast<int32_t>(divide_up(panels, max_panels));
  bias_bytes = int64_t{s.groups} * panels * kPanel * int64_t{sizeof(int32_t)};
  panel_bytes = int64_t{taps} * steps * kPanel * k_step;
  rows = int64_t{s.batch} * s.out_h * s.out_w;
  const int most = std::min(
      {kMaxRows, huge() ? kMaxRows : kMaxPointers / taps, fused ? kMaxSlots / taps : kMaxRows});
  // 24 is a multiple of most tile heights.
  block_rows = most >= 24 ? most / 24 * 24 : most;
  blocks = divide_up(rows, block_rows);
}

GemmS8Rows::GemmS8Rows(const ConvShape& s, const GemmS8Plan& plan)
    : s_(s),
      plan_(plan),
      x_inside_(inside(s.in_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left)),
      y_inside_(inside(s.in_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top)) {
  if (plan.huge()) return;
  for (int32_t tap = 0; tap < plan.taps; ++tap) {
    const int32_t ky = (plan.fused ? tap : tap / s.kernel_w) % s.kernel_h;
    const int32_t kx = plan.fused ? 0 : tap % s.kernel_w;
    tap_offset_[static_cast<size_t>(tap)] =
        input_offset(s, 0, int64_t{ky} * s.dilation_h, int64_t{kx} * s.dilation_w);
  }
}

GemmS8Rows::Inside GemmS8Rows::inside(int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
                                      int64_t pad) {
  const int64_t last = in + pad - (kernel - 1) * dilation - 1;  // the last window's start, padded
  return {divide_up(pad, stride), last < 0 ? 0 : last / stride + 1};
}

std::span<const GemmS8Tile> GemmS8Rows::build(const int8_t* input, const int8_t* zero_row,
                                              int64_t begin, int32_t rows, int32_t tile_rows) {
  input_ = input;
  zero_row_ = zero_row;
  slots_used_ = 0;
  size_t count = 0;
  OutputPixel pixel(s_, begin);
  const int8_t** p = pointers_.data();
  const bool one_tap = plan_.taps == 1 && s_.pad_left == 0 && s_.pad_top == 0 &&
                       y_inside_.covers(0, s_.out_h) && x_inside_.covers(0, s_.out_w);
  for (int32_t row = 0; row < rows; row += tile_rows) {
    const int32_t n = std::min(tile_rows, rows - row);
    GemmS8Tile& t = tiles_[count++];
    t = {nullptr, 0, nullptr, 0, tap_offset_.data(), row, n};
    if (plan_.dense) {
      t.first = input_ + (begin + row) * s_.in_pixel_stride;
      t.row_stride = s_.in_pixel_stride;
    } else if (x_inside_.covers(pixel.x, n) && y_inside_.covers(pixel.y, 1) &&
               pixel.x + n <= s_.out_w) {
      t.first = window(pixel);
      t.row_stride = int64_t{s_.stride_w} * s_.in_pixel_stride;
      pixel.advance(s_, n);
    } else if (one_tap) {
      t.rows = p;
      for (int32_t r = 0; r < n; ++r, pixel.advance(s_, 1)) *p++ = window(pixel);
    } else {
      t.rows = p;
      t.row_step = n;
      t.tap_offset = kNoOffsets.data();
      for (int32_t r = 0; r < n;) {
        const int32_t run = inside_run(pixel, n - r);
        if (run > 0) {
          inside_pixels(pixel, run, p + r, n);
        } else {
          border_pixel(pixel, p + r, n);
        }
        r += std::max(run, 1);
        pixel.advance(s_, std::max(run, 1));
      }
      p += n * plan_.taps;
    }
  }
  return {tiles_.data(), count};
}

// How many pixels from this one on, up to `most` and in its row, have windows inside the image.
int32_t GemmS8Rows::inside_run(const OutputPixel& pixel, int32_t most) const {
  if (!y_inside_.covers(pixel.y, 1) || pixel.x < x_inside_.begin) return 0;
  return static_cast<int32_t>(
      std::clamp<int64_t>(std::min<int64_t>(x_inside_.end, s_.out_w) - pixel.x, 0, most));
}

// The pointers of such pixels, tap after tap, `step` apart.
void GemmS8Rows::inside_pixels(const OutputPixel& pixel, int32_t run, const int8_t** p,
                               int32_t step) const {
  const int8_t* first = window(pixel);
  const int64_t distance = int64_t{s_.stride_w} * s_.in_pixel_stride;
  for (size_t tap = 0; tap < static_cast<size_t>(plan_.taps); ++tap, p += step) {
    const int8_t* at = first + tap_offset_[tap];
    for (int32_t i = 0; i < run; ++i, at += distance) p[i] = at;
  }
}

// The same of one pixel whose window crosses the image's edge.
void GemmS8Rows::border_pixel(const OutputPixel& pixel, const int8_t** p, int32_t step) {
  for (int32_t row = 0; row < s_.kernel_h * s_.repeat; ++row) {
    const int32_t ky = row % s_.kernel_h;
    const int64_t y = pixel.top(s_) + int64_t{ky} * s_.dilation_h;
    const bool y_inside = y >= 0 && y < s_.in_h;
    if (plan_.fused) {
      *p = y_inside ? fused_row(pixel, y) : zero_row_;
      p += step;
      continue;
    }
    for (int32_t kx = 0; kx < s_.kernel_w; ++kx, p += step) {
      const int64_t x = pixel.left(s_) + int64_t{kx} * s_.dilation_w;
      const bool x_inside = x >= 0 && x < s_.in_w;
      *p = y_inside && x_inside ? input_ + input_offset(s_, pixel.image, y, x) : zero_row_;
    }
  }
}

// kernel_w pixels side by side: in place, or a copy padded with zero points.
const int8_t* GemmS8Rows::fused_row(const OutputPixel& pixel, int64_t y) {
  const int64_t left = pixel.left(s_);
  const int64_t begin = std::clamp<int64_t>(left, 0, s_.in_w);
  const int64_t end = std::clamp<int64_t>(left + s_.kernel_w, begin, s_.in_w);
  const int8_t* row = input_ + input_offset(s_, pixel.image, y, begin);
  if (end - begin == s_.kernel_w) return row;
  int8_t* slot = slots_.data() + kSlotBytes * slots_used_++;
  std::memcpy(slot, zero_row_, kSlotBytes);
  if (begin < end)
    std::memcpy(slot + (begin - left) * s_.in_c, row, static_cast<size_t>((end - begin) * s_.in_c));
  return slot;
}

}  // namespace firn::kernels
