// SPDX-License-Identifier: Apache-2.0
// Float to int32 by rounding to nearest, ties to even, saturating: one instruction on 64-bit Arm,
// a few on 32-bit Arm, which only truncates.
#ifndef FIRN_KERNELS_NEON_ROUND_H_
#define FIRN_KERNELS_NEON_ROUND_H_

#include <arm_neon.h>

namespace firn::kernels {
namespace {

inline __attribute__((always_inline)) int32x4_t round_even(float32x4_t x) {
#if defined(__aarch64__)
  return vcvtnq_s32_f32(x);
#else
  // Adding 1.5 * 2^23 leaves no bits behind the point, rounded as every addition is; from 2^22 on
  // there is at most one bit, a half, that the addition would not round alone.
  const float32x4_t magic = vdupq_n_f32(12582912.0f);
  const float32x4_t rounded = vsubq_f32(vaddq_f32(x, magic), magic);
  const uint32x4_t small = vcltq_f32(vabsq_f32(x), vdupq_n_f32(4194304.0f));
  const int32x4_t truncated = vcvtq_s32_f32(x);
  // Of large values: a half is rounded to the even neighbour.
  const float32x4_t rest = vsubq_f32(x, vcvtq_f32_s32(truncated));
  const uint32x4_t half = vcgeq_f32(vabsq_f32(rest), vdupq_n_f32(0.5f));
  const int32x4_t odd = vandq_s32(truncated, vdupq_n_s32(1));
  const int32x4_t away = vbslq_s32(vcltq_f32(x, vdupq_n_f32(0)), vnegq_s32(odd), odd);
  const int32x4_t large = vqaddq_s32(truncated, vandq_s32(away, vreinterpretq_s32_u32(half)));
  return vbslq_s32(small, vcvtq_s32_f32(rounded), large);
#endif
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_NEON_ROUND_H_
