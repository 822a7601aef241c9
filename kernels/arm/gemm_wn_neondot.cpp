// SPDX-License-Identifier: Apache-2.0
// Weights of few bits with the Armv8.2 dot product: 4 rows by 16 columns.
#include "kernels/gemm_wn_arm.h"

namespace firn::kernels {
namespace {

struct Dots {
  static constexpr int kRows = 4;

  // In assembly because g++ 12 copies accumulators of the intrinsic.
  FIRN_INLINE static void dot(int32x4_t& acc, int8x16_t columns, int8x16_t x) {
    asm("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(columns), "w"(x));
  }

  template <int R>
  FIRN_INLINE static void block(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                                int32x4_t (&acc)[R][4]) {
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < 4; ++c) acc[r][c] =
        vdupq_n_s32(0);
    for (size_t step = 0; step < steps; ++step, w += 64, x += 4) {
      int8x16_t columns[4];
      wn_columns(t, w, columns);
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        int32_t four;
        memcpy(&four, x + static_cast<size_t>(r) * t.x_stride, sizeof(four));
        const int8x16_t row = vreinterpretq_s8_s32(vdupq_n_s32(four));
        FIRN_UNROLL for (int c = 0; c < 4; ++c) dot(acc[r][c], columns[c], row);
      }
    }
  }
};

}  // namespace

extern const GemmWN gemm_wn_neondot;
const GemmWN gemm_wn_neondot = GemmWNLoops<WnNeon<Dots>>::entry("gemm_wn_neondot", Isa::neondot);

}  // namespace firn::kernels
