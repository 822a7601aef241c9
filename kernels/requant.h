// SPDX-License-Identifier: Apache-2.0
// The normative arithmetic from int32 accumulators to int8 and float, in scalar code: what every
// kernel of every instruction set must reproduce bit by bit.
#ifndef FIRN_KERNELS_REQUANT_H_
#define FIRN_KERNELS_REQUANT_H_

#include <cmath>
#include <cstdint>

namespace firn::kernels {

// y = rne(clamp(float(acc) * scale, lo - zero, hi - zero)) + zero. The clamp comes before the
// conversion because x86 and Arm differ on overflow; rne is round to nearest, ties to even (the
// default rounding mode, which the library never changes). NaN cannot arise: scales are finite.
struct Clamp8 {
  int32_t zero = 0;
  int32_t lo = -128, hi = 127;  // within int8, lo <= hi
};

inline int8_t round_clamped(float x, const Clamp8& c) {
  const float lo = static_cast<float>(c.lo - c.zero);
  const float hi = static_cast<float>(c.hi - c.zero);
  x = x > lo ? x : lo;  // NaN becomes lo, as with maxps(x, lo)
  x = x < hi ? x : hi;
  return static_cast<int8_t>(static_cast<int32_t>(std::nearbyintf(x)) + c.zero);
}

inline int8_t requantize(int32_t acc, float scale, const Clamp8& c) {
  return round_clamped(static_cast<float>(acc) * scale, c);
}

// The one rounding of a scale ratio: computed in double by the caller, rounded here.
inline float rescale(double ratio) {
  return static_cast<float>(ratio);
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_REQUANT_H_
