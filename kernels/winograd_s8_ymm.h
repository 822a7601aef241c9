// SPDX-License-Identifier: Apache-2.0
// What the 256-bit kernels of the Winograd convolution share. For files compiled with at least
// AVX2 only.
#ifndef FIRN_KERNELS_WINOGRAD_S8_YMM_H_
#define FIRN_KERNELS_WINOGRAD_S8_YMM_H_

#include <immintrin.h>

#include "kernels/inner_product_ymm.h"
#include "kernels/winograd_s8_loops.h"

namespace firn::kernels {
namespace {

// Dot: acc += the products of pairs of 16-bit values, in every 32-bit lane, unless these are
// halved.
template <class Dot>
struct WinoYmm {
  static constexpr bool kHalved = Dot::kHalved;
  static constexpr int kLanes16 = 16, kLanes32 = 8, kStep = 2, kPanels = 4;
  static constexpr int kRows = kHalved ? kHalvedRows : 6;
  using I16 = __m256i;
  using I32 = __m256i;

  static I16 widen(const int8_t* p) { return kernels::widen(p); }
  static void store16(uint8_t* p, I16 x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }
  static I16 add16(I16 a, I16 b) { return _mm256_add_epi16(a, b); }
  static I16 sub16(I16 a, I16 b) { return _mm256_sub_epi16(a, b); }
  template <int N>
  static I16 shl16(I16 a) {
    return _mm256_slli_epi16(a, N);
  }
  static I32 load32(const int32_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static I32 add32(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
  static I32 sub32(I32 a, I32 b) { return _mm256_sub_epi32(a, b); }
  template <int N>
  static I32 shl32(I32 a) {
    return _mm256_slli_epi32(a, N);
  }

  struct Output {
    float scale[8];  // 0 where there is no channel
    __m256 hi;
    __m256i bias, zero, lo;
    int32_t channels;

    Output(const ConvS8Args& args, const int32_t* b, int32_t channel, int32_t count)
        : scale{},
          hi(_mm256_set1_ps(static_cast<float>(args.clamp.hi - args.clamp.zero))),
          bias(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b))),
          zero(_mm256_set1_epi16(static_cast<int16_t>(args.clamp.zero))),
          lo(_mm256_set1_epi8(static_cast<int8_t>(args.clamp.lo))),
          channels(count) {
      memcpy(scale, args.scale + channel, sizeof(float) * static_cast<size_t>(count));
    }

    // Equal to requantize(): what saturates on the way lies beyond lo, as hi comes first.
    FIRN_INLINE __m256i scaled(__m256i y) const {
      const __m256i sum = _mm256_mullo_epi32(y, _mm256_set1_epi32(static_cast<int32_t>(kInverse9)));
      const __m256i acc = _mm256_add_epi32(bias, _mm256_srai_epi32(sum, 6));
      return _mm256_cvtps_epi32(
          _mm256_min_ps(hi, _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(scale))));
    }
    // Four pixels, `stride` apart, of which `count` exist.
    FIRN_INLINE void store(const __m256i (&y)[4], int8_t* to, ptrdiff_t stride,
                           int32_t count) const {
      const __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(scaled(y[0]), scaled(y[1])), zero);
      const __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(scaled(y[2]), scaled(y[3])), zero);
      // packs work within 128-bit lanes: lane i holds columns 4i.. of each of four pixels.
      alignas(32) int8_t bytes[32];
      _mm256_store_si256(
          reinterpret_cast<__m256i*>(bytes),
          _mm256_permutevar8x32_epi32(_mm256_max_epi8(_mm256_packs_epi16(ab, cd), lo),
                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
      for (int32_t i = 0; i < count; ++i, to += stride) {
        if (channels == 8)
          memcpy(to, bytes + 8 * i, 8);
        else
          memcpy(to, bytes + 8 * i, static_cast<size_t>(channels));
      }
    }
  };

  static void row_products(int32_t count, int32_t steps, const uint8_t* rows, ptrdiff_t row_bytes,
                           int32_t* products) {
    for (int32_t i = 0; i < count; ++i, rows += row_bytes)
      products[i] = kernels::row_products(reinterpret_cast<const int16_t*>(rows), steps);
  }

  // R rows by one panel. A function of its own because in a larger one g++ 12 spills.
  template <int R>
  __attribute__((noinline)) static void tile(int32_t steps, const uint8_t* rows,
                                             ptrdiff_t row_bytes, const int32_t* products,
                                             const uint8_t* w, int32_t* sums,
                                             ptrdiff_t sum_stride) {
    __m256i acc[R][2];
    if constexpr (kHalved) {
      FIRN_UNROLL for (int i = 0; i < 2; ++i) {
        const __m256i column = _mm256_sub_epi32(_mm256_setzero_si256(), load(w + 32 * i));
        FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][i] =
            _mm256_sub_epi32(column, _mm256_set1_epi32(products[r]));
      }
      multiply_halved<R>(reinterpret_cast<const int16_t*>(rows), row_bytes / 2, steps,
                         reinterpret_cast<const int16_t*>(w + 64), acc);
    } else {
      FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
      for (int32_t k = 0; k < steps; ++k, w += 64, rows += 4) {
        const __m256i w0 = load(w), w1 = load(w + 32);
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x = broadcast(reinterpret_cast<const int16_t*>(rows + r * row_bytes));
          Dot::dot(acc[r][0], x, w0);
          Dot::dot(acc[r][1], x, w1);
        }
      }
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int i = 0; i < 2; ++i)
        store(sums + r * sum_stride + i * 8, acc[r][i]);
  }

  // Fewer rows use the template of their number.
  template <int R, typename... Args>
  FIRN_INLINE static void rest(int32_t count, const Args&... args) {
    if constexpr (R > 0) {
      if (count == R) return tile<R>(args...);
      rest<R - 1>(count, args...);
    }
  }

  static void multiply(int32_t count, int32_t wide, int32_t steps, const uint8_t* rows,
                       ptrdiff_t row_bytes, const int32_t* products, const uint8_t* w,
                       ptrdiff_t panel_bytes, int32_t* sums) {
    const ptrdiff_t stride = ptrdiff_t{wide} * kPanel;
    for (int32_t panel = 0; panel < wide; ++panel, w += panel_bytes, sums += kPanel) {
      int32_t i = 0;
      for (; count - i >= kRows; i += kRows)
        tile<kRows>(steps, rows + i * row_bytes, row_bytes, products + i, w, sums + i * stride,
                    stride);
      rest<kRows - 1>(count - i, steps, rows + i * row_bytes, row_bytes, products + i, w,
                      sums + i * stride, stride);
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_WINOGRAD_S8_YMM_H_
