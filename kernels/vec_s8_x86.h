// SPDX-License-Identifier: Apache-2.0
// Elementwise work, pools and conversions for x86, whatever the vectors: an ISA's file describes
// its vectors in a struct V and instantiates VecOps<V>; everything here is internal to it.
//
// Bytes become floats by unpacks (within 128 bits) and go back by packs, which undo their order:
// a byte b of x + 128 under the exponent 0x4b00 reads as the float 2^23 + b, and subtracting
// 2^23 + 128 + zero leaves x - zero exactly, without a conversion.
#ifndef FIRN_KERNELS_VEC_S8_X86_H_
#define FIRN_KERNELS_VEC_S8_X86_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec_s8.h"
#include "kernels/vec_s8_window.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecOps {
  using Int = typename V::Int;
  using Float = typename V::Float;
  static constexpr size_t kBytes = V::kBytes;  // of a vector, and elements worked on at once
  static constexpr size_t kFloats = kBytes / 4;
  // Widest row that add_row and mul_row repeat in memory.
  static constexpr size_t kRowBytes = 4096;

  struct Floats {
    Float v[4];
  };

  // round_clamped(). Clamped says that no input is NaN or as large as 2^31: then the limits, being
  // integers, may be applied to the bytes after rounding. Else they come before the conversion,
  // NaN becoming the lower one.
  struct Narrow {
    Float lo_float, hi_float;
    Int lo, hi, zero;
    explicit Narrow(const Clamp8& c)
        : lo_float(V::set(static_cast<float>(c.lo - c.zero))),
          hi_float(V::set(static_cast<float>(c.hi - c.zero))),
          lo(V::set8(c.lo)),
          hi(V::set8(c.hi)),
          zero(V::set16(c.zero)) {}

    template <bool kSmall>
    Int round(Float x) const {
      if constexpr (!kSmall) x = V::min(V::max(x, lo_float), hi_float);
      return V::round(x);
    }
    template <bool kSmall>
    Int bytes(const Floats& x) const {
      const Int a = V::packs32(round<kSmall>(x.v[0]), round<kSmall>(x.v[1]));
      const Int b = V::packs32(round<kSmall>(x.v[2]), round<kSmall>(x.v[3]));
      const Int y = V::packs16(V::adds16(a, zero), V::adds16(b, zero));
      return kSmall ? V::min8(V::max8(y, lo), hi) : y;
    }
  };

  struct Widen {
    Float magic;
    explicit Widen(int32_t zero) : magic(V::set(static_cast<float>(8388608 + 128 + zero))) {}
    Floats floats(Int x) const {
      const Int u = V::flip(x), none = V::set8(0), exponent = V::set16(0x4b00);
      const Int a = V::unpacklo8(u, none), b = V::unpackhi8(u, none);
      return {{V::sub(V::as_float(V::unpacklo16(a, exponent)), magic),
               V::sub(V::as_float(V::unpackhi16(a, exponent)), magic),
               V::sub(V::as_float(V::unpacklo16(b, exponent)), magic),
               V::sub(V::as_float(V::unpackhi16(b, exponent)), magic)}};
    }
  };

  // y = fn(a, b) over whole vectors and the rest.
  template <typename F>
  static void map2(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const F& fn) {
    size_t i = 0;
    for (; i + kBytes <= n; i += kBytes) V::store(y + i, fn(V::load(a + i), V::load(b + i)));
    if (i < n) V::store(y + i, fn(V::load(a + i, n - i), V::load(b + i, n - i)), n - i);
  }

  // The same where b is a row of c that starts again. Short rows are repeated in memory as far as a
  // vector can reach, so that vectors need not end where rows do.
  template <typename F>
  static void map2_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y,
                       const F& fn) {
    if (c > kRowBytes) {
      for (size_t r = 0; r < rows; ++r) map2(c, a + r * c, b, y + r * c, fn);
      return;
    }
    int8_t row[kRowBytes + kBytes];
    for (size_t filled = 0; filled < c + kBytes && c > 0; filled += c)
      memcpy(row + filled, b, c < c + kBytes - filled ? c : c + kBytes - filled);
    const size_t n = rows * c;
    const size_t step = c > 0 ? kBytes % c : 0;
    size_t i = 0, at = 0;
    for (; i + kBytes <= n; i += kBytes) {
      V::store(y + i, fn(V::load(a + i), V::load(row + at)));
      at += kBytes > c ? step : kBytes;
      if (at >= c) at -= c;
    }
    if (i < n) V::store(y + i, fn(V::load(a + i, n - i), V::load(row + at)), n - i);
  }

  // Calls fn with the function of two vectors that p describes.
  template <typename F>
  static void with_add(const AddS8& p, const F& fn) {
    const Widen widen_a(p.a_zero), widen_b(p.b_zero);
    const Narrow narrow(p.clamp);
    const Float scale_a = V::set(p.a_scale), scale_b = V::set(p.b_scale);
    const auto sums = [&](Int a, Int b) {
      const Floats x = widen_a.floats(a), z = widen_b.floats(b);
      Floats sum;
      for (int i = 0; i < 4; ++i)
        sum.v[i] = V::add(V::mul(x.v[i], scale_a), V::mul(z.v[i], scale_b));
      return sum;
    };
    // |x - zero| <= 255, so that sums stay below 2^31 (the comparison is false for NaN).
    if (__builtin_fabsf(p.a_scale) < 0x1p22f && __builtin_fabsf(p.b_scale) < 0x1p22f) {
      fn([&](Int a, Int b) { return narrow.template bytes<true>(sums(a, b)); });
    } else {
      fn([&](Int a, Int b) { return narrow.template bytes<false>(sums(a, b)); });
    }
  }
  template <typename F>
  static void with_mul(const MulS8& p, const F& fn) {
    const Widen widen_a(p.a_zero), widen_b(p.b_zero);
    const Narrow narrow(p.clamp);
    const Float scale = V::set(p.scale);
    const auto products = [&](Int a, Int b) {
      const Floats x = widen_a.floats(a), z = widen_b.floats(b);
      Floats product;
      // The product of two such integers is exact in float.
      for (int i = 0; i < 4; ++i) product.v[i] = V::mul(V::mul(x.v[i], z.v[i]), scale);
      return product;
    };
    // |product| <= 255^2 < 2^16.
    if (__builtin_fabsf(p.scale) < 0x1p15f) {
      fn([&](Int a, Int b) { return narrow.template bytes<true>(products(a, b)); });
    } else {
      fn([&](Int a, Int b) { return narrow.template bytes<false>(products(a, b)); });
    }
  }

  static void add(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const AddS8& p) {
    with_add(p, [&](const auto& fn) { map2(n, a, b, y, fn); });
  }
  static void add_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y,
                      const AddS8& p) {
    with_add(p, [&](const auto& fn) { map2_row(rows, c, a, b, y, fn); });
  }
  static void mul(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const MulS8& p) {
    with_mul(p, [&](const auto& fn) { map2(n, a, b, y, fn); });
  }
  static void mul_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y,
                      const MulS8& p) {
    with_mul(p, [&](const auto& fn) { map2_row(rows, c, a, b, y, fn); });
  }

  static void lut(size_t n, const int8_t* x, int8_t* y, const int8_t* table) {
    const typename V::Lut lookup(table);
    size_t i = 0;
    for (; i + kBytes <= n; i += kBytes) V::store(y + i, lookup(V::load(x + i)));
    if (i < n) V::store(y + i, lookup(V::load(x + i, n - i)), n - i);
  }

  // Stores the bytes of channels [c, c + kBytes) that exist. Loads need no such care: activations
  // may be read past their end.
  static void store_channels(int8_t* y, size_t c, size_t channels, Int bytes) {
    if (c + kBytes <= channels) {
      V::store(y + c, bytes);
    } else {
      V::store(y + c, bytes, channels - c);
    }
  }

  static void max_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    const Int lo = V::set8(p.clamp.lo), hi = V::set8(p.clamp.hi);
    for_windows(p.shape, x, y, begin, end, [&](const Window& window) {
      for (size_t c = 0; c < channels; c += kBytes) {
        Int best = lo;  // the lower limit is the least result anyway
        window.for_pixels([&](const int8_t* pixel) { best = V::max8(best, V::load(pixel + c)); });
        store_channels(window.output, c, channels, V::min8(best, hi));
      }
    });
  }

  // Sums of x + 128 over pixels, one lane a channel.
  struct Sums {
    // Pixels that sums of 16 bits hold: 257 * 255 = 65535.
    static constexpr int32_t kPixels = 257;
    Int words[2] = {V::set8(0), V::set8(0)};
    Int dwords[4] = {V::set8(0), V::set8(0), V::set8(0), V::set8(0)};
    int32_t pending = 0;

    void add(Int x) {
      const Int u = V::flip(x), none = V::set8(0);
      words[0] = V::add16(words[0], V::unpacklo8(u, none));
      words[1] = V::add16(words[1], V::unpackhi8(u, none));
      if (++pending == kPixels) flush();
    }
    void flush() {
      const Int none = V::set8(0);
      for (int i = 0; i < 2; ++i) {
        dwords[2 * i] = V::add32(dwords[2 * i], V::unpacklo16(words[i], none));
        dwords[2 * i + 1] = V::add32(dwords[2 * i + 1], V::unpackhi16(words[i], none));
        words[i] = none;
      }
      pending = 0;
    }
    // requantize(sum over `pixels` of (x - zero), scale).
    Int average(int32_t pixels, int32_t zero, float scale, const Narrow& narrow) {
      flush();
      const auto offset = V::set32(static_cast<int32_t>(
          uint32_t{0} - static_cast<uint32_t>(pixels) * static_cast<uint32_t>(128 + zero)));
      Floats y;
      for (int i = 0; i < 4; ++i)
        y.v[i] = V::mul(V::to_float(V::add32(dwords[i], offset)), V::set(scale));
      return narrow.template bytes<false>(y);
    }
  };

  static void average_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    const Narrow narrow(p.clamp);
    for_windows(p.shape, x, y, begin, end, [&](const Window& window) {
      const int32_t pixels = window.rows * window.columns;
      const int32_t valid = pixels > 0 ? pixels : 1;
      const int32_t count = p.count_pad ? p.shape.kernel_h * p.shape.kernel_w : valid;
      for (size_t c = 0; c < channels; c += kBytes) {
        Sums sums;
        window.for_pixels([&](const int8_t* pixel) { sums.add(V::load(pixel + c)); });
        store_channels(window.output, c, channels,
                       sums.average(pixels, p.in_zero, p.scale[count - 1], narrow));
      }
    });
  }

  static void mean(size_t rows, size_t c, size_t row_stride, const int8_t* x, int8_t* y,
                   int32_t in_zero, float scale, const Clamp8& clamp) {
    const Narrow narrow(clamp);
    for (size_t i = 0; i < c; i += kBytes) {
      Sums sums;
      for (size_t r = 0; r < rows; ++r) sums.add(V::load(x + r * row_stride + i));
      store_channels(y, i, c, sums.average(static_cast<int32_t>(rows), in_zero, scale, narrow));
    }
  }

  // kBytes floats to bytes, in the order that packs leave.
  static Int quantize_block(const float* x, Float inverse_scale, const Narrow& narrow) {
    Floats f;
    for (size_t i = 0; i < 4; ++i) f.v[i] = V::mul(V::load_floats(x + i * kFloats), inverse_scale);
    return narrow.template bytes<false>(f);
  }

  static void quantize(size_t n, const float* x, int8_t* y, float inverse_scale,
                       const Clamp8& clamp) {
    const Narrow narrow(clamp);
    const Float scale = V::set(inverse_scale);
    size_t i = 0;
    for (; i + kBytes <= n; i += kBytes)
      V::store(y + i, V::unpacked(quantize_block(x + i, scale, narrow)));
    if (i < n) {
      float rest[kBytes] = {};
      memcpy(rest, x + i, (n - i) * sizeof(float));
      V::store(y + i, V::unpacked(quantize_block(rest, scale, narrow)), n - i);
    }
  }

  // Up to four planes, kBytes pixels: pixels[i] holds kFloats pixels of four bytes in their order
  // (the order that packs leave is what unpacks turn into it).
  static void interleave(const float* const (&planes)[4], size_t count, Float scale,
                         const Narrow& narrow, Int (&pixels)[4]) {
    Int p[4];
    for (size_t i = 0; i < 4; ++i)
      p[i] = i < count ? quantize_block(planes[i], scale, narrow) : V::set8(0);
    const Int a = V::unpacklo8(p[0], p[1]), b = V::unpacklo8(p[2], p[3]);
    const Int c = V::unpackhi8(p[0], p[1]), d = V::unpackhi8(p[2], p[3]);
    pixels[0] = V::unpacklo16(a, b);
    pixels[1] = V::unpackhi16(a, b);
    pixels[2] = V::unpacklo16(c, d);
    pixels[3] = V::unpackhi16(c, d);
  }

  // `count` channels of n pixels to y, pixels c bytes apart.
  static void scatter(const Int (&pixels)[4], size_t n, size_t count, size_t c, int8_t* y) {
    int8_t all[4 * kBytes];
    for (size_t i = 0; i < 4; ++i) V::store(all + i * kBytes, pixels[i]);
    for (size_t i = 0; i < n; ++i, y += c) {
      if (count == 4) {
        memcpy(y, all + 4 * i, 4);
      } else {
        for (size_t j = 0; j < count; ++j) y[j] = all[4 * i + j];
      }
    }
  }

  static void quantize_planar(size_t c, size_t pixels, size_t plane_stride, const float* x,
                              int8_t* y, float inverse_scale, const Clamp8& clamp) {
    if (c == 1) return quantize(pixels, x, y, inverse_scale, clamp);
    const Narrow narrow(clamp);
    const Float scale = V::set(inverse_scale);
    for (size_t i = 0; i < pixels; i += kBytes) {
      const size_t n = pixels - i < kBytes ? pixels - i : kBytes;
      for (size_t first = 0; first < c; first += 4) {
        const size_t count = c - first < 4 ? c - first : 4;
        const float* planes[4] = {};
        float rest[4][kBytes];
        for (size_t j = 0; j < count; ++j) {
          planes[j] = x + (first + j) * plane_stride + i;
          if (n == kBytes) continue;
          memset(rest[j], 0, sizeof(rest[j]));
          memcpy(rest[j], planes[j], n * sizeof(float));
          planes[j] = rest[j];
        }
        Int out[4];
        interleave(planes, count, scale, narrow, out);
        int8_t* to = y + i * c + first;
        if (n == kBytes && c == 4) {
          for (size_t j = 0; j < 4; ++j) V::store(to + j * kBytes, out[j]);
        } else if (n == kBytes && c == 3) {
          V::store_threes(to, out);
        } else {
          scatter(out, n, count, c, to);
        }
      }
    }
  }

  static void dequantize(size_t n, const int8_t* x, float* y, float scale, int32_t zero) {
    const Float scales = V::set(scale);
    const Int zeros = V::set32(zero);
    size_t i = 0;
    for (; i + kFloats <= n; i += kFloats)
      V::store_floats(y + i, V::mul(V::to_float(V::sub32(V::load_widened(x + i), zeros)), scales));
    for (; i < n; ++i) y[i] = static_cast<float>(x[i] - zero) * scale;
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_X86_H_
