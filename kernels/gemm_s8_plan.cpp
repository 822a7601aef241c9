// SPDX-License-Identifier: Apache-2.0
// Cuts a convolution into blocks and parts.
#include "kernels/gemm_s8_plan.h"

namespace firn::kernels {
namespace {

// Bytes of a layer's weights of which two threads had better read half each, and beyond which the
// second cache does not hold them beside the input.
constexpr int64_t kLargeWeights = 512 << 10;
constexpr int64_t kFarWeights = 1 << 20;
// Rows that are worth two blocks.
constexpr int64_t kHalvedRows = 48;
// Rows of a block that are whole tiles of any height.
constexpr int kWholeRows = 96;
// Steps of a row up to which the nearest cache holds four panels of weights.
constexpr int64_t kNearSteps = 128;
// Places between the first and the last tap up to which copied lines are worth it.
constexpr int64_t kMaxReach = 4 * kMaxStripRows;

}  // namespace

GemmS8Plan::GemmS8Plan(const ConvShape& s, const GemmS8Kernel& kernel) {
  dense = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
          s.pad_top == 0 && s.pad_left == 0 && s.out_h == s.in_h && s.out_w == s.in_w;
  const bool spaced = kernel.input == GemmS8Input::evenly_spaced, copied = spaced && !dense;
  const int64_t reach_w = int64_t{s.kernel_w - 1} * s.dilation_w / s.stride_w;
  pitch = s.out_w + reach_w;
  reach = int64_t{s.kernel_h - 1} * s.dilation_h / s.stride_h * pitch + reach_w;
  // Few channels fill only a part of a tap's last step; side by side in memory, the pixels of a
  // filter row can share steps.
  const int64_t row_bytes = int64_t{s.kernel_w} * s.in_c;
  const bool even_taps =
      (s.dilation_h == 1 || s.stride_h == 1) && (s.dilation_w == 1 || s.stride_w == 1);
  // To copy lines is cheaper than windows, if they take not too many steps more then.
  const bool lines = even_taps && s.kernel_h <= 3 * divide_up(s.kernel_h * row_bytes, 64);
  fused = s.groups == 1 && s.kernel_w > 1 && s.dilation_w == 1 && s.in_pixel_stride == s.in_c &&
          row_bytes <= kSlotBytes && int64_t{s.kernel_h} * s.repeat <= kMaxSlots &&
          (!copied || lines);
  const int64_t place_bytes = int64_t{s.stride_w} * s.in_c;
  row_taps = 1;
  rest_k = rest_taps = rest_values = 0;
  if (kernel.gather != nullptr && kernel.k_step == GemmS8Rests::kMost && fused &&
      s.dilation_h == 1 && s.repeat == 1 && row_bytes > kernel.k_step &&
      place_bytes <= kMaxRestStride) {
    const auto whole = static_cast<int32_t>(row_bytes / kernel.k_step);
    const auto left = static_cast<int32_t>(row_bytes % kernel.k_step);
    rest_values = static_cast<int32_t>(std::min<int64_t>(place_bytes, kernel.k_step));
    const int64_t shared = divide_up(int64_t{s.kernel_h} * left, rest_values);
    if (left > 0 && shared < s.kernel_h && int64_t{s.kernel_h} * whole + shared <= kMaxTaps) {
      row_taps = whole;
      rest_k = left;
      rest_taps = static_cast<int32_t>(shared);
    }
  }
  if (fused) {
    // Of input that is copied anyway, where lines are so long that few places are beyond the
    // output's; always where there is no other way to space rows evenly, or to gather rests, as
    // weights are packed for all sizes of an image.
    strips = copied || rest_taps > 0 ||
             (kernel.input == GemmS8Input::as_unsigned && even_taps &&
              32 * pitch <= 33 * int64_t{s.out_w});
  } else {
    strips = copied && s.in_c % 64 == 0 && s.kernel_h * s.kernel_w * s.repeat <= kMaxTaps &&
             2 * pitch <= 3 * int64_t{s.out_w} && even_taps && reach <= kMaxReach;
  }
  place_pixels = fused ? s.stride_w : 1;
  unfolded = copied && !strips;
  apart = !dense && s.kernel_h == 1 && s.kernel_w == 1 && s.repeat == 1 && s.pad_top == 0 &&
          s.pad_left == 0 && (s.out_h - 1) * int64_t{s.stride_h} < s.in_h &&
          (s.out_w - 1) * int64_t{s.stride_w} < s.in_w;
  const int32_t window = s.kernel_h * s.kernel_w;
  taps = (unfolded ? 1 : fused ? s.kernel_h * row_taps : window) * s.repeat + rest_taps;
  taps_once = taps / s.repeat;
  tap_k = unfolded        ? window * s.in_c
          : rest_taps > 0 ? kernel.k_step
          : fused         ? s.kernel_w * s.in_c
                          : s.in_c;
  const int64_t least_steps = divide_up(tap_k, kernel.k_step);
  const int64_t step_groups = divide_up(least_steps, kernel.most_steps);
  // Of copied rows all groups but the last are whole lines of the cache.
  const int64_t group =
      window > 1 && step_groups > 1 ? kernel.most_steps : divide_up(least_steps, step_groups);
  steps = static_cast<int32_t>(group * step_groups);
  panels = static_cast<int32_t>(divide_up(s.out_c, kPanel));
  bias_count = int64_t{s.groups} * panels * kPanel;
  bias_bytes = (3 * bias_count + kPanel + divide_up(int64_t{s.groups} * panels, kPanel) * kPanel) *
               int64_t{sizeof(int32_t)};
  panel_bytes = int64_t{taps} * steps * kPanel * kernel.k_step;
  rows = int64_t{s.batch} * s.out_h * s.out_w;
  const bool even = dense || strips || (apart && kernel.input == GemmS8Input::as_unsigned);
  const bool narrower = kernel.even_panels > 0 && even && int64_t{taps} * steps > kNearSteps &&
                        panels > kernel.max_panels && rows >= kernel.rows[kernel.even_panels - 1];
  part_panels = narrower ? kernel.even_panels : kernel.max_panels;
  parts = static_cast<int32_t>(part_panels == 2 ? std::max(panels / 2, 1)
                                                : divide_up(panels, part_panels));
  const int64_t weights = panels * panel_bytes, height = kernel.rows[0];
  first_parts = spaced && weights > kLargeWeights ? (parts + 1) / 2 : parts;
  far = weights > kFarWeights;
  woven = kernel.woven && s.repeat == 1 && !huge();
  deep = int64_t{taps} * steps >= kNearSteps;
  const bool long_blocks = dense && tap_k <= 64 && rows >= 8 * kernel.short_rows;
  const int most = std::min({long_blocks ? kernel.short_rows : kWholeRows,
                             huge() ? kWholeRows : kMaxPointers / taps,
                             fused ? kMaxSlots / taps : kMaxPointers});
  const int64_t half = divide_up(rows, 2);
  const bool halves = !spaced && panels > 1 && rows >= kHalvedRows && half <= kMaxBlockRows &&
                      half * taps <= kMaxPointers && !fused && weights <= kLargeWeights;
  if (strips) {
    rows = std::max<int64_t>(s.out_h * pitch - reach_w, 0);
    // What copies may take of the nearest cache, but at least half of what is copied is new.
    const int64_t fit =
        (32 << 10) / (int64_t{planes_y(s)} * planes_x(s, *this) * place_pixels * s.in_c) - reach;
    const int64_t most_rows = fused ? kMaxFusedRows : kMaxStripRows;
    const int64_t least = far ? most_rows : reach / height * height;
    block_rows = std::clamp<int64_t>(fit / height * height,
                                     std::clamp<int64_t>(least, height, most_rows), most_rows);
    // Whole lines have the same tiles in each block.
    if (fused && !spaced && block_rows >= pitch) block_rows = block_rows / pitch * pitch;
  } else if (unfolded) {
    const int64_t cache = far ? 512 << 10 : 20 << 10;
    const int64_t fit = cache / (int64_t{steps} * kernel.k_step) / height * height;
    block_rows = std::clamp<int64_t>(fit, height, kWholeRows);
  } else if (spaced && tap_k > 256 && !far) {
    // One tile's input stays in the nearest cache while weights pass by it, one after the other:
    // there is no faster way to read what lies in the next one.
    block_rows = height;
  } else if (halves) {
    // Each of two threads reads what it wrote: from the other's cache it comes as slowly as from
    // far away.
    block_rows = half;
  } else {
    // 24 is a multiple of most tile heights. Blocks are about as large as each other, or threads
    // that share them would not get equal parts.
    const int64_t share = divide_up(rows, std::max<int64_t>(divide_up(rows, most), 1));
    block_rows = most >= 24 ? std::min<int64_t>(divide_up(share, 24), most / 24) * 24 : most;
  }
  blocks = divide_up(rows, block_rows) * (strips ? s.batch : 1);
}

}  // namespace firn::kernels
