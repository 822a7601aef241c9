// SPDX-License-Identifier: Apache-2.0
// What the Arm kernels of the int8 convolution share: how accumulators leave the registers.
// For 64-bit and 32-bit Arm with NEON.
#ifndef FIRN_KERNELS_GEMM_S8_ARM_H_
#define FIRN_KERNELS_GEMM_S8_ARM_H_

#include <arm_neon.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/neon_round.h"

namespace firn::kernels {
namespace {

// How 16 columns of a block are written; scales come from memory, row by row.
struct Store16 {
  const float* scale;
  int32_t columns;  // that exist
  bool to_float;
  int16x8_t zero;
  int8x16_t lo, hi;
  float32x4_t float_lo, float_hi;

  FIRN_INLINE Store16(const GemmS8Block& b, int column)
      : scale(b.scale + column),
        columns(b.columns - column),
        to_float(b.to_float),
        zero(vdupq_n_s16(static_cast<int16_t>(b.clamp.zero))),
        lo(vdupq_n_s8(static_cast<int8_t>(b.clamp.lo))),
        hi(vdupq_n_s8(static_cast<int8_t>(b.clamp.hi))),
        float_lo(vdupq_n_f32(b.float_lo)),
        float_hi(vdupq_n_f32(b.float_hi)) {}

  FIRN_INLINE float32x4_t scaled(int32x4_t acc, int quarter) const {
    return vmulq_f32(vcvtq_f32_s32(acc), vld1q_f32(scale + 4 * quarter));
  }

  // Conversion saturates, and so does every step to bytes: the limits, being integers, may come
  // last, as in requantize() they come first.
  FIRN_INLINE int8x16_t bytes(const int32x4_t (&acc)[4]) const {
    const int16x8_t a = vcombine_s16(vqmovn_s32(round_even(scaled(acc[0], 0))),
                                     vqmovn_s32(round_even(scaled(acc[1], 1))));
    const int16x8_t b = vcombine_s16(vqmovn_s32(round_even(scaled(acc[2], 2))),
                                     vqmovn_s32(round_even(scaled(acc[3], 3))));
    const int8x16_t y =
        vcombine_s8(vqmovn_s16(vqaddq_s16(a, zero)), vqmovn_s16(vqaddq_s16(b, zero)));
    return vminq_s8(vmaxq_s8(y, lo), hi);
  }

  // `at`: of the first column, in elements of the output.
  FIRN_INLINE void row(void* output, ptrdiff_t at, const int32x4_t (&acc)[4]) const {
    if (!to_float) {
      int8_t* out = static_cast<int8_t*>(output) + at;
      const int8x16_t y = bytes(acc);
      if (columns >= kPanel) return vst1q_s8(out, y);
      int8_t all[kPanel];
      vst1q_s8(all, y);
      memcpy(out, all, static_cast<size_t>(columns));
      return;
    }
    float* out = static_cast<float*>(output) + at;
    float all[kPanel];
    float* to = columns >= kPanel ? out : all;
    FIRN_UNROLL for (int i = 0; i < 4; ++i)
        vst1q_f32(to + 4 * i, vminq_f32(vmaxq_f32(scaled(acc[i], i), float_lo), float_hi));
    if (columns < kPanel) memcpy(out, all, sizeof(float) * static_cast<size_t>(columns));
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_ARM_H_
