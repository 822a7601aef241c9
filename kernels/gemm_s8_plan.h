// SPDX-License-Identifier: Apache-2.0
// How a convolution is cut into blocks of rows and parts of panels.
#ifndef FIRN_KERNELS_GEMM_S8_PLAN_H_
#define FIRN_KERNELS_GEMM_S8_PLAN_H_

#include <algorithm>

#include "kernels/gemm_s8_driver.h"

namespace firn::kernels {

// Of a block. They bound the stack that run() takes (about 55 KiB).
inline constexpr int kMaxStripRows = 192;
inline constexpr int kMaxFusedRows = 576;  // in tiles of 6
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
  // Of fused strips where steps of what whole ones leave of each filter row, rest_k values, are
  // fewer than one a row: each of the row_taps steps of a row is a tap, and the last rest_taps are
  // those of rests, of rest_values each or what is left.
  int32_t row_taps, rest_k, rest_taps, rest_values;
  int64_t pitch, reach;  // how far the last tap is from the first, in places
  // Biases, and what else packed weights tell of themselves before the panels.
  int64_t bias_count;
  int64_t bias_bytes, panel_bytes, rows, block_rows, blocks;

  GemmS8Plan(const ConvShape&, const GemmS8Kernel&);

  bool huge() const { return taps > kMaxTaps; }
  // Row 0 of a block's output: of strips, the first of the line where it begins.
  int64_t output_row(const ConvShape& s, int64_t block) const {
    if (!strips) return block * block_rows;
    const int64_t image_blocks = blocks / s.batch;
    return (block / image_blocks * s.out_h + block % image_blocks * block_rows / pitch) * s.out_w;
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
  int32_t whole_taps() const { return taps - rest_taps; }
  int32_t rests() const { return whole_taps() / row_taps * rest_k; }  // values
  // A tap's weights of a column, which lie behind those of the taps before.
  int32_t values_of(int32_t tap) const {
    const int32_t rest = tap - whole_taps();
    return rest < 0 ? tap_k : std::min(rest_values, rests() - rest * rest_values);
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

// Planes of copied pixels, one for each way of a window's taps to be away from its stride.
inline int32_t planes_y(const ConvShape& s) {
  return std::min(s.stride_h, s.kernel_h);
}
inline int32_t planes_x(const ConvShape& s, const GemmS8Plan& plan) {
  return plan.fused ? 1 : std::min(s.stride_w, s.kernel_w);
}

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_PLAN_H_
