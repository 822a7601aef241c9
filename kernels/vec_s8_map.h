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
  // What they keep of what follows from a row's vectors.
  static constexpr size_t kKeptBytes = 8192;

  // y = fn(a, b) over whole vectors and the rest. fn.second(b) is what depends on b alone.
  template <typename F>
  static void map2(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const F& fn) {
    size_t i = 0;
    for (; i + kBytes <= n; i += kBytes)
      V::store(y + i, fn(V::load(a + i), fn.second(V::load(b + i))));
    if (i < n) V::store(y + i, fn(V::load(a + i, n - i), fn.second(V::load(b + i, n - i))), n - i);
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
    if (rows == 0 || c == 0) return;
    int8_t row[kRowBytes + kBytes];
    for (size_t filled = 0; filled < c + kBytes; filled += c)
      memcpy(row + filled, b, c < c + kBytes - filled ? c : c + kBytes - filled);
    const size_t n = rows * c;
    size_t i = 0, at = 0;
    const auto next = [&] {
      const int8_t* p = row + at;
      at += kBytes > c ? kBytes % c : kBytes;
      if (at >= c) at -= c;
      return V::load(p);
    };
    // After so many vectors one begins where a row does, and they come again. What follows from
    // them alone is then computed once.
    const size_t even = c & (0 - c);
    const size_t period = c / (even < kBytes ? even : kBytes);
    using Second = decltype(fn.second(next()));
    constexpr size_t kKept = kKeptBytes / sizeof(Second);
    if (period <= kKept && n / kBytes >= 2 * period) {
      Second kept[kKept];
      for (size_t k = 0; k < period; ++k) kept[k] = fn.second(next());
      size_t k = 0;
      for (; i + kBytes <= n; i += kBytes) {
        V::store(y + i, fn(V::load(a + i), kept[k]));
        if (++k == period) k = 0;
      }
      if (i < n) V::store(y + i, fn(V::load(a + i, n - i), kept[k]), n - i);
      return;
    }
    for (; i + kBytes <= n; i += kBytes) V::store(y + i, fn(V::load(a + i), fn.second(next())));
    if (i < n) V::store(y + i, fn(V::load(a + i, n - i), fn.second(next())), n - i);
  }

  // Bytes as floats: 2^23 + unit * (x + 128), vector i in unit i modulo kUnits. Where V does better
  // than by unpacks, it has split(), and joined() to undo the order that packs of these leave.
  static constexpr bool kSplits = requires(Int x) { V::split(x); };
  static constexpr int kUnits = kSplits ? 2 : 1;
  static constexpr float kUnit[] = {1, 256};
  static Floats split(Int x) {
    if constexpr (kSplits)
      return V::split(x);
    else
      return Lanes::unpack(x);
  }
  static Int joined(Int x) {
    if constexpr (kSplits)
      return V::joined(x);
    else
      return x;
  }

  // x - zero of all bytes, in units.
  struct Differences {
    Float magic[kUnits];
    explicit Differences(int32_t zero) {
      for (int u = 0; u < kUnits; ++u)
        magic[u] = V::set(8388608.0f + kUnit[u] * static_cast<float>(128 + zero));
    }
    Floats operator()(Int x) const {
      Floats d = split(x);
      for (int i = 0; i < 4; ++i) d.v[i] = V::sub(d.v[i], magic[i % kUnits]);
      return d;
    }
  };

  // The same times a scale. kPlain: zero is -128, so that split() gives 2^23 more than what is
  // scaled, and as 2^23 * scale is exact, one fused operation rounds as the product alone would.
  static constexpr bool kFuses = requires(Float x) { V::fused(x, x, x); };
  template <bool kPlain>
  struct Scaled {
    Differences differences;
    Float scale[kUnits], offset[kUnits];
    Scaled(int32_t zero, float by) : differences(zero) {
      for (int u = 0; u < kUnits; ++u) {
        scale[u] = V::set(by / kUnit[u]);
        offset[u] = V::set(-8388608.0f * by / kUnit[u]);
      }
    }
    Floats operator()(Int x) const {
      Floats y = kPlain ? split(x) : differences(x);
      for (int i = 0; i < 4; ++i) {
        const int u = i % kUnits;
        if constexpr (kPlain)
          y.v[i] = V::fused(y.v[i], scale[u], offset[u]);
        else
          y.v[i] = V::mul(y.v[i], scale[u]);
      }
      return y;
    }
  };

  // The functions of two vectors. kPlain: the second one's zero is -128.
  template <bool kPlain>
  struct Sum {
    Scaled<false> scaled_a;
    Scaled<kPlain> scaled_b;
    Narrow narrow;
    explicit Sum(const AddS8& p)
        : scaled_a(p.a_zero, p.a_scale), scaled_b(p.b_zero, p.b_scale), narrow(p.clamp) {}
    Floats second(Int b) const { return scaled_b(b); }
    Int operator()(Int a, const Floats& z) const {
      Floats x = scaled_a(a);
      for (int i = 0; i < 4; ++i) x.v[i] = V::add(x.v[i], z.v[i]);
      return joined(narrow.template bytes<true>(x));
    }
  };
  struct Product {
    Differences a, b;
    Narrow narrow;
    Float scale[kUnits];
    explicit Product(const MulS8& p) : a(p.a_zero), b(p.b_zero), narrow(p.clamp) {
      for (int u = 0; u < kUnits; ++u) scale[u] = V::set(p.scale / (kUnit[u] * kUnit[u]));
    }
    Floats second(Int y) const { return b(y); }
    Int operator()(Int x, const Floats& z) const {
      Floats y = a(x);
      // The product of two such integers is exact in float.
      for (int i = 0; i < 4; ++i) y.v[i] = V::mul(V::mul(y.v[i], z.v[i]), scale[i % kUnits]);
      return joined(narrow.template bytes<true>(y));
    }
  };
  // Of any scale: what is rounded may be 2^31 or more, or no number.
  struct AnySum {
    Widen widen_a, widen_b;
    Narrow narrow;
    Float scale_a, scale_b;
    explicit AnySum(const AddS8& p)
        : widen_a(p.a_zero),
          widen_b(p.b_zero),
          narrow(p.clamp),
          scale_a(V::set(p.a_scale)),
          scale_b(V::set(p.b_scale)) {}
    Floats second(Int b) const {
      Floats z = widen_b.floats(b);
      for (int i = 0; i < 4; ++i) z.v[i] = V::mul(z.v[i], scale_b);
      return z;
    }
    Int operator()(Int a, const Floats& z) const {
      Floats x = widen_a.floats(a);
      for (int i = 0; i < 4; ++i) x.v[i] = V::add(V::mul(x.v[i], scale_a), z.v[i]);
      return narrow.template bytes<false>(x);
    }
  };
  struct AnyProduct {
    Widen widen_a, widen_b;
    Narrow narrow;
    Float scale;
    explicit AnyProduct(const MulS8& p)
        : widen_a(p.a_zero), widen_b(p.b_zero), narrow(p.clamp), scale(V::set(p.scale)) {}
    Floats second(Int b) const { return widen_b.floats(b); }
    Int operator()(Int a, const Floats& z) const {
      Floats x = widen_a.floats(a);
      for (int i = 0; i < 4; ++i) x.v[i] = V::mul(V::mul(x.v[i], z.v[i]), scale);
      return narrow.template bytes<false>(x);
    }
  };

  struct Least {
    Int second(Int b) const { return b; }
    Int operator()(Int a, Int b) const { return V::min8(a, b); }
  };
  struct Greatest {
    Int second(Int b) const { return b; }
    Int operator()(Int a, Int b) const { return V::max8(a, b); }
  };

  // Whether what is scaled, up to `most`, stays below 2^31, and units divide the scale exactly (the
  // comparison is false for NaN).
  static bool usual(float scale, float most) {
    const float size = __builtin_fabsf(scale);
    return size >= 0x1p-64f && size * most < 0x1p30f;
  }
  // Calls fn with the function that p describes.
  template <typename F>
  static void with_add(const AddS8& p, const F& fn) {
    if (!usual(p.a_scale, 255) || !usual(p.b_scale, 255)) return fn(AnySum(p));
    if constexpr (kFuses) {
      if (p.b_zero == -128) return fn(Sum<true>(p));
    }
    fn(Sum<false>(p));
  }
  template <typename F>
  static void with_mul(const MulS8& p, const F& fn) {
    if (usual(p.scale, 255 * 255))
      fn(Product(p));
    else
      fn(AnyProduct(p));
  }

  static void add(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const AddS8& p) {
    // Sums are the same either way round.
    if (p.a_zero == -128 && p.b_zero != -128)
      return add(n, b, a, y, {p.b_zero, p.a_zero, p.b_scale, p.a_scale, p.clamp});
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

  static void min_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
    map2_row(rows, c, a, b, y, Least());
  }
  static void max_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
    map2_row(rows, c, a, b, y, Greatest());
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
