// SPDX-License-Identifier: Apache-2.0
// Packs weights, splits a convolution into blocks and points the inner kernels at their input rows.
#include "kernels/gemm_s8_driver.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace firn::kernels {
namespace {

// Of a block. They bound the stack that run() takes (about 45 KiB) and the tables' trips to cache.
constexpr int kMaxRows = 96;
constexpr int kMaxPointers = 2048;
constexpr int kMaxTaps = 512;
constexpr std::array<ptrdiff_t, kMaxTaps> kNoOffsets{};
// A fused row that crosses the image's edge is copied to a slot of this size.
constexpr int kSlotBytes = 64;
constexpr int kMaxSlots = 256;

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// What packing and running agree on, all of it from the shape.
struct Plan {
  bool dense;  // rows of the product lie one pixel stride apart: no windows
  bool fused;  // one tap is a row of the filter: kernel_w * in_c consecutive bytes
  int32_t taps, tap_k, steps, panels, parts;
  int64_t panel_bytes, rows, block_rows, blocks;

  Plan(const GemmS8Kernel& kernel, const ConvShape& s) {
    const bool no_padding =
        s.pad_top == 0 && s.pad_left == 0 && s.out_h == s.in_h && s.out_w == s.in_w;
    dense = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && no_padding;
    // Few channels fill only a part of a tap's last step; side by side in memory, the pixels of a
    // filter row can share steps.
    fused = s.groups == 1 && s.kernel_w > 1 && s.dilation_w == 1 && s.in_pixel_stride == s.in_c &&
            int64_t{s.kernel_w} * s.in_c <= kSlotBytes && s.kernel_h <= kMaxSlots;
    taps = fused ? s.kernel_h : s.kernel_h * s.kernel_w;
    tap_k = fused ? s.kernel_w * s.in_c : s.in_c;
    steps = static_cast<int32_t>(divide_up(tap_k, kernel.k_step));
    panels = static_cast<int32_t>(divide_up(s.out_c, kPanel));
    parts = static_cast<int32_t>(divide_up(panels, kernel.max_panels));
    panel_bytes = int64_t{taps} * steps * kPanel * kernel.k_step;
    rows = int64_t{s.batch} * s.out_h * s.out_w;
    const int most = std::min(
        {kMaxRows, kMaxPointers / std::min(taps, kMaxTaps), fused ? kMaxSlots / taps : kMaxRows});
    // 24 is a multiple of most tile heights.
    block_rows = most >= 24 ? most / 24 * 24 : most;
    blocks = divide_up(rows, block_rows);
  }
  // Panels are dealt to the parts evenly: 5 are 3 + 2, not 4 + 1.
  int32_t part_begin(int32_t part) const {
    return part * (panels / parts) + std::min(part, panels % parts);
  }
  int32_t bias_count(const ConvShape& s) const { return s.groups * panels * kPanel; }
};

// The input as a group of the convolution sees it.
struct Source {
  const ConvShape& s;
  const Plan& plan;
  const int8_t* input;
  const int8_t* zero_row;
  const ptrdiff_t* tap_offset;
};

int64_t offset_at(const ConvShape& s, int64_t image, int64_t y, int64_t x) {
  return ((image * s.in_h + y) * s.in_w + x) * s.in_pixel_stride;
}

// An output pixel.
struct Pixel {
  int64_t image, y, x;
  Pixel(const ConvShape& s, int64_t row)
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
  const int8_t* window(const Source& in) const {
    return in.input + offset_at(in.s, image, top(in.s), left(in.s));
  }
  // Whether the windows of n pixels of this output row lie inside the image.
  bool inside(const ConvShape& s, int64_t n) const {
    const int64_t right = left(s) + (n - 1) * s.stride_w + (s.kernel_w - 1) * int64_t{s.dilation_w};
    return top(s) >= 0 && top(s) + (s.kernel_h - 1) * int64_t{s.dilation_h} < s.in_h &&
           left(s) >= 0 && right < s.in_w;
  }
};

// The tiles of a block of rows, and the pointers they hold.
struct Tiles {
  std::array<GemmS8Tile, kMaxRows> tile;
  int32_t count = 0;
  std::array<const int8_t*, kMaxPointers> pointer;
  std::array<int8_t, kMaxSlots * kSlotBytes + kReadSlack> slots;
  int32_t slots_used = 0;

