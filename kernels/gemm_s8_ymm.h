// SPDX-License-Identifier: Apache-2.0
// What the 256-bit kernels of the int8 convolution share: tiles of up to 6 rows by one panel, and
// how they leave the registers. For files compiled with at least AVX2 only.
#ifndef FIRN_KERNELS_GEMM_S8_YMM_H_
#define FIRN_KERNELS_GEMM_S8_YMM_H_

#include <immintrin.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {
namespace {

// Rounded, not yet clamped below. min keeps a NaN of its second operand, which converts to INT_MIN
// like everything too small: all of it ends at lo, as in requantize().
FIRN_INLINE __m256i scaled(__m256i acc, __m256 scale, __m256 hi) {
  return _mm256_cvtps_epi32(_mm256_min_ps(hi, _mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale)));
}

// The same of float sums.
FIRN_INLINE __m256i scaled_float(__m256i acc, __m256 scale, __m256 offset) {
  return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_castsi256_ps(acc), scale, offset));
}

FIRN_INLINE void store_columns(int8_t* out, __m128i bytes, int32_t columns) {
  if (columns >= kPanel) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
  int8_t all[kPanel];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(all), bytes);
  memcpy(out, all, static_cast<size_t>(columns));
}

// Panel p of a tile, row r to where at(r) says. Saturation only moves values that are below lo
// anyway: the minimum in scaled() holds the other side to hi - zero <= 255.
template <bool kFloat, int R, typename At>
FIRN_INLINE void store_s8(const GemmS8Block& b, int p, const __m256i (&acc)[R][2], At at) {
  const Clamp8& c = b.clamp;
  const bool from_zero = kFloat && c.lo == c.zero;
  const __m256 most = _mm256_set1_ps(static_cast<float>(c.hi - c.zero));
  const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(c.zero));
  const __m256i lo =
      _mm256_set1_epi8(static_cast<int8_t>(c.lo + (from_zero && b.unsigned_output ? 128 : 0)));
  const __m256i hi = _mm256_set1_epi8(static_cast<int8_t>(c.hi - (from_zero ? c.lo : 0)));
  // packs work within 128-bit lanes: lane i holds columns 4i.. and 8 + 4i.. of two rows.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256 scale0 = _mm256_loadu_ps(b.scale + p * kPanel);
  const __m256 scale1 = _mm256_loadu_ps(b.scale + p * kPanel + 8);
  const __m256 offset0 = kFloat ? _mm256_loadu_ps(b.offset + p * kPanel) : scale0;
  const __m256 offset1 = kFloat ? _mm256_loadu_ps(b.offset + p * kPanel + 8) : scale1;
  const int32_t columns = b.columns - p * kPanel;
  FIRN_UNROLL for (int r = 0; r < R; r += 2) {
    __m256i row[2];
    FIRN_UNROLL for (int i = 0; i < 2; ++i) {
      const int from = r + i < R ? r + i : r;
      if constexpr (kFloat) {
        row[i] = _mm256_packs_epi32(scaled_float(acc[from][0], scale0, offset0),
                                    scaled_float(acc[from][1], scale1, offset1));
      } else {
        row[i] = _mm256_packs_epi32(scaled(acc[from][0], scale0, most),
                                    scaled(acc[from][1], scale1, most));
      }
    }
    __m256i bytes;
    if (from_zero) {
      const __m256i y = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(row[0], row[1]), order);
      bytes = _mm256_add_epi8(_mm256_min_epu8(y, hi), lo);
    } else {
      const __m256i y = _mm256_permutevar8x32_epi32(
          _mm256_packs_epi16(_mm256_adds_epi16(row[0], zero), _mm256_adds_epi16(row[1], zero)),
          order);
      bytes = _mm256_max_epi8(y, lo);
      if (kFloat) bytes = _mm256_min_epi8(bytes, hi);
      if (b.unsigned_output) bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
    }
    store_columns(at(r), _mm256_castsi256_si128(bytes), columns);
    if (r + 1 < R) store_columns(at(r + 1), _mm256_extracti128_si256(bytes, 1), columns);
  }
}

// The same as floats, from accumulators in memory: rows of 16.
void store_float(const GemmS8Block& b, const GemmS8Tile& t, int p, const int32_t* acc) {
  const __m256 lo = _mm256_set1_ps(b.float_lo), hi = _mm256_set1_ps(b.float_hi);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int r = 0; r < t.count; ++r) {
    float* out = static_cast<float*>(b.output) + gemm_s8_out_row(t, r) * b.out_stride;
    for (int c = p * kPanel; c < (p + 1) * kPanel; c += 8, acc += 8) {
      const __m256 x = _mm256_mul_ps(
          _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc))),
          _mm256_loadu_ps(b.scale + c));
      const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(b.columns - c), lane);
      _mm256_maskstore_ps(out + c, mask, _mm256_min_ps(_mm256_max_ps(x, lo), hi));
    }
  }
}

template <int R>
FIRN_INLINE void load_acc(const int32_t* from, ptrdiff_t stride, __m256i (&acc)[R][2]) {
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int i = 0; i < 2; ++i) acc[r][i] =
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + r * stride + i * 8));
}

template <int R>
FIRN_INLINE void store_acc(const __m256i (&acc)[R][2], int32_t* to) {
  FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int i = 0; i < 2; ++i)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + r * kPanel + i * 8), acc[r][i]);
}

template <int R>
FIRN_INLINE void finish(const GemmS8Block& b, const GemmS8Tile& t, int p,
                        const __m256i (&acc)[R][2]) {
  if (!b.to_float) {
    // Not inlined at once, g++ 12 has accumulators in memory through the loop before.
    const auto store = [&](auto at) __attribute__((always_inline)) {
      b.offset != nullptr ? store_s8<true, R>(b, p, acc, at) : store_s8<false, R>(b, p, acc, at);
    };
    int8_t* const out = static_cast<int8_t*>(b.output) + p * kPanel;
    if (t.out_rows != nullptr)
      return store([&](int r) { return out + t.out_rows[r] * b.out_stride; });
    int8_t* const first = out + t.first_row * b.out_stride;
    return store([&](int r) { return first + r * b.out_stride; });
  }
  int32_t raw[R * kPanel];
  store_acc<R>(acc, raw);
  store_float(b, t, p, raw);
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_YMM_H_
