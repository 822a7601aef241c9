// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution with NEON alone: strips of 8 channels widened to 16 bits, multiplied
// into 32, so that nothing saturates.
#include "kernels/dwconv_s8_arm.h"

namespace firn::kernels {
namespace {

struct Neon {
  static constexpr int kVecs = 2, kMaxVecs = 2, kLanes = 4;
  // What the loops gain from more they lose to spills, on 64-bit Arm, too.
  static constexpr bool kManyRegisters = false;
  static constexpr int kMaxTile = 3;
  static constexpr int32_t kOffset = 0;
  static constexpr bool kFloatSums = false;
  using Tap = int16_t;
  template <int N>
  using Output = NeonOutput<N>;
  static constexpr int channel(int, int vec, int lane) { return vec * kLanes + lane; }
  static constexpr int tap(int lane, int i) { return i * kLanes + lane; }

  using Acc = int32x4_t;
  struct Weight {
    int16x8_t first, second;  // taps 0 and 1, 2 and 3
  };
  template <int N>
  struct Quad {
    int16x8_t tap[4];
  };

  static Acc bias(const int32_t* p) { return vld1q_s32(p); }
  static Acc none() { return vdupq_n_s32(0); }
  static Acc add(Acc a, Acc b) { return vaddq_s32(a, b); }
  static Weight weight(const Tap* p) { return {vld1q_s16(p), vld1q_s16(p + 8)}; }

  struct Interleave {
    explicit Interleave(bool) {}
    template <int N, int kUsed>
    Quad<N> quad(const int8_t* p0, const int8_t* p1, const int8_t* p2, const int8_t* p3) const {
      const int16x8_t third = vmovl_s8(vld1_s8(p2));
      return {{vmovl_s8(vld1_s8(p0)), vmovl_s8(vld1_s8(p1)), third,
               kUsed == 4 ? vmovl_s8(vld1_s8(p3)) : third}};
    }
  };

  static int16x4_t half(int16x8_t x, int v) { return v == 0 ? vget_low_s16(x) : vget_high_s16(x); }

  template <int N>
  static Acc dot(Acc acc, const Quad<N>& quad, int v, Weight w) {
    acc = vmlal_s16(acc, half(quad.tap[0], v), vget_low_s16(w.first));
    acc = vmlal_s16(acc, half(quad.tap[1], v), vget_high_s16(w.first));
    acc = vmlal_s16(acc, half(quad.tap[2], v), vget_low_s16(w.second));
    return vmlal_s16(acc, half(quad.tap[3], v), vget_high_s16(w.second));
  }
};

}  // namespace

extern const DwConvS8 dwconv_s8_neon;
const DwConvS8 dwconv_s8_neon = DwConv<Neon>::entry("dwconv_s8_neon", Isa::neon);

}  // namespace firn::kernels
