// SPDX-License-Identifier: Apache-2.0
// int8 convolution with Armv8.6 smmla, which multiplies 2 rows by 2 columns, 8 deep: tiles of 4
// rows by 24 columns, so that pairing rows costs little beside the products.
#include "kernels/gemm_s8_arm.h"

namespace firn::kernels {
namespace {

constexpr int kEight = 8;               // columns of half a panel
constexpr int kStepBytes = kPanel * 8;  // of a panel
constexpr int kHalfBytes = kStepBytes / 2;

// In assembly because g++ 12 copies accumulators of the intrinsic.
FIRN_INLINE void multiply(int32x4_t& acc, int8x16_t rows, int8x16_t columns) {
  asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(rows), "w"(columns));
}

// Half h of the block's columns, counted over all panels.
FIRN_INLINE const int8_t* half_weights(const GemmS8Block& b, int h) {
  return b.weights + h / 2 * b.panel_bytes + h % 2 * kHalfBytes;
}

// P pairs of rows by H halves of panels.
template <int P, int H>
struct Tile {
  int32x4_t acc[P][4 * H];  // r0c0 r0c1 r1c0 r1c1

  FIRN_INLINE explicit Tile(const int32_t* bias) {
    FIRN_UNROLL for (int c = 0; c < 4 * H; ++c) {
      const int32x2_t two = vld1_s32(bias + 2 * c);
      FIRN_UNROLL for (int p = 0; p < P; ++p) acc[p][c] = vcombine_s32(two, two);
    }
  }

  FIRN_INLINE void step(const int8x16_t (&x)[P], const int8_t* const (&w)[H], ptrdiff_t at) {
    FIRN_UNROLL for (int c = 0; c < 4 * H; c += 2) {
      const int8x16_t even = vld1q_s8(w[c / 4] + at + 16 * (c % 4));
      const int8x16_t odd = vld1q_s8(w[c / 4] + at + 16 * (c % 4 + 1));
      FIRN_UNROLL for (int p = 0; p < P; ++p) multiply(acc[p][c], x[p], even);
      FIRN_UNROLL for (int p = 0; p < P; ++p) multiply(acc[p][c + 1], x[p], odd);
    }
  }

  // One tap; `at` moves on behind its weights.
  FIRN_INLINE void tap(const int8_t* (&a)[2 * P], const int8_t* const (&w)[H], int32_t steps,
                       ptrdiff_t& at) {
    int32_t k = 0;
    for (; k + 2 <= steps; k += 2, at += 2 * kStepBytes) {
      int8x16_t even[P], odd[P];
      FIRN_UNROLL for (int p = 0; p < P; ++p) {
        const int64x2_t x0 = vreinterpretq_s64_s8(vld1q_s8(a[2 * p] + 8 * k));
        const int64x2_t x1 = vreinterpretq_s64_s8(vld1q_s8(a[2 * p + 1] + 8 * k));
        even[p] = vreinterpretq_s8_s64(vzip1q_s64(x0, x1));
        odd[p] = vreinterpretq_s8_s64(vzip2q_s64(x0, x1));
      }
      step(even, w, at);
      step(odd, w, at + kStepBytes);
    }
    if (k < steps) {
      int8x16_t x[P];
      FIRN_UNROLL for (int p = 0; p < P; ++p) x[p] =
          vcombine_s8(vld1_s8(a[2 * p] + 8 * k), vld1_s8(a[2 * p + 1] + 8 * k));
      step(x, w, at);
      at += kStepBytes;
    }
  }