  void build(const Source& in, int64_t row_begin, int32_t rows, int32_t tile_rows) {
    count = 0;
    slots_used = 0;
    const ConvShape& s = in.s;
    Pixel pixel(s, row_begin);
    const int8_t** p = pointer.data();
    for (int32_t row = 0; row < rows; row += tile_rows) {
      GemmS8Tile& t = tile[static_cast<size_t>(count++)];
      const int32_t n = std::min(tile_rows, rows - row);
      t = {nullptr, 0, nullptr, 0, in.tap_offset, row, n};
      if (in.plan.dense) {
        t.first = in.input + (row_begin + row) * s.in_pixel_stride;
        t.row_stride = s.in_pixel_stride;
      } else if (pixel.x + n <= s.out_w && pixel.inside(s, n)) {
        t.first = pixel.window(in);
        t.row_stride = int64_t{s.stride_w} * s.in_pixel_stride;
        pixel.advance(s, n);
      } else if (Pixel end = pixel; inside(in, end, p, n)) {
        t.rows = p;
        p += n;
        pixel = end;
      } else {
        t.rows = p;
        t.row_step = n;
        t.tap_offset = kNoOffsets.data();
        for (int r = 0; r < n; ++r, pixel.advance(s, 1)) window(in, pixel, p + r, n);
        p += n * in.plan.taps;
      }
    }
  }

  // One pointer for each of n pixels, and past them; false where a window leaves the image.
  static bool inside(const Source& in, Pixel& pixel, const int8_t** p, int64_t n) {
    for (int64_t r = 0; r < n; ++r, pixel.advance(in.s, 1)) {
      if (!pixel.inside(in.s, 1)) return false;
      p[r] = pixel.window(in);
    }
    return true;
  }

  // The pointers of one pixel of a tile at the border, tap after tap.
  void window(const Source& in, const Pixel& pixel, const int8_t** p, int32_t step) {
    const ConvShape& s = in.s;
    if (pixel.inside(s, 1)) {
      const int8_t* first = pixel.window(in);
      for (int32_t tap = 0; tap < in.plan.taps; ++tap, p += step) *p = first + in.tap_offset[tap];
      return;
    }
    for (int ky = 0; ky < s.kernel_h; ++ky) {
      const int64_t y = pixel.top(s) + int64_t{ky} * s.dilation_h;
      const bool y_inside = y >= 0 && y < s.in_h;
      if (in.plan.fused) {
        *p = y_inside ? fused_row(in, pixel, y) : in.zero_row;
        p += step;
        continue;
      }
      for (int kx = 0; kx < s.kernel_w; ++kx, p += step) {
        const int64_t x = pixel.left(s) + int64_t{kx} * s.dilation_w;
        const bool x_inside = x >= 0 && x < s.in_w;
        *p = y_inside && x_inside ? in.input + offset_at(s, pixel.image, y, x) : in.zero_row;
      }
    }
  }

