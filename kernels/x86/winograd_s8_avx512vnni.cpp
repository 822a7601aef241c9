// SPDX-License-Identifier: Apache-2.0
// Winograd convolution with AVX512-VNNI: vpdpwssd over tiles of 6 rows by 64 columns.
#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 warns about its own _mm512_undefined_*().
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "kernels/winograd_s8_loops.h"

namespace firn::kernels {
namespace {

struct Avx512 {
  static constexpr bool kHalved = false;
  static constexpr int kLanes16 = 32, kLanes32 = 16, kStep = 2, kPanels = 4, kRows = 6;
  using I16 = __m512i;
  using I32 = __m512i;

  static I16 widen(const int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store16(uint8_t* p, I16 x) { _mm512_store_si512(p, x); }
  static I16 add16(I16 a, I16 b) { return _mm512_add_epi16(a, b); }
  static I16 sub16(I16 a, I16 b) { return _mm512_sub_epi16(a, b); }
  template <int N>
  static I16 shl16(I16 a) {
    return _mm512_slli_epi16(a, N);
  }
  static I32 load32(const int32_t* p) { return _mm512_load_si512(p); }
  static I32 add32(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
  static I32 sub32(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
  template <int N>
  static I32 shl32(I32 a) {
    return _mm512_slli_epi32(a, N);
  }

  struct Output {
    __m512 scale, hi;
    __m512i bias, zero, lo;
    __mmask16 mask;

    Output(const ConvS8Args& args, const int32_t* b, int32_t channel, int32_t count)
        : hi(_mm512_set1_ps(static_cast<float>(args.clamp.hi - args.clamp.zero))),
          bias(_mm512_loadu_si512(b)),
          zero(_mm512_set1_epi16(static_cast<int16_t>(args.clamp.zero))),
          lo(_mm512_set1_epi8(static_cast<int8_t>(args.clamp.lo))),
          mask(static_cast<__mmask16>(0xffff >> (16 - count))) {
      scale = _mm512_maskz_loadu_ps(mask, args.scale + channel);
    }

    // Equal to requantize(): what saturates on the way lies beyond lo, as hi comes first.
    FIRN_INLINE __m512i scaled(__m512i y) const {
      const __m512i acc = _mm512_add_epi32(
          bias, _mm512_srai_epi32(
                    _mm512_mullo_epi32(y, _mm512_set1_epi32(static_cast<int32_t>(kInverse9))), 6));
      return _mm512_cvtps_epi32(_mm512_min_ps(hi, _mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale)));
    }
    // Four pixels, `stride` apart, of which `count` exist.
    FIRN_INLINE void store(const __m512i (&y)[4], int8_t* to, ptrdiff_t stride,
                           int32_t count) const {
      const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(scaled(y[0]), scaled(y[1])), zero);
      const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(scaled(y[2]), scaled(y[3])), zero);
      // packs work within 128-bit lanes: lane i holds columns 4i.. of each of four pixels.
      const __m512i bytes = _mm512_permutexvar_epi32(
          _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
          _mm512_max_epi8(_mm512_packs_epi16(ab, cd), lo));
      _mm_mask_storeu_epi8(to, mask, _mm512_castsi512_si128(bytes));
      if (count > 1) _mm_mask_storeu_epi8(to + stride, mask, _mm512_extracti32x4_epi32(bytes, 1));
      if (count > 2)
        _mm_mask_storeu_epi8(to + 2 * stride, mask, _mm512_extracti32x4_epi32(bytes, 2));
      if (count > 3)
        _mm_mask_storeu_epi8(to + 3 * stride, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  };

  // In assembly for the reasons that the direct convolution has.
  FIRN_INLINE static void dot(__m512i& acc, __m512i a, __m512i w) {
    asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
  }
  FIRN_INLINE static __m512i load(const uint8_t* w) {
    __m512i x;
    asm("vmovdqa64 %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const uint8_t(*)[64]>(w)));
    return x;
  }
  FIRN_INLINE static __m512i broadcast(const uint8_t* p) {
    __m512i x;
    asm("vpbroadcastd %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const uint8_t(*)[4]>(p)));
    return x;
  }

  // R rows by P panels.
  template <int R, int P>
  FIRN_INLINE static void tile(int32_t steps, const uint8_t* rows, ptrdiff_t row_bytes,
                               const uint8_t* w, ptrdiff_t panel_bytes, int32_t* sums) {
    __m512i acc[R][P];
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int p = 0; p < P; ++p) acc[r][p] =
        _mm512_setzero_si512();
    for (int32_t k = 0; k < steps; ++k, w += 64, rows += 4) {
      __m512i column[P];
      FIRN_UNROLL for (int p = 0; p < P; ++p) column[p] = load(w + p * panel_bytes);
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = broadcast(rows + r * row_bytes);
        FIRN_UNROLL for (int p = 0; p < P; ++p) dot(acc[r][p], x, column[p]);
      }
    }
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int p = 0; p < P; ++p)
        _mm512_store_si512(sums + (r * P + p) * kPanel, acc[r][p]);
  }

  // `count` rows, at most R.
  template <int R, int P>
  static void any_tile(int32_t count, int32_t steps, const uint8_t* rows, ptrdiff_t row_bytes,
                       const uint8_t* w, ptrdiff_t panel_bytes, int32_t* sums) {
    if (count == R) return tile<R, P>(steps, rows, row_bytes, w, panel_bytes, sums);
    if constexpr (R > 1) any_tile<R - 1, P>(count, steps, rows, row_bytes, w, panel_bytes, sums);
  }

  // In tiles about as high as each other: a rest of few rows would take as long as a whole one.
  template <int P>
  static void panels(int32_t count, int32_t steps, const uint8_t* rows, ptrdiff_t row_bytes,
                     const uint8_t* w, ptrdiff_t panel_bytes, int32_t* sums) {
    for (int32_t tiles = (count + kRows - 1) / kRows; tiles > 0; --tiles) {
      const int32_t n = (count + tiles - 1) / tiles;
      any_tile<kRows, P>(n, steps, rows, row_bytes, w, panel_bytes, sums);
      rows += n * row_bytes;
      sums += n * P * kPanel;
      count -= n;
    }
  }

  static void multiply(int32_t count, int32_t wide, int32_t steps, const uint8_t* rows,
                       ptrdiff_t row_bytes, const int32_t*, const uint8_t* w, ptrdiff_t panel_bytes,
                       int32_t* sums) {
    switch (wide) {
      case 1:
        return panels<1>(count, steps, rows, row_bytes, w, panel_bytes, sums);
      case 2:
        return panels<2>(count, steps, rows, row_bytes, w, panel_bytes, sums);
      case 3:
        return panels<3>(count, steps, rows, row_bytes, w, panel_bytes, sums);
      default:
        return panels<4>(count, steps, rows, row_bytes, w, panel_bytes, sums);
    }
  }
};

}  // namespace

extern const WinogradS8 winograd_s8_avx512vnni;
const WinogradS8 winograd_s8_avx512vnni =
    Winograd<Avx512>::entry("winograd_s8_avx512vnni", Isa::avx512vnni, 20, 32);

}  // namespace firn::kernels
