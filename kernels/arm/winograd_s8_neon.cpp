// SPDX-License-Identifier: Apache-2.0
// Winograd convolution with NEON alone, 64-bit and 32-bit: products of 16-bit values by lane, as
// many a cycle as the direct convolution has, of which it takes a quarter.
#include <arm_neon.h>

#include "kernels/neon_round.h"
#include "kernels/winograd_s8_loops.h"

namespace firn::kernels {
namespace {

struct Neon {
#if defined(__aarch64__)
  static constexpr int kRows = 4;  // 16 accumulators of 32 registers
#else
  static constexpr int kRows = 2;  // 8 of 16
#endif
  static constexpr bool kHalved = false;
  static constexpr int kLanes16 = 8, kLanes32 = 4, kStep = 1, kPanels = 4;
  using I16 = int16x8_t;
  using I32 = int32x4_t;

  static I16 widen(const int8_t* p) {
    return vmovl_s8(vld1_s8(p));
  }
  static void store16(uint8_t* p, I16 x) {
    vst1q_s16(reinterpret_cast<int16_t*>(p), x);
  }
  static I16 add16(I16 a, I16 b) {
    return vaddq_s16(a, b);
  }
  static I16 sub16(I16 a, I16 b) {
    return vsubq_s16(a, b);
  }
  template <int N>
  static I16 shl16(I16 a) {
    return vshlq_n_s16(a, N);
  }
  static I32 load32(const int32_t* p) {
    return vld1q_s32(p);
  }
  static I32 add32(I32 a, I32 b) {
    return vaddq_s32(a, b);
  }
  static I32 sub32(I32 a, I32 b) {
    return vsubq_s32(a, b);
  }
  template <int N>
  static I32 shl32(I32 a) {
    return vshlq_n_s32(a, N);
  }

  struct Output {
    float32x4_t scale;
    int32x4_t bias;
    int16x8_t zero;
    int8x16_t lo, hi;
    int32_t channels;

    Output(const ConvS8Args& args, const int32_t* b, int32_t channel, int32_t count)
        : bias(vld1q_s32(b)),
          zero(vdupq_n_s16(static_cast<int16_t>(args.clamp.zero))),
          lo(vdupq_n_s8(static_cast<int8_t>(args.clamp.lo))),
          hi(vdupq_n_s8(static_cast<int8_t>(args.clamp.hi))),
          channels(count) {
      float some[4] = {};  // 0 where there is no channel
      memcpy(some, args.scale + channel, sizeof(float) * static_cast<size_t>(count));
      scale = vld1q_f32(some);
    }

    // Conversion and packing saturate, so that the limits, being integers, may come last.
    FIRN_INLINE int16x4_t scaled(int32x4_t y) const {
      const int32x4_t sum = vmulq_s32(y, vdupq_n_s32(static_cast<int32_t>(kInverse9)));
      const int32x4_t acc = vaddq_s32(bias, vshrq_n_s32(sum, 6));
      return vqmovn_s32(round_even(vmulq_f32(vcvtq_f32_s32(acc), scale)));
    }
    // Four pixels, `stride` apart, of which `count` exist.
    FIRN_INLINE void store(const int32x4_t (&y)[4], int8_t* to, ptrdiff_t stride,
                           int32_t count) const {
      const int16x8_t ab = vqaddq_s16(vcombine_s16(scaled(y[0]), scaled(y[1])), zero);
      const int16x8_t cd = vqaddq_s16(vcombine_s16(scaled(y[2]), scaled(y[3])), zero);
      int8_t bytes[16];
      vst1q_s8(bytes, vminq_s8(vmaxq_s8(vcombine_s8(vqmovn_s16(ab), vqmovn_s16(cd)), lo), hi));
      for (int32_t i = 0; i < count; ++i, to += stride) {
        if (channels == 4)
          memcpy(to, bytes + 4 * i, 4);
        else
          memcpy(to, bytes + 4 * i, static_cast<size_t>(channels));
      }
    }
  };

  // 16 columns of one k times lane kLane of each row.
  template <int kLane, int R>
  FIRN_INLINE static void step(int32x4_t (&acc)[R][4], const int16x4_t (&x)[R], const int16_t* w) {
    const int16x8_t lo = vld1q_s16(w), hi = vld1q_s16(w + 8);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      acc[r][0] = vmlal_lane_s16(acc[r][0], vget_low_s16(lo), x[r], kLane);
      acc[r][1] = vmlal_lane_s16(acc[r][1], vget_high_s16(lo), x[r], kLane);
      acc[r][2] = vmlal_lane_s16(acc[r][2], vget_low_s16(hi), x[r], kLane);
      acc[r][3] = vmlal_lane_s16(acc[r][3], vget_high_s16(hi), x[r], kLane);
    }
  }

  // R rows by one panel. Rows are as long as the vectors of the transform: whole fours.
  template <int R>
  FIRN_INLINE static void tile(int32_t steps, const uint8_t* rows, ptrdiff_t row_bytes,
                               const uint8_t* weights, int32_t* sums, ptrdiff_t sum_stride) {
    const auto* w = reinterpret_cast<const int16_t*>(weights);
    const int16_t* a[R];
    int32x4_t acc[R][4];
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      a[r] = reinterpret_cast<const int16_t*>(rows + r * row_bytes);
      FIRN_UNROLL for (int i = 0; i < 4; ++i) acc[r][i] = vdupq_n_s32(0);
    }
    int32_t k = 0;
    for (; k + 4 <= steps; k += 4, w += 4 * kPanel) {
      int16x4_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1_s16(a[r] + k);
      step<0>(acc, x, w);
      step<1>(acc, x, w + kPanel);
      step<2>(acc, x, w + 2 * kPanel);
      step<3>(acc, x, w + 3 * kPanel);
    }
    for (; k < steps; ++k, w += kPanel) {
      int16x4_t x[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) x[r] = vdup_n_s16(a[r][k]);
      step<0>(acc, x, w);
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int i = 0; i < 4; ++i)
        vst1q_s32(sums + r * sum_stride + i * 4, acc[r][i]);
  }

  static void multiply(int32_t count, int32_t wide, int32_t steps, const uint8_t* rows,
                       ptrdiff_t row_bytes, const int32_t*, const uint8_t* w, ptrdiff_t panel_bytes,
                       int32_t* sums) {
    const ptrdiff_t stride = ptrdiff_t{wide} * kPanel;
    for (int32_t panel = 0; panel < wide; ++panel, w += panel_bytes, sums += kPanel) {
      int32_t i = 0;
      for (; i + kRows <= count; i += kRows)
        tile<kRows>(steps, rows + i * row_bytes, row_bytes, w, sums + i * stride, stride);
      for (; i < count; ++i)
        tile<1>(steps, rows + i * row_bytes, row_bytes, w, sums + i * stride, stride);
    }
  }
};

}  // namespace

extern const WinogradS8 winograd_s8_neon;
const WinogradS8 winograd_s8_neon = Winograd<Neon>::entry("winograd_s8_neon", Isa::neon, 12, 16);

}  // namespace firn::kernels
