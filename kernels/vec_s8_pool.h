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
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_POOL_H_
