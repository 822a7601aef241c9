// SPDX-License-Identifier: Apache-2.0
// Weights of few bits with plain NEON: 2 rows by 16 columns. Products are 16 bits wide, and added
// in pairs to 32: two sums a column until the block ends.
#include "kernels/gemm_wn_arm.h"

namespace firn::kernels {
namespace {

struct Pairs {
  static constexpr int kRows = 2;

  template <int R>
  FIRN_INLINE static void block(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                                int32x4_t (&acc)[R][4]) {
    int32x4_t pairs[R][8];
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < 8; ++c) pairs[r][c] =
        vdupq_n_s32(0);
    for (size_t step = 0; step < steps; ++step, w += 64, x += 4) {
      int8x16_t columns[4];
      wn_columns(t, w, columns);
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        int32_t four;
        memcpy(&four, x + static_cast<size_t>(r) * t.x_stride, sizeof(four));
        const int8x8_t row = vreinterpret_s8_s32(vdup_n_s32(four));
        FIRN_UNROLL for (int c = 0; c < 4; ++c) {
          pairs[r][2 * c] = vpadalq_s16(pairs[r][2 * c], vmull_s8(vget_low_s8(columns[c]), row));
          pairs[r][2 * c + 1] =
              vpadalq_s16(pairs[r][2 * c + 1], vmull_s8(vget_high_s8(columns[c]), row));
        }
      }
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < 4; ++c) {
      const int32x4_t a = pairs[r][2 * c], b = pairs[r][2 * c + 1];
      acc[r][c] = vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)),
                               vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
    }
  }
};

}  // namespace

extern const GemmWN gemm_wn_neon;
const GemmWN gemm_wn_neon = GemmWNLoops<WnNeon<Pairs>>::entry("gemm_wn_neon", Isa::neon);

}  // namespace firn::kernels
