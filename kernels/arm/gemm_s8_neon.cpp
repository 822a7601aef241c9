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

// R rows by one panel.
template <int R>
struct Tile {
  int32x4_t acc[R][4];

  FIRN_INLINE explicit Tile(const int32_t* bias) {
    FIRN_UNROLL for (int c = 0; c < 4; ++c) {
      const int32x4_t v = vld1q_s32(bias + 4 * c);
      FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = v;
    }
  }

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

template <int R>
void rows(const GemmS8Block& b, const GemmS8Tile& t, int begin, int panel) {
  Tile<R> tile(b.bias + panel * kPanel);
  const int8_t* w = b.weights + panel * b.panel_bytes;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) a[r] = gemm_s8_input(t, tap, begin + r);
    w = tile.tap(a, w, b.steps);
  }
  const Store16 store(b, panel * kPanel);
  FIRN_UNROLL for (int r = 0; r < R; ++r)
      store.row(b.output, (t.first_row + begin + r) * b.out_stride + panel * kPanel, tile.acc[r]);
}

}  // namespace

// A panel's weights stay in the first cache while all rows of the block pass.
void gemm_s8_tiles_neon(const GemmS8Block& b) {
  for (int panel = 0; panel < b.panels; ++panel) {
    for (int i = 0; i < b.tile_count; ++i) {
      const GemmS8Tile& t = b.tiles[i];
      int r = 0;
      for (; r + kRows <= t.count; r += kRows) rows<kRows>(b, t, r, panel);
      for (; r < t.count; ++r) rows<1>(b, t, r, panel);
    }
  }
}

}  // namespace firn::kernels
