// SPDX-License-Identifier: Apache-2.0
// 8-bit elementwise work, pools and conversions with NEON, 64-bit and 32-bit: 16 bytes at once.
#include <arm_neon.h>

#include "kernels/neon_round.h"
#include "kernels/vec_s8_convert.h"
#include "kernels/vec_s8_map.h"
#include "kernels/vec_s8_pool.h"
#include "kernels/vec_s8_wide.h"

namespace firn::kernels {
namespace {

struct Q {
  using Int = int8x16_t;
  using Float = float32x4_t;
  static constexpr size_t kBytes = 16;

  static int16x8_t s16(Int x) { return vreinterpretq_s16_s8(x); }
  static int32x4_t s32(Int x) { return vreinterpretq_s32_s8(x); }
  static Int s8(int16x8_t x) { return vreinterpretq_s8_s16(x); }
  static Int s8(int32x4_t x) { return vreinterpretq_s8_s32(x); }

  static Int load(const int8_t* p) { return vld1q_s8(p); }
  static void store(int8_t* p, Int x) { vst1q_s8(p, x); }
  static Int load(const int8_t* p, size_t n) {
    int8_t all[kBytes] = {};
    memcpy(all, p, n);
    return load(all);
  }
  static void store(int8_t* p, Int x, size_t n) {
    int8_t all[kBytes];
    store(all, x);
    memcpy(p, all, n);
  }
  static Float load_floats(const float* p) { return vld1q_f32(p); }
  static void store_floats(float* p, Float x) { vst1q_f32(p, x); }
  static Int load_widened(const int8_t* p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return s8(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
  }

  static Int load_widened(const int16_t* p) { return s8(vmovl_s16(vld1_s16(p))); }

  static Float set(float x) { return vdupq_n_f32(x); }
  static Int set8(int32_t x) { return vdupq_n_s8(static_cast<int8_t>(x)); }
  static Int set16(int32_t x) { return s8(vdupq_n_s16(static_cast<int16_t>(x))); }
  static Int set32(int32_t x) { return s8(vdupq_n_s32(x)); }

  static Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static Float sub(Float a, Float b) { return vsubq_f32(a, b); }
  static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  // b where a is NaN, as x86 has it.
  static Float min(Float a, Float b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Float max(Float a, Float b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Int round(Float x) { return s8(round_even(x)); }
  static Float to_float(Int x) { return vcvtq_f32_s32(s32(x)); }
  static Float as_float(Int x) { return vreinterpretq_f32_s8(x); }
  static Int as_int(Float x) { return vreinterpretq_s8_f32(x); }

  static Int add16(Int a, Int b) { return s8(vaddq_s16(s16(a), s16(b))); }
  static Int add32(Int a, Int b) { return s8(vaddq_s32(s32(a), s32(b))); }
  static Int sub32(Int a, Int b) { return s8(vsubq_s32(s32(a), s32(b))); }
  static Int adds16(Int a, Int b) { return s8(vqaddq_s16(s16(a), s16(b))); }
  static Int high16(Int x) { return s8(vshrq_n_s16(s16(x), 8)); }
  static Int low16(Int x) { return s8(vshrq_n_s16(vshlq_n_s16(s16(x), 8), 8)); }
  // acc and sums of two neighbouring products.
  static Int madd16(Int acc, Int a, Int b) {
    const int32x4_t low = vmull_s16(vget_low_s16(s16(a)), vget_low_s16(s16(b)));
    const int32x4_t high = vmull_s16(vget_high_s16(s16(a)), vget_high_s16(s16(b)));
    return add32(acc, s8(vcombine_s32(vpadd_s32(vget_low_s32(low), vget_high_s32(low)),
                                      vpadd_s32(vget_low_s32(high), vget_high_s32(high)))));
  }
  static Int min8(Int a, Int b) { return vminq_s8(a, b); }
  static Int max8(Int a, Int b) { return vmaxq_s8(a, b); }
  // Sums of bytes of the lower and upper half.
  static Int sumlo8(Int a, Int b) { return s8(vaddl_s8(vget_low_s8(a), vget_low_s8(b))); }
  static Int sumhi8(Int a, Int b) { return s8(vaddl_s8(vget_high_s8(a), vget_high_s8(b))); }
  static Int flip(Int x) { return veorq_s8(x, set8(-128)); }
  static Int packs32(Int a, Int b) {
    return s8(vcombine_s16(vqmovn_s32(s32(a)), vqmovn_s32(s32(b))));
  }
  static Int packs16(Int a, Int b) { return vcombine_s8(vqmovn_s16(s16(a)), vqmovn_s16(s16(b))); }
  static Int unpacklo8(Int a, Int b) { return vzipq_s8(a, b).val[0]; }
  static Int unpackhi8(Int a, Int b) { return vzipq_s8(a, b).val[1]; }
  static Int unpacklo16(Int a, Int b) { return s8(vzipq_s16(s16(a), s16(b)).val[0]); }
  static Int unpackhi16(Int a, Int b) { return s8(vzipq_s16(s16(a), s16(b)).val[1]); }

  // Packs of 128 bits keep the order.
  static Int unpacked(Int x) { return x; }
  static Int unpacked2(Int x) { return x; }

  // 16 pixels of four bytes, without their last bytes.
  static void store_threes(int8_t* p, const Int (&pixels)[4]) {
    int8_t all[4 * kBytes];
    for (size_t i = 0; i < 4; ++i) store(all + i * kBytes, pixels[i]);
    const int8x16x4_t planes = vld4q_s8(all);
    vst3q_s8(p, {{planes.val[0], planes.val[1], planes.val[2]}});
  }

  // Table look-ups give 0 where the index is past the part of the table that they have.
  struct Lut {
#if defined(__aarch64__)
    int8x16x4_t t[4];
    explicit Lut(const int8_t* table) {
      for (int i = 0; i < 4; ++i) t[i] = vld1q_s8_x4(table + 64 * i);
    }
    Int operator()(Int x) const {
      const uint8x16_t at = vreinterpretq_u8_s8(flip(x));
      Int y = vqtbl4q_s8(t[0], at);
      for (int i = 1; i < 4; ++i)
        y = vorrq_s8(y, vqtbl4q_s8(t[i], vsubq_u8(at, vdupq_n_u8(static_cast<uint8_t>(64 * i)))));
      return y;
    }
#else
    int8x8x4_t t[8];
    explicit Lut(const int8_t* table) {
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 4; ++j) t[i].val[j] = vld1_s8(table + 32 * i + 8 * j);
    }
    int8x8_t half(int8x8_t at) const {
      int8x8_t y = vtbl4_s8(t[0], at);
      for (int i = 1; i < 8; ++i)
        y = vorr_s8(y, vtbl4_s8(t[i], vsub_s8(at, vdup_n_s8(static_cast<int8_t>(32 * i)))));
      return y;
    }
    Int operator()(Int x) const {
      const Int at = flip(x);
      return vcombine_s8(half(vget_low_s8(at)), half(vget_high_s8(at)));
    }
#endif
  };

#if defined(__ARM_FEATURE_FMA)
  static Float fused(Float a, Float b, Float c) {
    return vfmaq_f32(c, a, b);
  }
#endif
};

}  // namespace

extern const VecS8 vec_s8_neon;
const VecS8 vec_s8_neon = {
    "vec_s8_neon",
    Isa::neon,
    VecMap<Q>::add,
    VecMap<Q>::add_row,
    VecMap<Q>::mul,
    VecMap<Q>::mul_row,
    VecMap<Q>::min_row,
    VecMap<Q>::max_row,
    VecMap<Q>::lut,
    VecPool<Q>::max_pool,
    VecPool<Q>::average_pool,
    VecPool<Q>::mean,
    VecConvert<Q>::quantize,
    VecConvert<Q>::quantize_planar,
    VecConvert<Q>::dequantize,
    VecWide<Q>::split16,
    VecWide<Q>::join16,
    VecWide<Q>::dwconv16,
    VecWide<Q>::quantize16,
    VecWide<Q>::dequantize16,
};

}  // namespace firn::kernels
