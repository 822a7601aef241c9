// SPDX-License-Identifier: Apache-2.0
// Floats to bytes, planes to pixels, bytes to floats. Internal to the files of the ISAs, see
// vec_s8_lanes.h.
#ifndef FIRN_KERNELS_VEC_S8_CONVERT_H_
#define FIRN_KERNELS_VEC_S8_CONVERT_H_

#include "kernels/vec_s8_lanes.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecConvert {
  using Lanes = VecLanes<V>;
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Floats = typename Lanes::Floats;
  using Narrow = typename Lanes::Narrow;
  static constexpr size_t kBytes = V::kBytes, kFloats = Lanes::kFloats;

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

  // n <= kBytes pixels of kCount planes, at most four: pixels[i] holds kFloats pixels of four bytes
  // in their order (the order that packs leave is what unpacks turn into it).
  template <size_t kCount>
  static void interleave(const float* x, size_t plane_stride, size_t n, Float scale,
                         const Narrow& narrow, Int (&pixels)[4]) {
    Int p[4] = {V::set8(0), V::set8(0), V::set8(0), V::set8(0)};
    if (n == kBytes) {
      for (size_t j = 0; j < kCount; ++j)
        p[j] = quantize_block(x + j * plane_stride, scale, narrow);
    } else {
      for (size_t j = 0; j < kCount; ++j) {
        float rest[kBytes] = {};
        memcpy(rest, x + j * plane_stride, n * sizeof(float));
        p[j] = quantize_block(rest, scale, narrow);
      }
    }
    const Int a = V::unpacklo8(p[0], p[1]), b = V::unpacklo8(p[2], p[3]);
    const Int c = V::unpackhi8(p[0], p[1]), d = V::unpackhi8(p[2], p[3]);
    pixels[0] = V::unpacklo16(a, b);
    pixels[1] = V::unpackhi16(a, b);
    pixels[2] = V::unpacklo16(c, d);
    pixels[3] = V::unpackhi16(c, d);
  }

  // kCount channels of n pixels to y, pixels c bytes apart.
  template <size_t kCount>
  static void scatter(const Int (&pixels)[4], size_t n, size_t c, int8_t* y) {
    int8_t all[4 * kBytes];
    for (size_t i = 0; i < 4; ++i) V::store(all + i * kBytes, pixels[i]);
    for (size_t i = 0; i < n; ++i, y += c) memcpy(y, all + 4 * i, kCount);
  }

  // kCount planes of c, to channels of y.
  template <size_t kCount>
  __attribute__((noinline)) static void planes(size_t c, size_t pixels, size_t plane_stride,
                                               const float* x, int8_t* y, Float scale,
                                               const Narrow& limits) {
    const Narrow narrow = limits;
    for (size_t i = 0; i < pixels; i += kBytes, x += kBytes, y += kBytes * c) {
      const size_t n = pixels - i < kBytes ? pixels - i : kBytes;
      Int out[4];
      interleave<kCount>(x, plane_stride, n, scale, narrow, out);
      if (kCount == 4 && c == 4 && n == kBytes) {
        for (size_t j = 0; j < 4; ++j) V::store(y + j * kBytes, out[j]);
      } else if (kCount == 3 && c == 3 && n == kBytes) {
        V::store_threes(y, out);
      } else {
        scatter<kCount>(out, n, c, y);
      }
    }
  }

  static void quantize_planar(size_t c, size_t pixels, size_t plane_stride, const float* x,
                              int8_t* y, float inverse_scale, const Clamp8& clamp) {
    if (c == 1) return quantize(pixels, x, y, inverse_scale, clamp);
    const Narrow narrow(clamp);
    const Float scale = V::set(inverse_scale);
    constexpr size_t kTogether = 16 * kBytes;  // so that the output stays in cache
    for (size_t i = 0; i < pixels; i += kTogether) {
      const size_t n = pixels - i < kTogether ? pixels - i : kTogether;
      for (size_t first = 0; first < c; first += 4) {
        const float* from = x + first * plane_stride + i;
        int8_t* to = y + i * c + first;
        switch (c - first) {
          case 1:
            planes<1>(c, n, plane_stride, from, to, scale, narrow);
            break;
          case 2:
            planes<2>(c, n, plane_stride, from, to, scale, narrow);
            break;
          case 3:
            planes<3>(c, n, plane_stride, from, to, scale, narrow);
            break;
          default:
            planes<4>(c, n, plane_stride, from, to, scale, narrow);
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

#endif  // FIRN_KERNELS_VEC_S8_CONVERT_H_
