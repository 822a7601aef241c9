// SPDX-License-Identifier: Apache-2.0
// Products of 16-bit values with AVX2, half as many as there are terms (Winograd, A New Algorithm
// for Inner Product, IEEE Transactions on Computers, 1968):
//   a0 w0 + a2 w2 = (a0 + w2) (a2 + w0) - a0 a2 - w2 w0
// What is subtracted is a row's and a column's, made once for all columns and rows. pmaddwd has
// fewer ports than additions have. Sums of two values fit 16 bits, all others are modulo 2^32.
//
// A step is two values. Weights of a panel are [steps][16 columns][2]. After an odd number of
// steps, weights and rows have one of zeros more.
#ifndef FIRN_KERNELS_INNER_PRODUCT_YMM_H_
#define FIRN_KERNELS_INNER_PRODUCT_YMM_H_

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {
namespace {

constexpr int kHalvedRows = 4;  // as many as registers suffice for

FIRN_INLINE __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
FIRN_INLINE void store(void* p, __m256i x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), x);
}
FIRN_INLINE __m256i widen(const int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
FIRN_INLINE __m256i broadcast(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof(pair));
  return _mm256_set1_epi32(pair);
}

// The sum of a row's products: each value's and that two further on, of every other step. Vectors
// are whole.
FIRN_INLINE int32_t row_products(const int16_t* row, int steps) {
  __m256i sum = _mm256_setzero_si256();
  for (int k = 0; k < 2 * steps; k += 16) {
    const __m256i x = load(row + k);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_srli_epi64(x, 32)));
  }
  const __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_unpackhi_epi64(s, s)));
}

// acc += (x + b) * (y + a) of two values each. As assembly because g++ 12 spills accumulators that
// it may copy.
FIRN_INLINE void halved_dot(__m256i& acc, __m256i x, __m256i y, __m256i a, __m256i b) {
  __m256i s, t;
  asm("vpaddw %3, %6, %1\n\t"
      "vpaddw %4, %5, %2\n\t"
      "vpmaddwd %1, %2, %1\n\t"
      "vpaddd %1, %0, %0"
      : "+x"(acc), "=&x"(s), "=&x"(t)
      : "x"(x), "x"(y), "x"(a), "x"(b));
}

// The distances of R rows from the first, kept in registers.
template <int R>
FIRN_INLINE void row_offsets(ptrdiff_t stride, ptrdiff_t (&row)[R]) {
  FIRN_UNROLL for (int r = 0; r < R; ++r) {
    row[r] = r * stride;
#if defined(__clang__)
    asm("" : "+r"(row[r]));  // or they are computed in each step
#endif
  }
}

// acc += R rows, `stride` values apart, times a panel, still with what is to be subtracted.
template <int R>
FIRN_INLINE void multiply_halved(const int16_t* in, ptrdiff_t stride, int steps, const int16_t* w,
                                 __m256i (&acc)[R][2]) {
  ptrdiff_t row[R];
  row_offsets(stride, row);
  for (int k = 0; k < steps; k += 2, in += 4, w += 4 * kPanel) {
    const __m256i a0 = load(w), a1 = load(w + 16), b0 = load(w + 32), b1 = load(w + 48);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      const __m256i x = broadcast(in + row[r]), y = broadcast(in + row[r] + 2);
      halved_dot(acc[r][0], x, y, a0, b0);
      halved_dot(acc[r][1], x, y, a1, b1);
    }
  }
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_INNER_PRODUCT_YMM_H_
