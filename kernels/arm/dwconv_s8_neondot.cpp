// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution with the Armv8.2 dot product: strips of 16 channels, dot products
// over byte quads made by zips.
#include "kernels/dwconv_s8_arm.h"

namespace firn::kernels {
namespace {

struct NeonDot {
  static constexpr int kVecs = 4, kMaxVecs = 4, kLanes = 4;
  static constexpr bool kManyRegisters = false;
  static constexpr int kMaxTile = 7;
  static constexpr int32_t kOffset = 0;
  static constexpr bool kFloatSums = false;
  using Tap = int8_t;
  template <int N>
  using Output = NeonOutput<N>;
  static constexpr int channel(int, int vec, int lane) { return vec * kLanes + lane; }
  static constexpr int tap(int lane, int i) { return lane * 4 + i; }

  using Acc = int32x4_t;
  using Weight = int8x16_t;
  template <int N>
  struct Quad {
    int8x16_t v[N];
  };

  static Acc bias(const int32_t* p) { return vld1q_s32(p); }
  static Acc none() { return vdupq_n_s32(0); }
  static Acc add(Acc a, Acc b) { return vaddq_s32(a, b); }
  static Weight weight(const Tap* p) { return vld1q_s8(p); }

  struct Interleave {
    explicit Interleave(bool) {}
    template <int N, int kUsed>
    Quad<N> quad(const int8_t* p0, const int8_t* p1, const int8_t* p2, const int8_t* p3) const {
      const int8x16_t r0 = vld1q_s8(p0), r1 = vld1q_s8(p1), r2 = vld1q_s8(p2);
      const int8x16_t r3 = kUsed == 4 ? vld1q_s8(p3) : r2;
      const int16x8_t a = vreinterpretq_s16_s8(vzip1q_s8(r0, r1));
      const int16x8_t b = vreinterpretq_s16_s8(vzip1q_s8(r2, r3));
      const int16x8_t c = vreinterpretq_s16_s8(vzip2q_s8(r0, r1));
      const int16x8_t d = vreinterpretq_s16_s8(vzip2q_s8(r2, r3));
      return {{vreinterpretq_s8_s16(vzip1q_s16(a, b)), vreinterpretq_s8_s16(vzip2q_s16(a, b)),
               vreinterpretq_s8_s16(vzip1q_s16(c, d)), vreinterpretq_s8_s16(vzip2q_s16(c, d))}};
    }
  };

  template <int N>
  static Acc dot(Acc acc, const Quad<N>& quad, int v, Weight w) {
    return vdotq_s32(acc, quad.v[v], w);
  }
};

}  // namespace

extern const DwConvS8 dwconv_s8_neondot;
const DwConvS8 dwconv_s8_neondot = DwConv<NeonDot>::entry("dwconv_s8_neondot", Isa::neondot);

}  // namespace firn::kernels
