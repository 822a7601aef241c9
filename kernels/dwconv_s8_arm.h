// SPDX-License-Identifier: Apache-2.0
// What the Arm depthwise convolutions share: requantizing and storing.
#ifndef FIRN_KERNELS_DWCONV_S8_ARM_H_
#define FIRN_KERNELS_DWCONV_S8_ARM_H_

#include <arm_neon.h>

#include "kernels/dwconv_s8_loops.h"
#include "kernels/neon_round.h"

namespace firn::kernels {
namespace {

// N accumulators of a strip of 4 N channels, in their order.
template <int N>
struct NeonOutput {
  float32x4_t scale[N];
  int16x8_t zero;
  int8x8_t lo, hi;
  int32_t channels;

  NeonOutput(const ConvS8Args& args, int32_t channel, int32_t count, const DwSums&)
      : zero(vdupq_n_s16(static_cast<int16_t>(args.clamp.zero))),
        lo(vdup_n_s8(static_cast<int8_t>(args.clamp.lo))),
        hi(vdup_n_s8(static_cast<int8_t>(args.clamp.hi))),
        channels(count) {
    const float* from = args.scale + channel;
    float padded[4 * N] = {};
    if (count < 4 * N) {
      memcpy(padded, from, sizeof(float) * static_cast<size_t>(count));
      from = padded;
    }
    FIRN_UNROLL for (int v = 0; v < N; ++v) {
      scale[v] = vld1q_f32(from + 4 * v);
    }
  }

  // Equal to requantize(): see Store16::bytes() in gemm_s8_arm.h.
  int16x4_t words(int32x4_t acc, int v) const {
    return vqmovn_s32(round_even(vmulq_f32(vcvtq_f32_s32(acc), scale[v])));
  }

  template <int R>
  struct Pixels {
    int32x4_t acc[R][N];
  };

  template <int R>
  void take(Pixels<R>& pixels, const int32x4_t (&acc)[N][R], int) const {
    FIRN_UNROLL for (int i = 0; i < R * N; ++i) pixels.acc[i / N][i % N] = acc[i % N][i / N];
  }

  template <int R>
  void store(const Pixels<R>& pixels, int8_t* const* out) const {
    FIRN_UNROLL for (int j = 0; j < R; ++j) {
      int8x8_t bytes[N / 2];
      FIRN_UNROLL for (int v = 0; v < N; v += 2) {
        const int16x8_t eight = vqaddq_s16(
            vcombine_s16(words(pixels.acc[j][v], v), words(pixels.acc[j][v + 1], v + 1)), zero);
        bytes[v / 2] = vmin_s8(vmax_s8(vqmovn_s16(eight), lo), hi);
      }
      if (channels == 4 * N) {
        FIRN_UNROLL for (int v = 0; v < N / 2; ++v) {
          vst1_s8(out[j] + 8 * v, bytes[v]);
        }
      } else {
        int8_t all[4 * N];
        FIRN_UNROLL for (int v = 0; v < N / 2; ++v) {
          vst1_s8(all + 8 * v, bytes[v]);
        }
        memcpy(out[j], all, static_cast<size_t>(channels));
      }
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_ARM_H_
