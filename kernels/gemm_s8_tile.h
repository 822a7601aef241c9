// SPDX-License-Identifier: Apache-2.0
// Internal contract of the int8 convolution: what the driver (gemm_s8_driver.cpp) hands to the
// inner kernels of each instruction set.
//
// Packed weights are panels of 16 output columns: [taps][steps][16 columns][k_step values], zero
// where in_c or the columns end. A tap is one filter position, or one filter row where the driver
// fuses it, or a step of such a row. A kernel reads k_step * steps bytes of every input row, up to
// kReadSlack past its end.
#ifndef FIRN_KERNELS_GEMM_S8_TILE_H_
#define FIRN_KERNELS_GEMM_S8_TILE_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/requant.h"

// Tiles are arrays of registers: every loop over them must be unrolled, every helper inlined.
#if defined(__clang__)
#define FIRN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FIRN_UNROLL _Pragma("GCC unroll 32")
#endif
#define FIRN_INLINE inline __attribute__((always_inline))

namespace firn::kernels {

inline constexpr int kPanel = 16;     // columns
inline constexpr int kMaxPanels = 4;  // of a block
// Of a block of input that is read in place: half of 14 x 14.
inline constexpr int kMaxBlockRows = 98;

// Consecutive output pixels (rows of the product). Most tiles lie inside one row of the image,
// where input rows are evenly spaced; those that wrap around or touch the border have pointers.
struct GemmS8Tile {
  const int8_t* const* rows;  // null where evenly spaced
  ptrdiff_t row_step;         // pointers per tap: 0 where taps share them
  const int8_t* first;        // where evenly spaced: row 0, and the distance
  ptrdiff_t row_stride;
  const ptrdiff_t* tap_offset;  // of each tap, from a row's pointer
  int32_t first_row;            // of the block's output
  int32_t count;                // at most the variant's rows for the block's panels
  // Each row's output row; null where they are those from first_row on. Of rows with the same one
  // the last counts.
  const int32_t* out_rows;
};

// Where row r reads at a tap.
FIRN_INLINE const int8_t* gemm_s8_input(const GemmS8Tile& t, ptrdiff_t tap, ptrdiff_t r) {
  const int8_t* row = t.rows != nullptr ? t.rows[tap * t.row_step + r] : t.first + r * t.row_stride;
  return row + t.tap_offset[tap];
}

// Where row r writes.
FIRN_INLINE ptrdiff_t gemm_s8_out_row(const GemmS8Tile& t, int r) {
  return t.out_rows != nullptr ? t.out_rows[r] : t.first_row + r;
}

// Pixels that a kernel wants copied: of each, `pieces` runs of bytes, which lie side by side then.
struct GemmS8Pixels {
  const int8_t* from;
  int64_t count;
  ptrdiff_t stride;     // of pixels
  ptrdiff_t to_stride;  // of their copies
  int64_t bytes;        // of a piece
  int32_t pieces = 1;
  ptrdiff_t piece_stride = 0;
};

// Copies them in order by move(from, to), which takes `step` bytes.
template <typename Move>
FIRN_INLINE void gemm_s8_copy(const GemmS8Pixels& pixels, int8_t* to, int step, Move move) {
  const GemmS8Pixels p = pixels;  // which no store of bytes can change
  const bool together = p.pieces == 1 && p.stride == p.bytes && p.to_stride == p.bytes;
  if (together) {
    for (int64_t k = 0; k < p.count * p.bytes; k += step) move(p.from + k, to + k);
    return;
  }
  const int8_t* from = p.from;
  for (int64_t n = p.count; n > 0; --n, from += p.stride, to += p.to_stride) {
    const int8_t* piece = from;
    int8_t* out = to;
    for (int32_t i = 0; i < p.pieces; ++i, piece += p.piece_stride, out += p.bytes) {
      move(piece, out);
      for (int64_t k = step; k < p.bytes; k += step) move(piece + k, out + k);
    }
  }
}

// Bytes of copied lines that a kernel wants side by side: up to `stride` bytes and those that lie a
// multiple of it behind them. Byte i of each stride of the copy is from the i-th.
struct GemmS8Rests {
  static constexpr int kMost = 4;
  const int8_t* from[kMost];  // the last again where there are fewer
  int32_t count;              // at most stride
  ptrdiff_t stride;           // at most kMaxRestStride
  int64_t bytes;              // a multiple of stride
};
inline constexpr int kMaxRestStride = 32;

// Memory to be brought into the second cache while a kernel multiplies.
struct GemmS8Ahead {
  const char *next, *end;
};

// Some tiles by some panels, with what turns accumulators into output.
struct GemmS8Block {
  const GemmS8Tile* tiles;
  int32_t tile_count;
  int32_t taps, steps;
  const int8_t* weights;  // of the first panel
  ptrdiff_t panel_bytes;
  bool narrow_weights;      // none is -128: two products of bytes add up in 16 bits
  int32_t panels, columns;  // columns <= 16 * panels
  bool woven;               // see GemmS8Kernel
  int32_t all_panels;       // of all blocks that have these tiles
  const int32_t* bias;      // 16 * panels: what sums start from
  const float* scale;       // 16 * panels: woven as weights are where there are offsets
  bool scale_below_one;     // all of them: no product overflows int32
  const float* offset;      // 16 * panels, of float sums (float_sums.h); null where they are none
  Clamp8 clamp;
  bool to_float, unsigned_output;
  float float_lo, float_hi;
  void* output;  // int8_t or float: row 0, column 0
  ptrdiff_t out_stride;
  GemmS8Ahead* ahead;
  void* state;      // what the kernel keeps from block to block
  bool same_tiles;  // as in the call before, with other panels
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_TILE_H_