  // kernel_w pixels side by side: in place, or a copy padded with zero points.
  const int8_t* fused_row(const Source& in, const Pixel& pixel, int64_t y) {
    const ConvShape& s = in.s;
    const int64_t left = pixel.left(s);
    const int64_t begin = std::clamp<int64_t>(left, 0, s.in_w);
    const int64_t end = std::clamp<int64_t>(left + s.kernel_w, begin, s.in_w);
    const int8_t* row = in.input + offset_at(s, pixel.image, y, begin);
    if (end - begin == s.kernel_w) return row;
    int8_t* slot = slots.data() + kSlotBytes * slots_used++;
    std::memcpy(slot, in.zero_row, kSlotBytes);
    if (begin < end)
      std::memcpy(slot + (begin - left) * s.in_c, row, static_cast<size_t>((end - begin) * s.in_c));
    return slot;
  }
};

// The columns of one part: what a block's fields are beside its tiles.
void set_columns(GemmS8Block& b, const ConvShape& s, const Plan& plan, const ConvS8Args& args,
                 int32_t group, int32_t part, float* scale) {
  const int32_t first = plan.part_begin(part);
  const int32_t column = first * kPanel;
  const int64_t panel = int64_t{group} * plan.panels + first;
  b.panels = plan.part_begin(part + 1) - first;
  b.columns = std::min(s.out_c - column, b.panels * kPanel);
  b.bias = static_cast<const int32_t*>(args.packed) + panel * kPanel;
  b.weights = static_cast<const int8_t*>(args.packed) + int64_t{plan.bias_count(s)} * 4 +
              panel * plan.panel_bytes;
  // Padded, so that kernels can load whole vectors.
  std::fill_n(std::copy_n(args.scale + group * s.out_c + column, b.columns, scale),
              b.panels * kPanel - b.columns, 0.0f);
  b.scale = scale;
  float largest = 0;  // without early exit, so that it is vectorized
  for (int32_t i = 0; i < b.panels * kPanel; ++i) largest = std::max(largest, std::abs(scale[i]));
  b.scale_below_one = largest < 1;
}

void* output_at(const ConvS8Args& args, int64_t element) {
  return args.to_float ? static_cast<void*>(static_cast<float*>(args.output) + element)
                       : static_cast<int8_t*>(args.output) + element;
}

// Filters of more than kMaxTaps taps, which no tile has room for: pixel by pixel, tap by tap, from
// the same packed weights.
void run_huge(const GemmS8Kernel& kernel, const Source& in, const GemmS8Block& b, int64_t row,
              int32_t rows) {
  const ConvShape& s = in.s;
  const int32_t flip = kernel.flip_input ? 128 : 0;
  Pixel pixel(s, row);
  for (int32_t r = 0; r < rows; ++r, pixel.advance(s, 1)) {
    for (int32_t column = 0; column < b.columns; ++column) {
      int32_t acc = b.bias[column];
      const int8_t* w =
          b.weights + column / kPanel * b.panel_bytes + column % kPanel * kernel.k_step;
      for (int64_t tap = 0; tap < b.taps; ++tap) {
        const int64_t y = pixel.top(s) + tap / s.kernel_w * s.dilation_h;
        const int64_t x = pixel.left(s) + tap % s.kernel_w * s.dilation_w;
        const bool inside = y >= 0 && y < s.in_h && x >= 0 && x < s.in_w;
        const int8_t* a = inside ? in.input + offset_at(s, pixel.image, y, x) : in.zero_row;
        for (int32_t k = 0; k < s.in_c; ++k)
          acc += (a[k] + flip) * w[k / kernel.k_step * kPanel * kernel.k_step + k % kernel.k_step];
        w += int64_t{b.steps} * kPanel * kernel.k_step;
      }
      const int64_t at = r * b.out_stride + column;
      if (b.to_float) {
        static_cast<float*>(b.output)[at] =
            gemm_s8_to_float(acc, b.scale[column], b.float_lo, b.float_hi);
      } else {
        static_cast<int8_t*>(b.output)[at] = requantize(acc, b.scale[column], b.clamp);
      }
    }
  }
}

}  // namespace

size_t gemm_s8_packed_bytes(const GemmS8Kernel& kernel, const ConvShape& s) {
  const Plan plan(kernel, s);
  return static_cast<size_t>(int64_t{plan.bias_count(s)} * 4 +
                             int64_t{s.groups} * plan.panels * plan.panel_bytes);
}

