// SPDX-License-Identifier: Apache-2.0
// What the 256-bit variants of the product with weights of few bits share: tiles of 16 columns in
// two vectors. For files compiled with at least AVX2 only; D is how such a file multiplies.
#ifndef FIRN_KERNELS_GEMM_WN_YMM_H_
#define FIRN_KERNELS_GEMM_WN_YMM_H_

#include <immintrin.h>

#define FIRN_WN_BYTES 32
#include "kernels/gemm_wn_lanes.h"

namespace firn::kernels {
namespace {

// D: template <int R> static void block(const WnTile&, const uint8_t* w, const int8_t* x, size_t
// steps, __m256i (&acc)[R][2]), sums of products from 0 on, and offset(t): what its weights are
// less than those in the scratch.
template <class D>
struct WnYmm {
  static constexpr int kRows = D::kRows;

  template <int R>
  static void tile(const WnTile& t, float (*sums)[16]) {
    size_t block = 0;
    const int32_t offset = D::offset(t);
    for (size_t step = 0; step < t.steps; ++block) {
      const size_t end = t.steps - step < t.block_steps ? t.steps : step + t.block_steps;
      __m256i acc[R][2];
      D::template block<R>(t, t.weights + step * 64, t.x + step * 4, end - step, acc);
      step = end;
      const int32_t* x_sums = t.sums + block;
      FIRN_UNROLL for (int v = 0; v < 2; ++v) {
        __m256i zero = _mm256_set1_epi32(t.half - offset);
        if (t.zeros != nullptr) {
          zero = _mm256_sub_epi32(
              _mm256_cvtepu8_epi32(
                  _mm_loadl_epi64(reinterpret_cast<const __m128i*>(t.zeros + block * 16 + v * 8))),
              _mm256_set1_epi32(offset));
        }
        const __m256 scale = _mm256_loadu_ps(t.scale + block * 16 + v * 8);
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x_sum = _mm256_set1_epi32(x_sums[static_cast<size_t>(r) * t.sums_stride]);
          const __m256i d = _mm256_sub_epi32(acc[r][v], _mm256_mullo_epi32(zero, x_sum));
          float* sum = sums[r] + v * 8;
          _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum),
                                              _mm256_mul_ps(_mm256_cvtepi32_ps(d), scale)));
        }
      }
    }
  }
};

FIRN_INLINE __m256i wn_broadcast(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}

FIRN_INLINE __m256i wn_load(const uint8_t* w) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_WN_YMM_H_
