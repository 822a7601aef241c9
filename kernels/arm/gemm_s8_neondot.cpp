// SPDX-License-Identifier: Apache-2.0
// int8 convolution with the Armv8.2 dot product: tiles of 4 rows by 16 columns, four steps of k at
// a time, each a lane of the rows' registers.
#include "kernels/gemm_s8_arm.h"

namespace firn::kernels {
namespace {

// Four columns times four values of a row. In assembly because g++ 12 copies accumulators of the
// intrinsic.
template <int kLane>
FIRN_INLINE void dot(int32x4_t& acc, int8x16_t columns, int8x16_t row) {
  asm("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(acc) : "w"(columns), "w"(row), "i"(kLane));
}

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

  template <int kLane>
  FIRN_INLINE void step(const int8x16_t (&x)[R], const int8_t* w) {
    int8x16_t column[4];
    FIRN_UNROLL for (int c = 0; c < 4; ++c) column[c] = vld1q_s8(w + 16 * c);
    FIRN_UNROLL for (int c = 0; c < 4; ++c) {
      FIRN_UNROLL for (int r = 0; r < R; ++r) dot<kLane>(acc[r][c], column[c], x[r]);
    }
  }

  // One tap; returns the weights behind it.
  FIRN_INLINE const int8_t* tap(const int8_t* (&a)[R], const int8_t* w, int32_t steps) {
    constexpr int kStepBytes = kPanel * 4;
    int32_t k = 0;
    for (; k + 4 <= steps; k += 4, w += 4 * kStepBytes) {
      int8x16_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1q_s8(a[r] + 4 * k);
      step<0>(x, w);
      step<1>(x, w + kStepBytes);
      step<2>(x, w + 2 * kStepBytes);
      step<3>(x, w + 3 * kStepBytes);
    }
    for (; k < steps; ++k, w += kStepBytes) {
      int8x16_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        int32_t four;
        memcpy(&four, a[r] + 4 * k, sizeof(four));
        x[r] = vreinterpretq_s8_s32(vdupq_n_s32(four));
      }
      step<0>(x, w);
    }
    return w;
  }
};

// Rows [begin, begin + R) of a tile by a panel.
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
void gemm_s8_tiles_neondot(const GemmS8Block& b) {
  for (int panel = 0; panel < b.panels; ++panel) {
    for (int i = 0; i < b.tile_count; ++i) {
      const GemmS8Tile& t = b.tiles[i];
      int r = 0;
      for (; r + 4 <= t.count; r += 4) rows<4>(b, t, r, panel);
      if (t.count - r == 3) rows<3>(b, t, r, panel);
      if (t.count - r == 2) rows<2>(b, t, r, panel);
      if (t.count - r == 1) rows<1>(b, t, r, panel);
    }
  }
}

}  // namespace firn::kernels