  // Row i (0 or 1) of pair p: half h as two vectors of four columns.
  FIRN_INLINE int32x4_t columns(int p, int h, int i, int quarter) const {
    const int64x2_t a = vreinterpretq_s64_s32(acc[p][4 * h + 2 * quarter]);
    const int64x2_t b = vreinterpretq_s64_s32(acc[p][4 * h + 2 * quarter + 1]);
    return vreinterpretq_s32_s64(i == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
  }
};

// Eight columns of a row, from column `column` of the block on.
FIRN_INLINE void store_eight(const GemmS8Block& b, ptrdiff_t row, int column, int32x4_t lo,
                             int32x4_t hi) {
  const float32x4_t x = vmulq_f32(vcvtq_f32_s32(lo), vld1q_f32(b.scale + column));
  const float32x4_t y = vmulq_f32(vcvtq_f32_s32(hi), vld1q_f32(b.scale + column + 4));
  const int32_t columns = b.columns - column;
  const ptrdiff_t at = row * b.out_stride + column;
  if (columns <= 0) return;
  if (b.to_float) {
    const float32x4_t least = vdupq_n_f32(b.float_lo), most = vdupq_n_f32(b.float_hi);
    float* out = static_cast<float*>(b.output) + at;
    float all[kEight];
    float* to = columns >= kEight ? out : all;
    vst1q_f32(to, vminq_f32(vmaxq_f32(x, least), most));
    vst1q_f32(to + 4, vminq_f32(vmaxq_f32(y, least), most));
    if (columns < kEight) memcpy(out, all, sizeof(float) * static_cast<size_t>(columns));
    return;
  }
  // As Store16::bytes().
  const int16x8_t words =
      vqaddq_s16(vcombine_s16(vqmovn_s32(round_even(x)), vqmovn_s32(round_even(y))),
                 vdupq_n_s16(static_cast<int16_t>(b.clamp.zero)));
  const int8x8_t bytes =
      vmin_s8(vmax_s8(vqmovn_s16(words), vdup_n_s8(static_cast<int8_t>(b.clamp.lo))),
              vdup_n_s8(static_cast<int8_t>(b.clamp.hi)));
  int8_t* out = static_cast<int8_t*>(b.output) + at;
  if (columns >= kEight) return vst1_s8(out, bytes);
  int8_t all[kEight];
  vst1_s8(all, bytes);
  memcpy(out, all, static_cast<size_t>(columns));
}

// Rows [begin, begin + n) of a tile, n <= 2 * P; those that are missing repeat the last.
template <int P, int H>
void rows(const GemmS8Block& b, const GemmS8Tile& t, int begin, int n, int half) {
  Tile<P, H> tile(b.bias + half * kEight);
  const int8_t* w[H];
  FIRN_UNROLL for (int h = 0; h < H; ++h) w[h] = half_weights(b, half + h);
  ptrdiff_t at = 0;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[2 * P];
    FIRN_UNROLL for (int r = 0; r < 2 * P; ++r) a[r] =
        gemm_s8_input(t, tap, begin + (r < n ? r : n - 1));
    tile.tap(a, w, b.steps, at);
  }
  FIRN_UNROLL for (int r = 0; r < 2 * P; ++r) {
    FIRN_UNROLL for (int h = 0; h < H; ++h) {
      if (r < n)
        store_eight(b, t.first_row + begin + r, (half + h) * kEight,
                    tile.columns(r / 2, h, r % 2, 0), tile.columns(r / 2, h, r % 2, 1));
    }
  }
}

template <int H>
void halves(const GemmS8Block& b, int half) {
  for (int i = 0; i < b.tile_count; ++i) {
    const GemmS8Tile& t = b.tiles[i];
    int r = 0;
    for (; r + 2 < t.count; r += 4) rows<2, H>(b, t, r, t.count - r < 4 ? t.count - r : 4, half);
    if (r < t.count) rows<1, H>(b, t, r, t.count - r, half);
  }
}

}  // namespace

// The weights of 24 columns stay in the first cache while all rows of the block pass.
void gemm_s8_tiles_neoni8mm(const GemmS8Block& b) {
  const int all = (b.columns + kEight - 1) / kEight;
  int half = 0;
  for (; all - half >= 3; half += 3) halves<3>(b, half);
  if (all - half == 2) halves<2>(b, half);
  if (all - half == 1) halves<1>(b, half);
}

}  // namespace firn::kernels
