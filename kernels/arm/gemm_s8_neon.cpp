// SPDX-License-Identifier: Apache-2.0
// int8 convolution with NEON alone, 64-bit and 32-bit: values widened to 16 bits, multiplied into
// 32 by lane, so that nothing saturates.
#include "kernels/gemm_s8_arm.h"

namespace firn::kernels {
namespace {

#if defined(__aarch64__)
constexpr int kRows = 4;  // 16 accumulators of 32 registers
#else
constexpr int kRows = 2;  // 8 of 16
#endif

template <int R>
struct Tile : Accumulators<R> {
  using Accumulators<R>::Accumulators;
  using Accumulators<R>::acc;

  // 16 columns of one k times lane kLane of each row.
  template <int kLane>
  FIRN_INLINE void step(const int16x4_t (&x)[R], const int8_t* w) {
    const int8x16_t bytes = vld1q_s8(w);
    const int16x8_t lo = vmovl_s8(vget_low_s8(bytes)), hi = vmovl_s8(vget_high_s8(bytes));
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      acc[r][0] = vmlal_lane_s16(acc[r][0], vget_low_s16(lo), x[r], kLane);
      acc[r][1] = vmlal_lane_s16(acc[r][1], vget_high_s16(lo), x[r], kLane);
      acc[r][2] = vmlal_lane_s16(acc[r][2], vget_low_s16(hi), x[r], kLane);
      acc[r][3] = vmlal_lane_s16(acc[r][3], vget_high_s16(hi), x[r], kLane);
    }
  }

  FIRN_INLINE void four(const int16x4_t (&x)[R], const int8_t* w) {
    step<0>(x, w);
    step<1>(x, w + kPanel);
    step<2>(x, w + 2 * kPanel);
    step<3>(x, w + 3 * kPanel);
  }

  // One tap; returns the weights behind it.
  FIRN_INLINE const int8_t* tap(const int8_t* (&a)[R], const int8_t* w, int32_t steps) {
    int32_t k = 0;
    for (; k + 8 <= steps; k += 8, w += 8 * kPanel) {
      int16x4_t x[2][R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        const int16x8_t eight = vmovl_s8(vld1_s8(a[r] + k));
        x[0][r] = vget_low_s16(eight);
        x[1][r] = vget_high_s16(eight);
      }
      four(x[0], w);
      four(x[1], w + 4 * kPanel);
    }
    for (; k < steps; ++k, w += kPanel) {
      int16x4_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) x[r] = vdup_n_s16(a[r][k]);
      step<0>(x, w);
    }
    return w;
  }
};

}  // namespace

// A panel's weights stay in the first cache while all rows of the block pass.
void gemm_s8_tiles_neon(const GemmS8Block& b) {
  for (int panel = 0; panel < b.panels; ++panel) {
    for (int i = 0; i < b.tile_count; ++i) {
      const GemmS8Tile& t = b.tiles[i];
      int r = 0;
      for (; r + kRows <= t.count; r += kRows) gemm_rows<Tile, kRows>(b, t, r, panel);
      for (; r < t.count; ++r) gemm_rows<Tile, 1>(b, t, r, panel);
    }
  }
}

}  // namespace firn::kernels
