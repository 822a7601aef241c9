// SPDX-License-Identifier: Apache-2.0
// How sums become floats without a conversion, with the same bits: requantize() (requant.h) in one
// instruction less of three.
#ifndef FIRN_KERNELS_FLOAT_SUMS_H_
#define FIRN_KERNELS_FLOAT_SUMS_H_

#include <cstdint>

#include "kernels/requant.h"

namespace firn::kernels {

// Floats from 2^23 to below 2^24 are the integers, and neighbours in bits as they are in value: a
// sum that starts at the bits of such a float, C, ends at those of C + sum. Then
// fma(C + sum, scale, offset), with -C * scale for the offset, is sum * scale rounded once, as in
// requantize(), where that offset has no more digits than a float.
struct FloatSum {
  int32_t start;  // bits of C
  float offset;
};

// Where the lower limit is the zero point, as behind ReLU, C = 2^23 does for any scale and sums of
// up to that: the bits of a negative sum are a smaller float, one with a sign or no number, and
// what these become is converted to 0 or less, which ends at the limit as it should.
inline constexpr int32_t kFloatBits = 0x4b00'0000;  // of 2^23
inline constexpr float kFloatStart = 0x1p23f;
inline constexpr int32_t kLargestFloatSum = 1 << 23;

// Whether there is one for a channel whose sums are from `least` to `most`. If C = 2^23 does not
// do, it is such that C * scale is a float, or by so little more or less that no output changes:
// that can only be where products are next to the middle between two integers, and for those it is
// tried out. Of 100,000 scales few have no C, those next to a power of two among them.
bool find_float_sum(float scale, int64_t least, int64_t most, const Clamp8&, FloatSum&);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_FLOAT_SUMS_H_
