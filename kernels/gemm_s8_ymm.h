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

// Writes int8, the output of a block. Saturation only moves values that are below lo anyway: the
// minimum in scaled() holds the other side to hi - zero <= 255.
struct Store {
  const float *scale, *offset;
  int8_t* out;
  ptrdiff_t stride;
  int32_t columns;
  bool floats;     // sums are
  bool from_zero;  // and the lower limit is 0, to which lo is added as bytes
  bool adjusted;   // then: packs, which saturate from 0 to 255, are not enough
  bool unsigned_output;
  __m256 most;
  __m256i zero, lo, hi;

  FIRN_INLINE explicit Store(const GemmS8Block& b)
      : scale(b.scale),
        offset(b.offset),
        out(static_cast<int8_t*>(b.output)),
        stride(b.out_stride),
        columns(b.columns),
        floats(b.offset != nullptr),
        from_zero(floats && b.clamp.lo == b.clamp.zero),
        adjusted(b.clamp.lo > -128 || b.clamp.hi < 127 || !b.unsigned_output),
        unsigned_output(b.unsigned_output),
        most(_mm256_set1_ps(static_cast<float>(b.clamp.hi - b.clamp.zero))),
        zero(_mm256_set1_epi16(static_cast<int16_t>(b.clamp.zero))),
        lo(_mm256_set1_epi8(
            static_cast<int8_t>(b.clamp.lo + (from_zero && unsigned_output ? 128 : 0)))),
        hi(_mm256_set1_epi8(static_cast<int8_t>(b.clamp.hi - (from_zero ? b.clamp.lo : 0)))) {}

  // Two rows of a panel.
  template <bool kFloat, bool kFromZero>
  FIRN_INLINE __m256i bytes(const __m256i (&first)[2], const __m256i (&second)[2],
                            const __m256 (&by)[2], const __m256 (&added)[2]) const {
    // packs work within 128-bit lanes: lane i holds columns 4i.. and 8 + 4i.. of two rows.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a, b;
    if constexpr (kFloat) {
      a = _mm256_packs_epi32(scaled_float(first[0], by[0], added[0]),
                             scaled_float(first[1], by[1], added[1]));
      b = _mm256_packs_epi32(scaled_float(second[0], by[0], added[0]),
                             scaled_float(second[1], by[1], added[1]));
    } else {
      a = _mm256_packs_epi32(scaled(first[0], by[0], most), scaled(first[1], by[1], most));
      b = _mm256_packs_epi32(scaled(second[0], by[0], most), scaled(second[1], by[1], most));
    }
    if constexpr (kFromZero) {
      const __m256i y = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
      return adjusted ? _mm256_add_epi8(_mm256_min_epu8(y, hi), lo) : y;
    }
    a = _mm256_adds_epi16(a, zero);
    b = _mm256_adds_epi16(b, zero);
    __m256i y = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
    y = _mm256_max_epi8(y, lo);
    if (kFloat) y = _mm256_min_epi8(y, hi);
    return unsigned_output ? _mm256_xor_si256(y, _mm256_set1_epi8(-128)) : y;
  }

  template <bool kFloat, bool kFromZero, int R>
  FIRN_INLINE void all_bytes(int p, const __m256i (&acc)[R][2], __m256i (&y)[(R + 1) / 2]) const {
    const float *from = scale + p * kPanel, *add = kFloat ? offset + p * kPanel : from;
    const __m256 by[2] = {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
    const __m256 added[2] = {_mm256_loadu_ps(add), _mm256_loadu_ps(add + 8)};
    FIRN_UNROLL for (int r = 0; r < R; r += 2) y[r / 2] =
        bytes<kFloat, kFromZero>(acc[r], acc[r + 1 < R ? r + 1 : r], by, added);
  }

  // Panel p of a tile, row r to where at(r) says.
  template <int R, typename At>
  FIRN_INLINE void rows(int p, const __m256i (&acc)[R][2], At at) const {
    __m256i y[(R + 1) / 2];
    if (from_zero) [[likely]] {
      all_bytes<true, true, R>(p, acc, y);
    } else if (floats) {
      all_bytes<true, false, R>(p, acc, y);
    } else {
      all_bytes<false, false, R>(p, acc, y);
    }
    if (const int32_t n = columns - p * kPanel; n < kPanel) {
      int8_t all[(R + 1) / 2 * 2 * kPanel];
      FIRN_UNROLL for (int r = 0; r < R; r += 2)
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(all + r * kPanel), y[r / 2]);
      for (int r = 0; r < R; ++r) memcpy(at(r), all + r * kPanel, static_cast<size_t>(n));
      return;
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(at(r)),
          r % 2 == 0 ? _mm256_castsi256_si128(y[r / 2]) : _mm256_extracti128_si256(y[r / 2], 1));
    }
  }
};

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
FIRN_INLINE void finish(const GemmS8Block& b, const GemmS8Tile& t, int p, const Store& of_block,
                        const __m256i (&acc)[R][2]) {
  if (!b.to_float) {
    const Store store = of_block;  // which no store of bytes can change
    int8_t* const out = store.out + p * kPanel;
    if (t.out_rows != nullptr) {
      const int32_t* const to = t.out_rows;
      return store.rows<R>(p, acc, [&](int r) { return out + to[r] * store.stride; });
    }
    int8_t* const first = out + t.first_row * store.stride;
    return store.rows<R>(p, acc, [&](int r) { return first + r * store.stride; });
  }
  int32_t raw[R * kPanel];
  store_acc<R>(acc, raw);
  store_float(b, t, p, raw);
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_YMM_H_
