// SPDX-License-Identifier: Apache-2.0
// Pools and means of bytes. Internal to the files of the ISAs, see vec_s8_lanes.h.
#ifndef FIRN_KERNELS_VEC_S8_POOL_H_
#define FIRN_KERNELS_VEC_S8_POOL_H_

#include "kernels/vec_s8_lanes.h"
#include "kernels/vec_s8_window.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecPool {
  using Lanes = VecLanes<V>;
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Floats = typename Lanes::Floats;
  using Narrow = typename Lanes::Narrow;
  static constexpr size_t kBytes = V::kBytes;

  // Stores the bytes of channels [c, c + kBytes) that exist. Loads need no such care: activations
  // may be read past their end.
  static void store_channels(int8_t* y, size_t c, size_t channels, Int bytes) {
    if (c + kBytes <= channels) {
      V::store(y + c, bytes);
    } else {
      V::store(y + c, bytes, channels - c);
    }
  }

  static Int max(Int a, Int b, Int c) { return V::max8(V::max8(a, b), c); }

  // Of pixels of one row, channels [c, c + kBytes).
  static Int max3(const int8_t* pixel, ptrdiff_t step) {
    return max(V::load(pixel), V::load(pixel + step), V::load(pixel + 2 * step));
  }

  // Of `best` and n vectors.
  static Int max_of(const int8_t* p, ptrdiff_t step, int32_t n, Int best) {
    for (; n >= 5; n -= 5, p += 5 * step)
      best = max(best, max3(p, step), V::max8(V::load(p + 3 * step), V::load(p + 4 * step)));
    for (; n > 0; --n, p += step) best = V::max8(best, V::load(p));
    return best;
  }

  static void max_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    const Int lo = V::set8(p.clamp.lo), hi = V::set8(p.clamp.hi);
    if (columns_first(p.shape)) {
      for (size_t index = begin; index < end; ++index)
        for (size_t c = 0; c < channels; c += kBytes)
          max_row(p.shape, WindowRow(p.shape, x, y, index), c, lo, hi);
      return;
    }
    for_windows(p.shape, x, y, begin, end, [&](const Window& w) {
      w.rows == 3 && w.columns == 3 ? max_window<true>(w, channels, lo, hi)
                                    : max_window<false>(w, channels, lo, hi);
    });
  }

  // kThree: the window is 3 x 3. A function of its own because in a larger one g++ 12 keeps
  // pointers in vector registers.
  template <bool kThree>
  __attribute__((noinline)) static void max_window(const Window& w, size_t channels, Int lo,
                                                   Int hi) {
    const ptrdiff_t step = w.column_step;
    for (size_t c = 0; c < channels; c += kBytes) {
      Int best = lo;  // the lower limit is the least result anyway
      if constexpr (kThree) {
        const int8_t *first = w.input + c, *second = first + w.row_step;
        best = V::max8(best,
                       max(max3(first, step), max3(second, step), max3(second + w.row_step, step)));
      } else {
        const int8_t* row = w.input + c;
        for (int32_t y = 0; y < w.rows; ++y, row += w.row_step)
          best = max_of(row, step, w.columns, best);
      }
      store_channels(w.output, c, channels, V::min8(best, hi));
    }
  }

  // Columns of the picture whose maxima are kept at once.
  static constexpr int32_t kColumns = 64;

  static int32_t width(const ConvShape& s) { return (s.kernel_w - 1) * s.dilation_w + 1; }

  // Whether fewer values are read if every column's maximum is found first and then that of the
  // window's columns.
  static bool columns_first(const ConvShape& s) {
    return s.dilation_w == 1 && s.kernel_w <= kColumns &&
           s.stride_w * (s.kernel_h + 1) + s.kernel_w < s.kernel_h * s.kernel_w;
  }

  // An output row, channels [c, c + kBytes).
  __attribute__((noinline)) static void max_row(const ConvShape& s, const WindowRow& row, size_t c,
                                                Int lo, Int hi) {
    const auto pixel = static_cast<ptrdiff_t>(s.in_pixel_stride);
    const auto channels = static_cast<size_t>(s.groups);
    alignas(64) int8_t columns[kColumns * kBytes];
    // Of the picture, those kept now: [first, last).
    int32_t first = 0, last = 0;
    int8_t* out = row.output;
    for (int32_t ox = 0; ox < s.out_w; ++ox, out += s.out_pixel_stride) {
      const int32_t x0 = ox * s.stride_w - s.pad_left;
      const ValidTaps taps(x0, 1, s.kernel_w, s.in_w);
      const int32_t begin = x0 + taps.first, end = x0 + taps.last;
      if (end > last) {
        first = begin;
        last = s.in_w - first < kColumns ? s.in_w : first + kColumns;
        const int8_t* in = row.input + first * pixel + c;
        int8_t* column = columns;
        for (int32_t i = first; i < last; ++i, in += pixel, column += kBytes)
          V::store(column, max_of(in, row.row_step, row.rows, lo));
      }
      // A window all of padding has no columns, and may lie before those kept.
      const ptrdiff_t at = begin < end ? begin - first : 0;
      const Int best =
          max_of(columns + at * static_cast<ptrdiff_t>(kBytes), kBytes, end - begin, lo);
      store_channels(out, c, channels, V::min8(best, hi));
    }
  }

  // Sums of bytes over pixels, one lane a channel.
  struct Sums {
    // Pixels that sums of 16 bits hold: 255 * -128 = -32640; an even number of them.
    static constexpr int32_t kPixels = 254;
    Int words[2] = {V::set8(0), V::set8(0)};
    Int dwords[4] = {V::set8(0), V::set8(0), V::set8(0), V::set8(0)};
    int32_t pending = 0, flushes = 0;

    // Two pixels. kFew: there are at most kPixels in all.
    template <bool kFew>
    void add(Int a, Int b) {
      words[0] = V::add16(words[0], V::sumlo8(a, b));
      words[1] = V::add16(words[1], V::sumhi8(a, b));
      if constexpr (kFew) return;
      pending += 2;
      if (pending == kPixels) flush();
    }
    // Words x as x + 32768.
    static Int flip16(Int x) { return V::add16(x, V::set16(-32768)); }
    void flush() {
      for (int i = 0; i < 2; ++i) {
        const Int u = flip16(words[i]);
        dwords[2 * i] = V::add32(dwords[2 * i], V::unpacklo16(u, V::set8(0)));
        dwords[2 * i + 1] = V::add32(dwords[2 * i + 1], V::unpackhi16(u, V::set8(0)));
        words[i] = V::set8(0);
      }
      pending = 0;
      ++flushes;
    }

    // requantize(sum over `pixels` of (x - zero), scale).
    template <bool kFew>
    Int average(int32_t pixels, int32_t zero, float scale, const Narrow& narrow) {
      const Float scales = V::set(scale);
      Floats y;
      if constexpr (kFew) {
        // As in Widen: words under an exponent read as floats. |sum| < 2^16.
        const Int exponent = V::set16(0x4b00);
        const Float magic = V::set(static_cast<float>(8388608 + 32768 + pixels * zero));
        for (int i = 0; i < 2; ++i) {
          const Int u = flip16(words[i]);
          y.v[2 * i] = V::mul(V::sub(V::as_float(V::unpacklo16(u, exponent)), magic), scales);
          y.v[2 * i + 1] = V::mul(V::sub(V::as_float(V::unpackhi16(u, exponent)), magic), scales);
        }
        if (__builtin_fabsf(scale) < 0x1p15f) return narrow.template bytes<true>(y);
      } else {
        flush();
        const auto offset = V::set32(static_cast<int32_t>(
            uint32_t{0} - static_cast<uint32_t>(pixels) * static_cast<uint32_t>(zero) -
            static_cast<uint32_t>(flushes) * 32768u));
        for (int i = 0; i < 4; ++i)
          y.v[i] = V::mul(V::to_float(V::add32(dwords[i], offset)), scales);
      }
      return narrow.template bytes<false>(y);
    }
  };

  // Of a window, channels [c, c + kBytes).
  template <bool kFew>
  static Sums window_sums(const Window& w, size_t c) {
    Sums sums;
    const ptrdiff_t step = w.column_step;
    const int8_t* row = w.input + c;
    if (kFew && w.rows == 3 && w.columns == 3) {
      const int8_t *b = row + w.row_step, *d = b + w.row_step;
      sums.template add<true>(V::load(row), V::load(row + step));
      sums.template add<true>(V::load(row + 2 * step), V::load(b));
      sums.template add<true>(V::load(b + step), V::load(b + 2 * step));
      sums.template add<true>(V::load(d), V::load(d + step));
      sums.template add<true>(V::load(d + 2 * step), V::set8(0));
      return sums;
    }
    for (int32_t y = 0; y < w.rows; ++y, row += w.row_step) {
      const int8_t* pixel = row;
      int32_t x = 0;
      for (; x + 2 <= w.columns; x += 2, pixel += 2 * step)
        sums.template add<kFew>(V::load(pixel), V::load(pixel + step));
      if (x < w.columns) sums.template add<kFew>(V::load(pixel), V::set8(0));
    }
    return sums;
  }

  template <bool kFew>
  __attribute__((noinline)) static void average_window(const Window& w, size_t channels,
                                                       int32_t zero, float scale,
                                                       const Narrow& limits) {
    const Narrow narrow = limits;
    const int32_t pixels = w.rows * w.columns;
    for (size_t c = 0; c < channels; c += kBytes) {
      Sums sums = window_sums<kFew>(w, c);
      store_channels(w.output, c, channels,
                     sums.template average<kFew>(pixels, zero, scale, narrow));
    }
  }

  static void average_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    const Narrow narrow(p.clamp);
    for_windows(p.shape, x, y, begin, end, [&](const Window& w) {
      const int32_t pixels = w.rows * w.columns;
      const int32_t valid = pixels > 0 ? pixels : 1;
      const int32_t count = p.count_pad ? p.shape.kernel_h * p.shape.kernel_w : valid;
      const float scale = p.scale[count - 1];
      // Pixels are summed in pairs, so that an odd column counts as two.
      w.rows*(w.columns + 1) <= Sums::kPixels
          ? average_window<true>(w, channels, p.in_zero, scale, narrow)
          : average_window<false>(w, channels, p.in_zero, scale, narrow);
    });
  }

  static void mean(size_t rows, size_t c, size_t row_stride, const int8_t* x, int8_t* y,
                   int32_t in_zero, float scale, const Clamp8& clamp) {
    const Narrow narrow(clamp);
    for (size_t i = 0; i < c; i += kBytes) {
      Sums sums;
      size_t r = 0;
      for (; r + 2 <= rows; r += 2)
        sums.template add<false>(V::load(x + r * row_stride + i),
                                 V::load(x + (r + 1) * row_stride + i));
      if (r < rows) sums.template add<false>(V::load(x + r * row_stride + i), V::set8(0));
      store_channels(
          y, i, c,
          sums.template average<false>(static_cast<int32_t>(rows), in_zero, scale, narrow));
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_POOL_H_
