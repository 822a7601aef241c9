// SPDX-License-Identifier: Apache-2.0
// The float matrix product with AVX-512: 6 rows by 64 columns.
#include <immintrin.h>

#include "kernels/gemm_f32_tile.h"

namespace firn::kernels {
namespace {

struct Zmm {
  using Float = __m512;
  static constexpr size_t kLanes = 16, kRows = 6, kVectors = 4;

  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float multiply_add(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
};

}  // namespace

extern const GemmF32Kernel gemm_f32_avx512vnni;
const GemmF32Kernel gemm_f32_avx512vnni = {"gemm_f32_avx512vnni", Isa::avx512vnni,
                                           GemmF32Tile<Zmm>::kColumns, GemmF32Tile<Zmm>::run};

}  // namespace firn::kernels
