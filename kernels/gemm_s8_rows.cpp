// SPDX-License-Identifier: Apache-2.0
// Points the tiles of a block at their input rows, which it copies where it must.
#include "kernels/gemm_s8_rows.h"

#include <algorithm>
#include <cstring>

namespace firn::kernels {
namespace {

constexpr std::array<ptrdiff_t, kMaxTaps> kNoOffsets{};

// Rows of tiles up to which variants have one of each height.
constexpr int32_t kMostAlike = 12;

constexpr size_t round_up(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace

GemmS8Rows::GemmS8Rows(const GemmS8Kernel& kernel, const ConvShape& s, const GemmS8Plan& plan,
                       bool unsigned_input, void* workspace)
    : kernel_(kernel),
      s_(s),
      plan_(plan),
      makes_unsigned_(kernel.input == GemmS8Input::as_unsigned && !unsigned_input),
      workspace_(static_cast<int8_t*>(workspace)),
      stride_(plan.strips && plan.fused      ? ptrdiff_t{plan.place_pixels} * s.in_c
              : plan.unfolded || plan.strips ? copied_row()
              : makes_unsigned_              ? s.in_c
                                             : s.in_pixel_stride),
      x_inside_(inside(s.in_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left)),
      y_inside_(inside(s.in_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top)) {
  if (plan.huge()) return;
  for (int32_t tap = 0; plan.strips && tap < plan.whole_taps(); ++tap) {
    const int32_t row = plan.fused ? tap / plan.row_taps : tap / s.kernel_w;
    const int64_t y = int64_t{row % s.kernel_h} * s.dilation_h;
    const int64_t x = plan.fused ? 0 : int64_t{tap % s.kernel_w} * s.dilation_w;
    const int64_t plane = y % s.stride_h * planes_x(s, plan) + x % s.stride_w;
    tap_offset_[static_cast<size_t>(tap)] =
        (plane * plan.strip_places() + y / s.stride_h * plan.pitch + x / s.stride_w) * stride_ +
        (plan.fused ? tap % plan.row_taps * kernel.k_step : 0);
  }
  for (int32_t rest = 0; rest < plan.rest_taps; ++rest)
    tap_offset_[static_cast<size_t>(plan.whole_taps() + rest)] =
        (planes_y(s) * plan.strip_places() + rest * plan.block_rows) * stride_;
  for (int32_t tap = 0; !plan.strips && tap < plan.taps; ++tap) {
    const int32_t ky = plan.unfolded ? 0 : (plan.fused ? tap : tap / s.kernel_w) % s.kernel_h;
    const int32_t kx = plan.unfolded || plan.fused ? 0 : tap % s.kernel_w;
    tap_offset_[static_cast<size_t>(tap)] =
        input_pixel(s, 0, int64_t{ky} * s.dilation_h, int64_t{kx} * s.dilation_w) * stride_;
  }
}

GemmS8Rows::Range GemmS8Rows::inside(int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
                                     int64_t pad) {
  const int64_t last = in + pad - (kernel - 1) * dilation - 1;  // the last window's start, padded
  return {divide_up(pad, stride), last < 0 ? 0 : last / stride + 1};
}

// Bytes of the row of zero points at the start of a workspace.
size_t GemmS8Rows::zero_row_bytes() const {
  return round_up(static_cast<size_t>(plan_.fused ? kSlotBytes : s_.in_c) + kReadSlack);
}

size_t GemmS8Rows::workspace_bytes() const {
  if (plan_.strips) {
    const int64_t places = int64_t{planes_y(s_)} * planes_x(s_, plan_) * plan_.strip_places() +
                           plan_.rest_taps * plan_.block_rows;
    return round_up(static_cast<size_t>(places * stride_) + kReadSlack);
  }
  if (kernel_.input == GemmS8Input::evenly_spaced) {
    const int64_t rows = plan_.unfolded                     ? plan_.block_rows
                         : plan_.rows % kernel_.rows[0] > 0 ? kernel_.rows[0]
                                                            : 0;
    return round_up(static_cast<size_t>(rows * copied_row()) + kReadSlack);
  }
  if (kernel_.input != GemmS8Input::as_unsigned || plan_.huge()) return 0;
  int64_t pixels = 0;
  for (int64_t begin = 0; begin < plan_.rows; begin += plan_.block_rows) {
    const int64_t rows = std::min(plan_.block_rows, plan_.rows - begin);
    pixels = std::max(pixels, windows() ? region(begin, rows).y.size() * s_.in_w : rows);
  }
  return zero_row_bytes() + round_up(static_cast<size_t>(pixels * s_.in_c) + kReadSlack);
}

// What the windows of rows [begin, begin + rows) reach.
GemmS8Rows::Region GemmS8Rows::region(int64_t begin, int64_t rows) const {
  const OutputPixel first(s_, begin), last(s_, begin + rows - 1);
  const int64_t top = std::clamp<int64_t>(first.top(s_), 0, s_.in_h);
  const int64_t bottom =
      std::clamp<int64_t>(last.top(s_) + int64_t{s_.kernel_h - 1} * s_.dilation_h + 1, 0, s_.in_h);
  Region r{{first.image * s_.in_h + top, last.image * s_.in_h + bottom}, {0, s_.in_w}};
  if (first.y == last.y && first.image == last.image) {
    r.x.begin = std::clamp<int64_t>(first.left(s_), 0, s_.in_w);
    r.x.end = std::clamp<int64_t>(last.left(s_) + int64_t{s_.kernel_w - 1} * s_.dilation_w + 1,
                                  r.x.begin, s_.in_w);
  }
  r.y.end = std::max(r.y.begin, r.y.end);
  return r;
}

void GemmS8Rows::load(const int8_t* input, const int8_t* zero_row, int64_t block) {
  if (plan_.strips) {
    const int64_t image_blocks = plan_.blocks / s_.batch;
    input += block / image_blocks * s_.in_h * s_.in_w * s_.in_pixel_stride;
    block %= image_blocks;
  }
  begin_ = block * plan_.block_rows;
  rows_ = static_cast<int32_t>(std::min(plan_.block_rows, plan_.rows - begin_));
  if (plan_.strips) return copy_strips(input, zero_row);
  if (plan_.unfolded) return unfold(input, zero_row);
  if (makes_unsigned_) return copy_unsigned(input, zero_row);
  first_ = input;
  zero_row_ = zero_row;
  if (kernel_.input == GemmS8Input::evenly_spaced && rest() > 0) {
    // The last rows, which no other follow, as part of a whole tile.
    const ptrdiff_t from = s_.in_pixel_stride;
    kernel_.copy({input + (begin_ + rows_ - rest()) * from, rest(), from, copied_row(), s_.in_c},
                 workspace_);
  }
}

void GemmS8Rows::copy_unsigned(const int8_t* input, const int8_t* zero_row) {
  const ptrdiff_t from = s_.in_pixel_stride;
  int8_t* to = workspace_ + zero_row_bytes();
  first_ = to;
  if (plan_.dense) {
    origin_ = begin_;
    return kernel_.copy({input + begin_ * from, rows_, from, s_.in_c, s_.in_c}, to);
  }
  if (plan_.apart) {
    origin_ = begin_;  // of output pixels
    OutputPixel pixel(s_, begin_);
    for (int32_t r = 0; r < rows_;) {
      const int64_t run = std::min<int64_t>(rows_ - r, s_.out_w - pixel.x);
      const int64_t at = input_pixel(s_, pixel.image, pixel.top(s_), pixel.left(s_));
      kernel_.copy({input + at * from, run, from * s_.stride_w, s_.in_c, s_.in_c}, to);
      to += run * s_.in_c;
      r += static_cast<int32_t>(run);
      pixel.advance(s_, run);
    }
    return;
  }
  const Region r = region(begin_, rows_);
  origin_ = r.y.begin * s_.in_w;
  zero_row_ = workspace_;
  kernel_.copy({zero_row, 1, 0, 0, plan_.fused ? kSlotBytes : s_.in_c}, workspace_);
  if (r.x.size() == s_.in_w) {
    kernel_.copy({input + origin_ * from, r.y.size() * s_.in_w, from, s_.in_c, s_.in_c}, to);
    return;
  }
  for (int64_t y = r.y.begin; y < r.y.end; ++y) {
    const int64_t at = y * s_.in_w + r.x.begin;
    kernel_.copy({input + at * from, r.x.size(), from, s_.in_c, s_.in_c},
                 to + (at - origin_) * s_.in_c);
  }
}

void GemmS8Rows::unfold(const int8_t* input, const int8_t* zero_row) {
  first_ = workspace_;
  origin_ = begin_;  // of output pixels
  const ptrdiff_t from = s_.in_pixel_stride;
  const bool together = side_by_side();
  OutputPixel pixel(s_, begin_);
  int8_t* to = workspace_;
  for (int32_t r = 0; r < rows_;) {
    const int32_t run = together ? inside_run(pixel, rows_ - r) : 0;
    if (run > 0) {
      const int64_t at = input_pixel(s_, pixel.image, pixel.top(s_), pixel.left(s_));
      kernel_.copy({input + at * from, run, from * s_.stride_w, stride_,
                    int64_t{s_.kernel_w} * s_.in_c, s_.kernel_h, s_.dilation_h * from * s_.in_w},
                   to);
    } else {
      unfold_pixel(pixel, input, zero_row, to);
    }
    const int32_t done = std::max(run, 1);
    to += done * stride_;
    r += done;
    pixel.advance(s_, done);
  }
}

// Copies one pixel's window, which may cross the image's edge.
void GemmS8Rows::unfold_pixel(const OutputPixel& pixel, const int8_t* input, const int8_t* zero_row,
                              int8_t* to) {
  const ptrdiff_t row_bytes = ptrdiff_t{s_.kernel_w} * s_.in_c;
  std::memset(to, *zero_row, static_cast<size_t>(row_bytes * s_.kernel_h));
  const int64_t left = pixel.left(s_);
  for (int32_t ky = 0; ky < s_.kernel_h; ++ky, to += row_bytes) {
    const int64_t y = pixel.top(s_) + int64_t{ky} * s_.dilation_h;
    if (y < 0 || y >= s_.in_h) continue;
    // Taps that lie side by side are copied at once.
    for (int64_t kx = 0; kx < s_.kernel_w;) {
      const int64_t x = left + kx * s_.dilation_w;
      const int64_t run = !side_by_side() ? 1
                          : x < 0         ? -x
                                          : std::min(s_.in_w - x, s_.kernel_w - kx);
      if (x >= s_.in_w) break;
      if (x >= 0)
        std::memcpy(to + kx * s_.in_c,
                    input + input_pixel(s_, pixel.image, y, x) * s_.in_pixel_stride,
                    static_cast<size_t>(run * s_.in_c));
      kx += run;
    }
  }
}

// The input is that of an image.
void GemmS8Rows::copy_strips(const int8_t* input, const int8_t* zero_row) {
  first_ = workspace_;
  origin_ = begin_;
  // Places beyond the end of a line have no output: none where no others follow.
  const int64_t reach_w = plan_.pitch - s_.out_w;
  const int64_t beyond = (begin_ + rows_ - 1) % plan_.pitch + 1 - s_.out_w;
  rows_ = static_cast<int32_t>(rows_ - std::max<int64_t>(beyond, 0));
  if (plan_.fused) kernel_.copy({zero_row, 1, 0, 0, kReadSlack}, zeros_.data());
  int8_t* plane = workspace_;
  for (int32_t py = 0; py < planes_y(s_); ++py) {
    const int64_t last = (int64_t{s_.kernel_h - 1} * s_.dilation_h - py) / s_.stride_h;
    for (int32_t px = 0; px < planes_x(s_, plan_); ++px, plane += plan_.strip_places() * stride_) {
      int8_t* to = plane;
      int64_t y = begin_ / plan_.pitch * s_.stride_h + py - s_.pad_top;
      int64_t x = begin_ % plan_.pitch;
      for (int64_t left = rows_ + last * plan_.pitch + reach_w; left > 0; x = 0, y += s_.stride_h) {
        const int64_t n = std::min(plan_.pitch - x, left);
        const bool inside = y >= 0 && y < s_.in_h;
        const int8_t* line = inside ? input + y * s_.in_w * s_.in_pixel_stride : nullptr;
        const int64_t first = x * s_.stride_w + px - s_.pad_left;
        if (plan_.fused) {
          copy_fused_line(line, first, n * plan_.place_pixels, to);
        } else {
          copy_line(line, zero_row, first, n, to);
        }
        left -= n;
        to += n * stride_;
      }
    }
  }
  gather_rests();
}

// n pixels of a line from `left` on, side by side; zero points outside of it or without one. What
// is up to kReadSlack behind them is written as well.
void GemmS8Rows::copy_fused_line(const int8_t* line, int64_t left, int64_t n, int8_t* to) {
  const int64_t begin = line == nullptr ? n : std::clamp<int64_t>(-left, 0, n);
  const int64_t end = line == nullptr ? n : std::clamp<int64_t>(s_.in_w - left, begin, n);
  const int64_t body = begin * s_.in_c, behind = end * s_.in_c, all = n * s_.in_c;
  const auto fill = [&](int64_t from, int64_t until) {
    for (int64_t k = from; k < until; k += kReadSlack)
      std::memcpy(to + k, zeros_.data(), kReadSlack);
  };
  fill(0, body);
  if (body < behind)
    kernel_.copy({line + left * s_.in_c + body, 1, 0, 0, behind - body}, to + body);
  fill(behind, all);
}

// Of all places, from the lines that have been copied.
void GemmS8Rows::gather_rests() {
  const int32_t row_bytes = plan_.row_taps * kernel_.k_step;
  for (int32_t rest = 0; rest < plan_.rest_taps; ++rest) {
    GemmS8Rests r{{}, plan_.values_of(plan_.whole_taps() + rest), stride_, rows_ * stride_};
    for (int32_t i = 0; i < GemmS8Rests::kMost; ++i) {
      const int32_t value = std::min(rest * plan_.rest_values + i, plan_.rests() - 1);
      const int32_t row = value / plan_.rest_k;
      r.from[i] = first_ + tap_offset_[static_cast<size_t>(row * plan_.row_taps)] + row_bytes +
                  value % plan_.rest_k;
    }
    kernel_.gather(r, workspace_ + tap_offset_[static_cast<size_t>(plan_.whole_taps() + rest)]);
  }
}

// n pixels of a line from `left` on, those of one plane; zero points outside of it or without one.
void GemmS8Rows::copy_line(const int8_t* line, const int8_t* zero_row, int64_t left, int64_t n,
                           int8_t* to) {
  const auto before = [&](int64_t x) -> int64_t {  // pixels to the left of x
    if (line == nullptr || x <= left) return 0;
    return std::min(n, divide_up(x - left, s_.stride_w));
  };
  const int64_t begin = before(0), end = before(s_.in_w);
  const ptrdiff_t from = s_.in_pixel_stride;
  if (begin > 0) kernel_.copy({zero_row, begin, 0, stride_, s_.in_c}, to);
  if (end > begin)
    kernel_.copy({line + (left + begin * s_.stride_w) * from, end - begin, from * s_.stride_w,
                  stride_, s_.in_c},
                 to + begin * stride_);
  if (n > end) kernel_.copy({zero_row, n - end, 0, stride_, s_.in_c}, to + end * stride_);
}

std::span<const GemmS8Tile> GemmS8Rows::tiles(int32_t tile_rows) {
  slots_used_ = 0;
  // Copied pixels lie side by side.
  const bool even = plan_.dense || plan_.unfolded || plan_.strips ||
                    (plan_.apart && kernel_.input == GemmS8Input::as_unsigned);
  const bool alike =
      plan_.strips ? plan_.block_rows % plan_.pitch == 0
                   : (plan_.dense || plan_.unfolded) && kernel_.input != GemmS8Input::evenly_spaced;
  // Of this height, or the first that has none yet.
  Tiles* kept = kept_.data();
  while (kept < &kept_.back() && kept->height != 0 && kept->height != tile_rows) ++kept;
  Tiles& t = *kept;
  if (alike && t.height == tile_rows && t.rows == rows_) {
    const ptrdiff_t moved = pixel_at(begin_) - t.tiles[0].first;
    for (GemmS8Tile& tile : std::span(t.tiles.data(), t.count)) tile.first += moved;
  } else {
    t.height = tile_rows;
    t.rows = rows_;
    t.count = 0;
    even ? even_tiles(t) : window_tiles(t);
  }
  return {t.tiles.data(), t.count};
}

GemmS8Rows::Heights::Heights(const GemmS8Kernel& kernel, int32_t rows, int32_t most)
    : height_(most), left_(rows), higher_(0) {
  if (kernel.input == GemmS8Input::evenly_spaced || most > kMostAlike || rows == 0 ||
      rows % most <= kernel.low_rows)
    return;
  const int32_t tiles = (rows + most - 1) / most;
  height_ = rows / tiles;
  higher_ = rows % tiles;
}

void GemmS8Rows::even_tiles(Tiles& tiles) {
  const int8_t* first = pixel_at(begin_);
  const auto pitch = static_cast<int32_t>(plan_.pitch);
  int32_t x = plan_.strips ? static_cast<int32_t>(begin_ % pitch) : 0;
  int32_t line = 0;
  Heights heights(kernel_, rows_, tiles.height);
  for (int32_t row = 0, n; (n = heights.next()) > 0; row += n, first += n * stride_) {
    GemmS8Tile& t = tiles.tiles[tiles.count++];
    t = {nullptr, 0, first, stride_, tap_offset_.data(), row, n, nullptr};
    if (kernel_.input == GemmS8Input::evenly_spaced && plan_.dense && n < tiles.height) {
      t.first = workspace_;
      t.row_stride = copied_row();
    }
    if (!plan_.strips) continue;
    t.first_row = line + x;
    if (x + n > s_.out_w) {
      // A place beyond the end of a line writes what the next one's first does, which does so
      // later.
      t.out_rows = out_rows_.data() + row;
      for (int32_t i = 0; i < n; ++i) {
        out_rows_[static_cast<size_t>(row + i)] = line + std::min(x, s_.out_w);
        if (++x == pitch) x = 0, line += s_.out_w;
      }
    } else if ((x += n) == pitch) {
      x = 0;
      line += s_.out_w;
    }
  }
}

void GemmS8Rows::window_tiles(Tiles& tiles) {
  OutputPixel pixel(s_, begin_);
  const int8_t** p = pointers_.data();
  Heights heights(kernel_, rows_, tiles.height);
  for (int32_t row = 0, n; (n = heights.next()) > 0; row += n) {
    GemmS8Tile& t = tiles.tiles[tiles.count++];
    t = {nullptr, 0, nullptr, 0, tap_offset_.data(), row, n, nullptr};
    if (x_inside_.covers(pixel.x, n) && y_inside_.covers(pixel.y, 1) && pixel.x + n <= s_.out_w) {
      t.first = window(pixel);
      t.row_stride = s_.stride_w * stride_;
      pixel.advance(s_, n);
    } else if (plan_.apart) {
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
  const ptrdiff_t distance = s_.stride_w * stride_;
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
      *p = y_inside && x_inside ? pixel_at(input_pixel(s_, pixel.image, y, x)) : zero_row_;
    }
  }
}

// kernel_w pixels side by side: in place, or a copy padded with zero points.
const int8_t* GemmS8Rows::fused_row(const OutputPixel& pixel, int64_t y) {
  const int64_t left = pixel.left(s_);
  const int64_t begin = std::clamp<int64_t>(left, 0, s_.in_w);
  const int64_t end = std::clamp<int64_t>(left + s_.kernel_w, begin, s_.in_w);
  const int8_t* row = pixel_at(input_pixel(s_, pixel.image, y, begin));
  if (end - begin == s_.kernel_w) return row;
  int8_t* slot = slots_.data() + kSlotBytes * slots_used_++;
  std::memcpy(slot, zero_row_, kSlotBytes);
  if (begin < end)
    std::memcpy(slot + (begin - left) * s_.in_c, row, static_cast<size_t>((end - begin) * s_.in_c));
  return slot;
}

}  // namespace firn::kernels
