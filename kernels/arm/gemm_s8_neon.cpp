// SPDX-License-Identifier: Apache-2.0
// int8 convolution with NEON alone, 64-bit and 32-bit: eight products of 16 bits a column, or the
// sums of two each where no weight is -128, added in pairs to sums of 32. Products and additions
// are done by different units of most CPUs, and a column's sums are added up at the end.
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

// kSteps steps of k, whose products are added up in 16 bits, from the rows' value `at` on.
template <int kSteps, int R>
FIRN_INLINE void add_steps(const int8_t* (&a)[R], ptrdiff_t at, const int8_t* w,
                           int32x4_t (&sum)[R][kColumns]) {
  int8x8_t x[kSteps][R];
  FIRN_UNROLL for (int k = 0; k < kSteps; ++k) FIRN_UNROLL for (int r = 0; r < R; ++r) {
    x[k][r] = vld1_s8(a[r] + at + 8 * k);
  }
  // Four columns' products before their sums, for CPUs that compute in order.
  FIRN_UNROLL for (int c = 0; c < kColumns; c += 4) {
    int16x8_t product[4][R];
    FIRN_UNROLL for (int k = 0; k < kSteps; ++k) FIRN_UNROLL for (int i = 0; i < 4; i += 2) {
      int8x8_t column[2];
      FIRN_UNROLL for (int n = 0; n < 2; ++n) column[n] =
          vld1_s8(w + k * kStepBytes + 8 * (c + i + n));
      FIRN_UNROLL for (int n = 0; n < 2; ++n) FIRN_UNROLL for (int r = 0; r < R; ++r) {
        int16x8_t& p = product[i + n][r];
        p = k == 0 ? vmull_s8(column[n], x[k][r]) : vmlal_s8(p, column[n], x[k][r]);
      }
    }
    FIRN_UNROLL for (int i = 0; i < 4; ++i) FIRN_UNROLL for (int r = 0; r < R; ++r) {
      sum[r][c + i] = vpadalq_s16(sum[r][c + i], product[i][r]);
    }
  }
}

// Rows [begin, begin + R) of a tile by kColumns columns from the panel's column `first` on: acc
// gets two vectors a row.
template <int R>
FIRN_INLINE void columns(const GemmS8Block& b, const GemmS8Tile& t, int begin, int panel, int first,
                         int32x4_t (&acc)[R][4]) {
  int32x4_t sum[R][kColumns];
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < kColumns; ++c) {
    sum[r][c] = vdupq_n_s32(0);
  }
  const int8_t* w = b.weights + panel * b.panel_bytes + first * 8;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) a[r] = gemm_s8_input(t, tap, begin + r);
    ptrdiff_t k = 0;
    if (b.narrow_weights) {
      for (; k + 2 <= b.steps; k += 2, w += 2 * kStepBytes) add_steps<2>(a, 8 * k, w, sum);
    }
    for (; k < b.steps; ++k, w += kStepBytes) add_steps<1>(a, 8 * k, w, sum);
  }
  const int32_t* bias = b.bias + panel * kPanel + first;
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int c = 0; c < kColumns / 4; ++c) {
    acc[r][first / 4 + c] = vaddq_s32(
        vld1q_s32(bias + 4 * c),
        lane_sums(sum[r][4 * c], sum[r][4 * c + 1], sum[r][4 * c + 2], sum[r][4 * c + 3]));
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
