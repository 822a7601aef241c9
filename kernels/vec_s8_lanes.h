// SPDX-License-Identifier: Apache-2.0
// Bytes to floats and back in vectors, whatever their width. An ISA's file describes its
// vectors in a struct V; everything here is internal to it.
//
// Bytes become floats by unpacks (within 128 bits) and go back by packs, which undo their order:
// a byte b of x + 128 under the exponent 0x4b00 reads as the float 2^23 + b, and subtracting
// 2^23 + 128 + zero leaves x - zero exactly, without a conversion.
#ifndef FIRN_KERNELS_VEC_S8_LANES_H_
#define FIRN_KERNELS_VEC_S8_LANES_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec_s8.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecLanes {
  using Int = typename V::Int;
  using Float = typename V::Float;
  static constexpr size_t kBytes = V::kBytes;  // of a vector, and elements worked on at once
  static constexpr size_t kFloats = kBytes / 4;

  struct Floats {
    Float v[4];
  };

  // round_clamped(). Clamped says that no input is NaN or as large as 2^31: then the limits, being
  // integers, may be applied to the bytes after rounding. Else they come before the conversion,
  // NaN becoming the lower one.
  struct Narrow {
    Float lo_float, hi_float;
    Int lo, hi, zero;
    bool limits;  // of the clamp, narrower than int8 alone
    explicit Narrow(const Clamp8& c)
        : lo_float(V::set(static_cast<float>(c.lo - c.zero))),
          hi_float(V::set(static_cast<float>(c.hi - c.zero))),
          lo(V::set8(c.lo)),
          hi(V::set8(c.hi)),
          zero(V::set16(c.zero)),
          limits(c.lo > -128 || c.hi < 127) {}

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
      return kSmall && limits ? V::min8(V::max8(y, lo), hi) : y;
    }
  };

  struct Widen {
    Float magic;
    explicit Widen(int32_t zero) : magic(V::set(static_cast<float>(8388608 + 128 + zero))) {}
    Floats floats(Int x) const {
      Floats y = unpack(x);
      for (int i = 0; i < 4; ++i) y.v[i] = V::sub(y.v[i], magic);
      return y;
    }
  };
  // 2^23 + x + 128.
  static Floats unpack(Int x) {
    const Int u = V::flip(x), none = V::set8(0), exponent = V::set16(0x4b00);
    const Int a = V::unpacklo8(u, none), b = V::unpackhi8(u, none);
    return {{V::as_float(V::unpacklo16(a, exponent)), V::as_float(V::unpackhi16(a, exponent)),
             V::as_float(V::unpacklo16(b, exponent)), V::as_float(V::unpackhi16(b, exponent))}};
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_LANES_H_
