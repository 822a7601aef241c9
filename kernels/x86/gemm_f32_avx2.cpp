// SPDX-License-Identifier: Apache-2.0
// The float matrix product with AVX2: 6 rows by 16 columns.
#include <immintrin.h>

#include "kernels/gemm_f32_tile.h"

namespace firn::kernels {
namespace {

struct Ymm {
  using Float = __m256;
  static constexpr size_t kLanes = 8, kRows = 6, kVectors = 2;

  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static Float set(float x) { return _mm256_set1_ps(x); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float multiply_add(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
};

}  // namespace

extern const GemmF32Kernel gemm_f32_avx2;
const GemmF32Kernel gemm_f32_avx2 = {"gemm_f32_avx2", Isa::avx2, GemmF32Tile<Ymm>::kColumns,
                                     GemmF32Tile<Ymm>::run};

}  // namespace firn::kernels
