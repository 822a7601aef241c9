// SPDX-License-Identifier: Apache-2.0
// int8 convolution with NEON alone, 64-bit and 32-bit: eight products of 16 bits a column, added in
// pairs to sums of 32, so that nothing saturates. Products and additions are done by different
// units of most CPUs, and a column's sums are added up at the end.
#include "kernels/gemm_s8_arm.h"

namespace firn::kernels {
namespace {

constexpr int kColumns = 8;             // worked on together: half a panel
constexpr int kStepBytes = kPanel * 8;  // of a panel
#if defined(__aarch64__)
constexpr int kRows = 2;  // 16 sums of 32 registers
#else
constexpr int kRows = 1;  // 8 of 16
#endif

// Products of a row's eight values, which x has twice, and those of two columns, the halves of w.
FIRN_INLINE void multiply(int8x16_t x, int8x16_t w, int16x8_t (&product)[2]) {
  product[0] = vmull_s8(vget_low_s8(w), vget_low_s8(x));
#if defined(__aarch64__)
  product[1] = vmull_high_s8(w, x);
#else
  product[1] = vmull_s8(vget_high_s8(w), vget_low_s8(x));
#endif
}

// The sums of the lanes of a, b, c, d.
FIRN_INLINE int32x4_t lane_sums(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
#if defined(__aarch64__)
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
#else
  const auto two = [](int32x4_t x, int32x4_t y) {
    return vpadd_s32(vadd_s32(vget_low_s32(x), vget_high_s32(x)),
                     vadd_s32(vget_low_s32(y), vget_high_s32(y)));
  };
  return vcombine_s32(two(a, b), two(c, d));
#endif
}

// Rows [begin, begin + R) of a tile by kColumns columns from the panel's column `first` on: acc
// gets two vectors a row.
template <int R>
FIRN_INLINE void columns(const GemmS8Block& b, const GemmS8Tile& t, int begin, int panel, int first,
                         int32x4_t (&acc)[R][4]) {
  int32x4_t sum[R][kColumns / 2][2];
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < kColumns / 2; ++c) {
    sum[r][c][0] = sum[r][c][1] = vdupq_n_s32(0);
  }
  const int8_t* w = b.weights + panel * b.panel_bytes + first * 8;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) a[r] = gemm_s8_input(t, tap, begin + r);
    for (ptrdiff_t k = 0; k < b.steps; ++k, w += kStepBytes) {
      int8x16_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        const int8x8_t eight = vld1_s8(a[r] + 8 * k);
        x[r] = vreinterpretq_s8_s64(vdupq_lane_s64(vreinterpret_s64_s8(eight), 0));
      }
      int8x16_t two[kColumns / 2];
      FIRN_UNROLL for (int c = 0; c < kColumns / 2; ++c) two[c] = vld1q_s8(w + 16 * c);
      // Four columns' products before their sums, for CPUs that compute in order.
      FIRN_UNROLL for (int c = 0; c < kColumns / 2; c += 2) {
        int16x8_t product[2][R][2];
        FIRN_UNROLL for (int i = 0; i < 2; ++i) {
          FIRN_UNROLL for (int r = 0; r < R; ++r) multiply(x[r], two[c + i], product[i][r]);
        }
        FIRN_UNROLL for (int i = 0; i < 2; ++i) FIRN_UNROLL for (int r = 0; r < R; ++r) {
          sum[r][c + i][0] = vpadalq_s16(sum[r][c + i][0], product[i][r][0]);
          sum[r][c + i][1] = vpadalq_s16(sum[r][c + i][1], product[i][r][1]);
        }
      }
    }
  }
  const int32_t* bias = b.bias + panel * kPanel + first;
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < kColumns / 4; ++c) {
    acc[r][first / 4 + c] = vaddq_s32(
        vld1q_s32(bias + 4 * c),
        lane_sums(sum[r][2 * c][0], sum[r][2 * c][1], sum[r][2 * c + 1][0], sum[r][2 * c + 1][1]));
  }
}

template <int R>
void rows(const GemmS8Block& b, const GemmS8Tile& t, int begin, int panel) {
  int32x4_t acc[R][4];
  columns<R>(b, t, begin, panel, 0, acc);
  columns<R>(b, t, begin, panel, kColumns, acc);
  const Store16 store(b, panel * kPanel);
  FIRN_UNROLL for (int r = 0; r < R; ++r)
      store.row(b.output, (t.first_row + begin + r) * b.out_stride + panel * kPanel, acc[r]);
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
