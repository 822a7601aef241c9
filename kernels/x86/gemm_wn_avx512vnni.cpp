// SPDX-License-Identifier: Apache-2.0
// Weights of few bits with AVX512-VNNI: 12 rows by 16 columns. Weights are the unsigned operand of
// the dot product, four values of a row, from memory, the signed one.
#include <immintrin.h>

#define FIRN_WN_BYTES 64
#include "kernels/gemm_wn_lanes.h"

namespace firn::kernels {
namespace {

struct Zmm {
  static constexpr int kRows = 12;

  // In assembly, as g++ 12 spills accumulators that it may copy.
  FIRN_INLINE static void dot(__m512i& acc, __m512i w, const int8_t* x) {
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(acc)
        : "v"(w), "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
  }

  template <int R>
  static void tile(const WnTile& t, float (*sums)[16]) {
    __m512 sum[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) sum[r] = _mm512_loadu_ps(sums[r]);
    const uint8_t* w = t.weights;
    size_t block = 0;
    for (size_t step = 0; step < t.steps; ++block) {
      const size_t end = t.steps - step < t.block_steps ? t.steps : step + t.block_steps;
      __m512i acc[R];
      FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r] = _mm512_setzero_si512();
      for (; step < end; ++step, w += 64) {
        const __m512i columns = _mm512_load_si512(w);
        const int8_t* x = t.x + step * 4;
        FIRN_UNROLL for (int r = 0; r < R; ++r)
            dot(acc[r], columns, x + static_cast<size_t>(r) * t.x_stride);
      }
      const __m512 scale = _mm512_loadu_ps(t.scale + block * 16);
      const int32_t* x_sums = t.sums + block;
      if (t.zeros == nullptr) {
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const int32_t shift = t.half * x_sums[static_cast<size_t>(r) * t.sums_stride];
          acc[r] = _mm512_sub_epi32(acc[r], _mm512_set1_epi32(shift));
        }
      } else {
        const __m512i zero = _mm512_cvtepu8_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(t.zeros + block * 16)));
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const __m512i x_sum = _mm512_set1_epi32(x_sums[static_cast<size_t>(r) * t.sums_stride]);
          acc[r] = _mm512_sub_epi32(acc[r], _mm512_mullo_epi32(zero, x_sum));
        }
      }
      FIRN_UNROLL for (int r = 0; r < R; ++r) sum[r] =
          _mm512_add_ps(sum[r], _mm512_mul_ps(_mm512_cvtepi32_ps(acc[r]), scale));
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) _mm512_storeu_ps(sums[r], sum[r]);
  }
};

}  // namespace

extern const GemmWN gemm_wn_avx512vnni;
const GemmWN gemm_wn_avx512vnni = GemmWNLoops<Zmm>::entry("gemm_wn_avx512vnni", Isa::avx512vnni);

}  // namespace firn::kernels