void gemm_s8_pack(const GemmS8Kernel& kernel, const ConvShape& s, const int8_t* weights,
                  const int32_t* bias, int32_t input_zero, void* packed) {
  const Plan plan(kernel, s);
  std::memset(packed, 0, gemm_s8_packed_bytes(kernel, s));
  auto* packed_bias = static_cast<int32_t*>(packed);
  auto* panels = reinterpret_cast<int8_t*>(packed_bias + plan.bias_count(s));
  const int64_t row = int64_t{plan.taps} * plan.tap_k;
  for (int32_t group = 0; group < s.groups; ++group) {
    for (int32_t column = 0; column < s.out_c; ++column) {
      const int64_t panel = int64_t{group} * plan.panels + column / kPanel;
      const int64_t channel = int64_t{group} * s.out_c + column;
      int8_t* out = panels + panel * plan.panel_bytes + column % kPanel * kernel.k_step;
      const int8_t* w = weights + channel * row;
      int64_t sum = 0;
      for (int32_t tap = 0; tap < plan.taps; ++tap) {
        for (int32_t k = 0; k < plan.tap_k; ++k) {
          const int64_t step = int64_t{tap} * plan.steps + k / kernel.k_step;
          out[step * kPanel * kernel.k_step + k % kernel.k_step] = *w;
          sum += *w++;
        }
      }
      const int64_t folded = (bias != nullptr ? bias[channel] : 0) -
                             sum * (int64_t{input_zero} + (kernel.flip_input ? 128 : 0));
      // Modulo 2^32, as the kernels add.
      packed_bias[panel * kPanel + column % kPanel] =
          static_cast<int32_t>(static_cast<uint32_t>(folded));
    }
  }
}

size_t gemm_s8_units(const GemmS8Kernel& kernel, const ConvShape& s) {
  const Plan plan(kernel, s);
  return static_cast<size_t>(s.groups * plan.blocks * plan.parts);
}

void gemm_s8_run(const GemmS8Kernel& kernel, const ConvShape& s, const ConvS8Args& args,
                 size_t begin, size_t end) {
  const Plan plan(kernel, s);
  const bool huge = plan.taps > kMaxTaps;
  std::array<ptrdiff_t, kMaxTaps> tap_offset;
  for (int32_t tap = 0; tap < plan.taps && !huge; ++tap) {
    const int32_t ky = plan.fused ? tap : tap / s.kernel_w;
    const int32_t kx = plan.fused ? 0 : tap % s.kernel_w;
    tap_offset[static_cast<size_t>(tap)] =
        offset_at(s, 0, int64_t{ky} * s.dilation_h, int64_t{kx} * s.dilation_w);
  }
  std::array<float, kMaxPanels * kPanel> scale;
  GemmS8Block block{};
  block.taps = plan.taps;
  block.steps = plan.steps;
  block.panel_bytes = plan.panel_bytes;
  block.clamp = args.clamp;
  block.to_float = args.to_float;
  block.float_lo = args.float_lo;
  block.float_hi = args.float_hi;
  block.out_stride = s.out_pixel_stride;

  Tiles tiles;
  block.tiles = tiles.tile.data();
  // Parts are the inner units: a block's rows stay in cache, and its pointers are made once for all
  // parts with tiles of the same height.
  int64_t built_block = -1;
  int32_t built_rows = 0;
  int64_t set_panels = -1;
  for (int64_t unit = static_cast<int64_t>(begin); unit < static_cast<int64_t>(end); ++unit) {
    const int64_t index = unit / plan.parts;
    const auto part = static_cast<int32_t>(unit % plan.parts);
    const auto group = static_cast<int32_t>(index / plan.blocks);
    const int64_t row = index % plan.blocks * plan.block_rows;
    const auto rows = static_cast<int32_t>(std::min(plan.block_rows, plan.rows - row));
    if (const int64_t panels = int64_t{group} * plan.parts + part; panels != set_panels) {
      set_columns(block, s, plan, args, group, part, scale.data());
      set_panels = panels;
    }
    block.output = output_at(
        args, row * s.out_pixel_stride + int64_t{group} * s.out_c + plan.part_begin(part) * kPanel);
    const Source in{s, plan, args.input + int64_t{group} * s.in_c, args.zero_row,
                    tap_offset.data()};
    if (huge) {
      run_huge(kernel, in, block, row, rows);
      continue;
    }
    const int32_t tile_rows = kernel.rows[block.panels - 1];
    if (index != built_block || tile_rows != built_rows) {
      tiles.build(in, row, rows, tile_rows);
      block.tile_count = tiles.count;
      built_block = index;
      built_rows = tile_rows;
    }
    kernel.tiles(block);
  }
}

}  // namespace firn::kernels
