// SPDX-License-Identifier: Apache-2.0
// Where each tile of a block reads its input: through pointers, in place or from a copy of the
// pixels that the block needs.
#ifndef FIRN_KERNELS_GEMM_S8_ROWS_H_
#define FIRN_KERNELS_GEMM_S8_ROWS_H_

#include <algorithm>
#include <array>
#include <span>

#include "kernels/gemm_s8_plan.h"

namespace firn::kernels {

// The input pixel at (y, x) of an image, in pixels from the first.
inline int64_t input_pixel(const ConvShape& s, int64_t image, int64_t y, int64_t x) {
  return (image * s.in_h + y) * s.in_w + x;
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
  // The workspace is that of a run(), of workspace_bytes().
  GemmS8Rows(const GemmS8Kernel&, const ConvShape&, const GemmS8Plan&, bool unsigned_input,
             void* workspace);

  size_t workspace_bytes() const;
  // The input is that of the convolution's group.
  void load(const int8_t* input, const int8_t* zero_row, int64_t block);
  // What was loaded, in tiles of tile_rows, valid until the next call.
  std::span<const GemmS8Tile> tiles(int32_t tile_rows);

 private:
  // Positions [begin, end).
  struct Range {
    int64_t begin, end;
    bool covers(int64_t first, int64_t n) const { return first >= begin && first + n <= end; }
    int64_t size() const { return end - begin; }
  };
  // Output positions whose windows lie inside the image.
  static Range inside(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad);

  // Of a block's tiles, one after the other; 0 behind the last. A rest of few rows would take
  // nearly as long as a whole tile: rather are all of them a little lower, where variants can do
  // that.
  class Heights {
   public:
    Heights(const GemmS8Kernel&, int32_t rows, int32_t most);
    int32_t next() {
      const int32_t n = std::min(left_, height_ + (higher_-- > 0 ? 1 : 0));
      left_ -= n;
      return n;
    }

   private:
    int32_t height_, left_;
    int32_t higher_;  // tiles that have a row more
  };

  // Tiles of a height, and the rows of the block that they were made for: those of the next block
  // may differ in where they read alone.
  struct Tiles {
    int32_t height = 0, rows = 0;
    size_t count = 0;
    std::array<GemmS8Tile, kMaxBlockRows> tiles;
  };

  // A block's input pixels: lines, of all images one after the other, and places along a line.
  struct Region {
    Range y, x;
  };
  Region region(int64_t begin, int64_t rows) const;
  bool windows() const { return !plan_.dense && !plan_.apart; }
  size_t zero_row_bytes() const;
  void copy_unsigned(const int8_t* input, const int8_t* zero_row);
  void unfold(const int8_t* input, const int8_t* zero_row);
  void copy_strips(const int8_t* input, const int8_t* zero_row);
  void copy_fused_line(const int8_t* line, int64_t left, int64_t n, int8_t* to);
  void gather_rests();
  void copy_line(const int8_t* line, const int8_t* zero_row, int64_t left, int64_t n, int8_t* to);
  void unfold_pixel(const OutputPixel&, const int8_t* input, const int8_t* zero_row, int8_t* to);
  // Whether a row of the filter covers memory without gaps.
  bool side_by_side() const { return s_.dilation_w == 1 && s_.in_pixel_stride == s_.in_c; }
  // Rows of the last tile, where it is not whole.
  int32_t rest() const { return rows_ % kernel_.rows[0]; }
  // Bytes from one copied row to the next.
  ptrdiff_t copied_row() const { return ptrdiff_t{plan_.steps} * kernel_.k_step; }

  const int8_t* pixel_at(int64_t pixel) const { return first_ + (pixel - origin_) * stride_; }
  const int8_t* window(const OutputPixel& pixel) const {
    return pixel_at(input_pixel(s_, pixel.image, pixel.top(s_), pixel.left(s_)));
  }
  void even_tiles(Tiles&);
  void window_tiles(Tiles&);
  int32_t inside_run(const OutputPixel&, int32_t most) const;
  void inside_pixels(const OutputPixel&, int32_t run, const int8_t** p, int32_t step) const;
  void border_pixel(const OutputPixel&, const int8_t** p, int32_t step);
  const int8_t* fused_row(const OutputPixel&, int64_t y);

  const GemmS8Kernel& kernel_;
  const ConvShape& s_;
  const GemmS8Plan& plan_;
  const bool makes_unsigned_;
  int8_t* const workspace_;
  int64_t begin_ = 0;
  int32_t rows_ = 0;
  // Where pixel `origin_` of the input lies, and how far the next one is from it.
  const int8_t* first_ = nullptr;
  int64_t origin_ = 0;
  ptrdiff_t stride_;
  const int8_t* zero_row_ = nullptr;
  std::array<int8_t, kReadSlack> zeros_;  // as they are copied
  Range x_inside_, y_inside_;
  int32_t slots_used_ = 0;
  std::array<ptrdiff_t, kMaxTaps> tap_offset_;
  // A layer's parts have up to three heights: 9 panels are 4 + 3 + 2.
  std::array<Tiles, 3> kept_;
  std::array<int32_t, kMaxFusedRows> out_rows_;
  std::array<const int8_t*, kMaxPointers> pointers_;
  std::array<int8_t, kMaxSlots * kSlotBytes + kReadSlack> slots_;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_ROWS_H_
