// SPDX-License-Identifier: Apache-2.0
// How a convolution is cut into blocks of rows and panels, and where each tile of a block reads its
// input: in place, through pointers, never from a copy of the image.
#ifndef FIRN_KERNELS_GEMM_S8_ROWS_H_
#define FIRN_KERNELS_GEMM_S8_ROWS_H_

#include <algorithm>
#include <array>
#include <span>

#include "kernels/gemm_s8.h"
#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {

// Of a block. They bound the stack that run() takes (about 45 KiB).
inline constexpr int kMaxRows = 96;
inline constexpr int kMaxPointers = 2048;
inline constexpr int kMaxTaps = 512;
// A fused row that crosses the image's edge is copied to a slot of this size.
inline constexpr int kSlotBytes = 64;
inline constexpr int kMaxSlots = 256;

// What packing and running agree on, all of it from the shape.
struct GemmS8Plan {
  bool dense;  // rows of the product lie one pixel stride apart: no windows
  bool fused;  // one tap is a row of the filter: kernel_w * in_c consecutive bytes
  int32_t taps, tap_k, steps, panels, part_panels, parts;
  int64_t bias_bytes, panel_bytes, rows, block_rows, blocks;

  GemmS8Plan(const ConvShape&, int32_t k_step, int32_t max_panels);

  bool huge() const { return taps > kMaxTaps; }
  // Parts are as wide as they can be, but a panel left alone takes another from the part before:
  // 9 are 4 + 3 + 2.
  int32_t part_begin(int32_t part) const {
    const int32_t begin = std::min(part * part_panels, panels);
    return part > 0 && begin == panels - 1 && part_panels > 2 ? begin - 1 : begin;
  }
};

// The input pixel at (y, x) of an image, in elements from the first.
inline int64_t input_offset(const ConvShape& s, int64_t image, int64_t y, int64_t x) {
  return ((image * s.in_h + y) * s.in_w + x) * s.in_pixel_stride;
}

// An output pixel.
struct OutputPixel {
  int64_t image, y, x;
  OutputPixel(const ConvShape& s, int64_t row)
      : image(row / (int64_t{s.out_h} * s.out_w)), y(row / s.out_w % s.out_h), x(row % s.out_w) {}
  // By at most the rest of an output row.
  void advance(const ConvShape& s, int64_t n) {
    x += n;
    if (x < s.out_w) return;
    x = 0;
    if (++y < s.out_h) return;
    y = 0;
    ++image;
  }
  // The window's first input pixel.
  int64_t top(const ConvShape& s) const { return y * s.stride_h - s.pad_top; }
  int64_t left(const ConvShape& s) const { return x * s.stride_w - s.pad_left; }
};

// The tiles of one block at a time.
class GemmS8Rows {
 public:
  GemmS8Rows(const ConvShape&, const GemmS8Plan&);

  // Rows [begin, begin + rows) in tiles of tile_rows, valid until the next call. The input is that
  // of the convolution's group.
  std::span<const GemmS8Tile> build(const int8_t* input, const int8_t* zero_row, int64_t begin,
                                    int32_t rows, int32_t tile_rows);

 private:
  // Output positions [begin, end) whose windows lie inside the image.
  struct Inside {
    int64_t begin, end;
    bool covers(int64_t first, int64_t n) const { return first >= begin && first + n <= end; }
  };
  static Inside inside(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad);

  const int8_t* window(const OutputPixel& pixel) const {
    return input_ + input_offset(s_, pixel.image, pixel.top(s_), pixel.left(s_));
  }
  int32_t inside_run(const OutputPixel&, int32_t most) const;
  void inside_pixels(const OutputPixel&, int32_t run, const int8_t** p, int32_t step) const;
  void border_pixel(const OutputPixel&, const int8_t** p, int32_t step);
  const int8_t* fused_row(const OutputPixel&, int64_t y);

  const ConvShape& s_;
  const GemmS8Plan& plan_;
  const int8_t* input_ = nullptr;
  const int8_t* zero_row_ = nullptr;
  Inside x_inside_, y_inside_;
  int32_t slots_used_ = 0;
  std::array<ptrdiff_t, kMaxTaps> tap_offset_;
  std::array<GemmS8Tile, kMaxRows> tiles_;
  std::array<const int8_t*, kMaxPointers> pointers_;
  std::array<int8_t, kMaxSlots * kSlotBytes + kReadSlack> slots_;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_ROWS_H_
