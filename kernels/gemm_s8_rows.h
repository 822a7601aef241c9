// SPDX-License-Identifier: Apache-2.0
// How a convolution is cut into blocks of rows and panels, and where each tile of a block reads its
// input: through pointers, in place or from a copy of the pixels that the block needs.
#ifndef FIRN_KERNELS_GEMM_S8_ROWS_H_
#define FIRN_KERNELS_GEMM_S8_ROWS_H_

#include <algorithm>
#include <array>
#include <span>

#include "kernels/gemm_s8_driver.h"

namespace firn::kernels {

// Of a block. They bound the stack that run() takes (about 45 KiB).
inline constexpr int kMaxStripRows = 192;
inline constexpr int kMaxFusedRows = 576;  // in tiles of 6
inline constexpr int kWindowRows = 288;    // the same of small windows
inline constexpr int kMaxPointers = 2048;
inline constexpr int kMaxTaps = 512;
// A fused row that crosses the image's edge is copied to a slot of this size.
inline constexpr int kSlotBytes = 64;
inline constexpr int kMaxSlots = 256;

// What packing and running agree on, all of it from the shape.
struct GemmS8Plan {
  bool dense;  // rows of the product lie one pixel stride apart: no windows
  bool apart;  // one tap, not dense, without padding: each row is a pixel somewhere
  // Rows are copied: a window's taps are one, as long as all of them.
  bool unfolded;
  bool small_windows;  // the same of 3 x 3 pixels of 3 channels, by the kernel's own means
  // Lines of pixels are copied with their padding, so that the rows of every tap are evenly spaced.
  // Rows are the places of an image whose lines are `pitch` long: those beyond the output's width
  // are multiplied for nothing. Weights are packed as if there were none.
  bool strips;
  bool deep;             // rows have many steps
  bool far;              // the second cache does not hold the weights beside the input
  bool fused;            // one tap is a row of the filter: kernel_w * in_c consecutive bytes
  bool woven;            // the columns of parts of 4 panels are (GemmS8Kernel)
  int32_t place_pixels;  // that a place has: of a fused strip those from a window to the next
  int32_t taps, taps_once, tap_k, steps, panels, part_panels, parts;
  int64_t pitch, reach;  // how far the last tap is from the first, in places
  // Biases, and what else packed weights tell of themselves before the panels.
  int64_t bias_count;
  int64_t bias_bytes, panel_bytes, rows, block_rows, blocks;

  GemmS8Plan(const ConvShape&, const GemmS8Kernel&);

  bool huge() const { return taps > kMaxTaps; }
  // Row 0 of a block's output.
  int64_t output_row(const ConvShape& s, int64_t block) const {
    return strips ? block / (blocks / s.batch) * s.out_h * s.out_w : block * block_rows;
  }
  // Units are the parts of a block, block after block, or of so many parts first: where weights are
  // large, threads that share a layer had better read different ones.
  int32_t first_parts;
  struct Unit {
    int32_t group;
    int64_t block;
    int32_t part;
  };
  Unit unit(int64_t n) const {
    const auto group = static_cast<int32_t>(n / (blocks * parts));
    n %= blocks * parts;
    if (n < blocks * first_parts)
      return {group, n / first_parts, static_cast<int32_t>(n % first_parts)};
    n -= blocks * first_parts;
    const int32_t rest = parts - first_parts;
    return {group, n / rest, static_cast<int32_t>(first_parts + n % rest)};
  }
  // The one after, which is none of these behind the last.
  Unit next(Unit u) const {
    const bool early = u.part < first_parts;
    if (++u.part < (early ? first_parts : parts)) return u;
    u.part = early ? 0 : first_parts;
    if (++u.block < blocks) return u;
    u.block = 0;
    if (early && first_parts < parts) {
      u.part = first_parts;
    } else {
      u.part = 0;
      ++u.group;
    }
    return u;
  }
  int64_t strip_places() const { return block_rows + reach; }
  bool is_woven(int32_t part) const {
    return woven && part_begin(part + 1) - part_begin(part) == 4;
  }
  // Parts are as wide as they can be, but a panel left alone takes another from the part before or,
  // where that would leave one too, is of that part: 9 are 4 + 3 + 2, or 2 + 2 + 2 + 3.
  int32_t part_begin(int32_t part) const {
    if (part == parts) return panels;
    const int32_t begin = part * part_panels;
    return part > 0 && begin == panels - 1 ? begin - 1 : begin;
  }
};

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

  // A block's input pixels: lines, of all images one after the other, and places along a line.
  struct Region {
    Range y, x;
  };
  Region region(int64_t begin, int64_t rows) const;
  bool windows() const { return !plan_.dense && !plan_.apart; }
  size_t zero_row_bytes() const;
  size_t zero_line_bytes() const;
  void copy_unsigned(const int8_t* input, const int8_t* zero_row);
  void unfold(const int8_t* input, const int8_t* zero_row);
  using SmallWindows = const int8_t* [3];  // lines
  void unfold_small(const int8_t* input, const int8_t* zero_row);
  void unfold_border(const SmallWindows&, int64_t left, const int8_t* zero_row, int8_t* to);
  const int8_t* zero_line(const int8_t* zero_row);
  void copy_strips(const int8_t* input, const int8_t* zero_row);
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
  size_t even_tiles(int32_t tile_rows);
  size_t window_tiles(int32_t tile_rows);
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
  bool zero_line_made_ = false;
  Range x_inside_, y_inside_;
  int32_t slots_used_ = 0;
  std::array<ptrdiff_t, kMaxTaps> tap_offset_;
  std::array<GemmS8Tile, kMaxBlockRows> tiles_;
  size_t tile_count_ = 0;
  // What tiles_ were made for: those of the next block may differ in where they read alone.
  struct TileRows {
    int32_t all = 0, each = 0;
    bool operator==(const TileRows&) const = default;
  } tiles_of_;
  std::array<int32_t, kMaxFusedRows> out_rows_;
  std::array<const int8_t*, kMaxPointers> pointers_;
  std::array<int8_t, kMaxSlots * kSlotBytes + kReadSlack> slots_;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_ROWS_H_
