// SPDX-License-Identifier: Apache-2.0
// Elementwise work on bytes: add, mul, lut. Internal to the files of the ISAs, see vec_s8_lanes.h.
#ifndef FIRN_KERNELS_VEC_S8_MAP_H_
#define FIRN_KERNELS_VEC_S8_MAP_H_

#include "kernels/vec_s8_lanes.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecMap {
  using Lanes = VecLanes<V>;
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Floats = typename Lanes::Floats;
  using Narrow = typename Lanes::Narrow;
  using Widen = typename Lanes::Widen;
  static constexpr size_t kBytes = V::kBytes;
  // Widest row that add_row and mul_row repeat in memory.
  static constexpr size_t kRowBytes = 4096;

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
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_MAP_H_
