// SPDX-License-Identifier: Apache-2.0
// What the Arm variants of the product with weights of few bits share: tiles of 16 columns in four
// vectors. For 64-bit and 32-bit Arm with NEON; D is how such a file multiplies.
//
// Both operands of Arm's products are signed: weights of up to 7 bits are so as they are, those of
// 8 are centred.
#ifndef FIRN_KERNELS_GEMM_WN_ARM_H_
#define FIRN_KERNELS_GEMM_WN_ARM_H_

#include <arm_neon.h>

#define FIRN_WN_BYTES 16
#include "kernels/gemm_wn_lanes.h"

namespace firn::kernels {
namespace {

// The columns of a step, 4 a vector.
FIRN_INLINE void wn_columns(const WnTile& t, const uint8_t* w, int8x16_t (&columns)[4]) {
  const uint8x16_t flip = vdupq_n_u8(t.bits == 8 ? 128 : 0);
  FIRN_UNROLL for (int c = 0; c < 4; ++c) columns[c] =
      vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w + 16 * c), flip));
}

// D: template <int R> static void block(const WnTile&, const uint8_t* w, const int8_t* x, size_t
// steps, int32x4_t (&acc)[R][4]): sums of products from 0 on.
template <class D>
struct WnNeon {
  static constexpr int kRows = D::kRows;

  template <int R>
  static void tile(const WnTile& t, float (*sums)[16]) {
    const int32_t offset = t.bits == 8 ? 128 : 0;
    size_t block = 0;
    for (size_t step = 0; step < t.steps; ++block) {
      const size_t end = t.steps - step < t.block_steps ? t.steps : step + t.block_steps;
      int32x4_t acc[R][4];
      D::template block<R>(t, t.weights + step * 64, t.x + step * 4, end - step, acc);
      step = end;
      const int32_t* x_sums = t.sums + block;
      int32_t zeros[16];
      for (int c = 0; c < 16; ++c)
        zeros[c] = (t.zeros == nullptr ? t.half : int32_t{t.zeros[block * 16 + c]}) - offset;
      FIRN_UNROLL for (int c = 0; c < 4; ++c) {
        const int32x4_t zero = vld1q_s32(zeros + 4 * c);
        const float32x4_t scale = vld1q_f32(t.scale + block * 16 + 4 * c);
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const int32_t x_sum = x_sums[static_cast<size_t>(r) * t.sums_stride];
          const int32x4_t d = vmlsq_n_s32(acc[r][c], zero, x_sum);
          float* sum = sums[r] + 4 * c;
          vst1q_f32(sum, vaddq_f32(vld1q_f32(sum), vmulq_f32(vcvtq_f32_s32(d), scale)));
        }
      }
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_WN_ARM_H_
