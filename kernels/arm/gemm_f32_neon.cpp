// SPDX-License-Identifier: Apache-2.0
// The float matrix product with NEON: 6 rows by 16 columns.
#include <arm_neon.h>

#include "kernels/gemm_f32_tile.h"

namespace firn::kernels {
namespace {

struct Neon {
  using Float = float32x4_t;
#if defined(__aarch64__)
  static constexpr size_t kLanes = 4, kRows = 6, kVectors = 4;
#else
  static constexpr size_t kLanes = 4, kRows = 4, kVectors = 2;  // half as many registers
#endif

  static Float load(const float* p) {
    return vld1q_f32(p);
  }
  static void store(float* p, Float x) {
    vst1q_f32(p, x);
  }
  static Float set(float x) {
    return vdupq_n_f32(x);
  }
  static Float add(Float a, Float b) {
    return vaddq_f32(a, b);
  }
  static Float multiply_add(Float a, Float b, Float c) {
#if defined(__ARM_FEATURE_FMA)
    return vfmaq_f32(c, a, b);
#else
    return vmlaq_f32(c, a, b);
#endif
  }
  // The second operand where one is NaN, as other machines have it.
  static Float min(Float a, Float b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
  }
  static Float max(Float a, Float b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
  }
};

}  // namespace

extern const GemmF32Kernel gemm_f32_neon;
const GemmF32Kernel gemm_f32_neon = {"gemm_f32_neon", Isa::neon, GemmF32Tile<Neon>::kColumns,
                                     GemmF32Tile<Neon>::run};

}  // namespace firn::kernels
