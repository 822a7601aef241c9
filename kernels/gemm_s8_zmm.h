// SPDX-License-Identifier: Apache-2.0
// How the accumulators of the 512-bit kernels of the int8 convolution become output. For files
// compiled with AVX-512 only.
#ifndef FIRN_KERNELS_GEMM_S8_ZMM_H_
#define FIRN_KERNELS_GEMM_S8_ZMM_H_

#include <immintrin.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/zmm.h"

namespace firn::kernels {
namespace {

// Bits of the first n columns.
FIRN_INLINE __mmask64 columns_mask(int n) {
  return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
}

// What the sums of a panel's columns are multiplied by, in whole lines of the cache: vectors across
// two lines take twice as long to load. And what is added to float sums then.
struct alignas(64) PanelScale {
  float scale[kPanel], offset[kPanel];

  FIRN_INLINE void set(const GemmS8Block& b, int panel) {
    _mm512_store_ps(scale, _mm512_loadu_ps(b.scale + panel * kPanel));
    if (b.offset != nullptr) _mm512_store_ps(offset, _mm512_loadu_ps(b.offset + panel * kPanel));
  }
};

// Writes int8 where every scale is below one, so that no product leaves int32, which conversion
// would turn into INT_MIN. Then both clamps can come last: what saturation changes before is beyond
// lo or hi anyway.
struct Store {
  const PanelScale* panels;
  ptrdiff_t stride;
  __mmask64 mask;
  bool float_sums, unsigned_output;
  bool woven;
  bool side_by_side;  // rows are whole panels, and nothing lies between them
  bool from_zero;     // of float sums: the lower limit is 0, and lo is added to bytes
  bool above, below;  // limits that saturation to int8, or from 0 to 255, is not enough for
  __m512i zero, lo, hi, order;  // hi: of bytes from zero, above lo

  Store() = default;
  FIRN_INLINE Store(const GemmS8Block& b, const PanelScale* scales)
      : panels(scales),
        stride(b.out_stride),
        mask(columns_mask(b.columns)),
        float_sums(b.offset != nullptr),
        unsigned_output(b.unsigned_output),
        woven(b.woven),
        side_by_side(b.columns == b.panels * kPanel && b.out_stride == b.columns),
        from_zero(float_sums && b.clamp.lo == b.clamp.zero),
        above(b.clamp.hi - (from_zero ? b.clamp.lo + 128 : 0) < 127),
        below(b.clamp.lo > -128 || (from_zero && !b.unsigned_output)),
        zero(_mm512_set1_epi16(static_cast<int16_t>(b.clamp.zero))),
        lo(_mm512_set1_epi8(
            static_cast<int8_t>(b.clamp.lo + (from_zero && b.unsigned_output ? 128 : 0)))),
        hi(_mm512_set1_epi8(static_cast<int8_t>(b.clamp.hi - (from_zero ? b.clamp.lo : 0)))),
        // packs work within 128-bit lanes: lane i holds columns 4i.. of each of four sources.
        order(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)) {}

  template <bool kFloat>
  FIRN_INLINE __m512i scaled(__m512i acc, int p) const {
    const __m512 scale = _mm512_load_ps(panels[p].scale);
    return _mm512_cvtps_epi32(
        kFloat ? _mm512_fmadd_ps(_mm512_castsi512_ps(acc), scale, _mm512_load_ps(panels[p].offset))
               : _mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale));
  }

  // Rows of P panels that one vector of bytes holds.
  template <int P>
  static constexpr int kTogether = P == 3 ? 1 : 4 / P;

  template <int P>
  FIRN_INLINE __m512i in_order(__m512i packed) const {
    return P == 4 && woven ? packed : _mm512_permutexvar_epi32(order, packed);
  }

  // So many rows from r on, one after the other. kFromZero: of float sums, where from_zero is.
  template <bool kFloat, bool kFromZero, int R, int P>
  FIRN_INLINE __m512i bytes(const __m512i (&acc)[R][P], int r) const {
    __m512i v[4];
    FIRN_UNROLL for (int i = 0; i < 4; ++i) {
      const int row = r + i / P;
      v[i] = i / P < kTogether<P> && row < R ? scaled<kFloat>(acc[row < R ? row : 0][i % P], i % P)
                                             : v[0];
    }
    const __m512i ab = _mm512_packs_epi32(v[0], v[1]), cd = _mm512_packs_epi32(v[2], v[3]);
    if constexpr (kFromZero) {
      __m512i y = in_order<P>(_mm512_packus_epi16(ab, cd));
      if (above) y = _mm512_min_epu8(y, hi);
      return below ? _mm512_add_epi8(y, lo) : y;
    }
    __m512i y =
        in_order<P>(_mm512_packs_epi16(_mm512_adds_epi16(ab, zero), _mm512_adds_epi16(cd, zero)));
    if (below) y = _mm512_max_epi8(y, lo);
    if (above) y = _mm512_min_epi8(y, hi);
    return unsigned_output ? _mm512_xor_si512(y, _mm512_set1_epi8(-128)) : y;
  }

  // Writes row i of them.
  template <int P, int i>
  FIRN_INLINE void row(__m512i y, int8_t* out) const {
    if constexpr (P >= 3) {
      _mm512_mask_storeu_epi8(out, mask, y);
    } else if constexpr (P == 2) {
      _mm256_mask_storeu_epi8(out, static_cast<__mmask32>(mask), _mm512_extracti64x4_epi64(y, i));
    } else {
      _mm_mask_storeu_epi8(out, static_cast<__mmask16>(mask), _mm512_extracti32x4_epi32(y, i));
    }
  }

  // All rows, each to where at(row) says; kInOrder: which is behind the one before. Stores come
  // last: for all that the compiler knows, a store of bytes changes scales, so that they would be
  // loaded again behind each.
  template <bool kInOrder, int R, int P, typename At>
  FIRN_INLINE void rows(const __m512i (&acc)[R][P], At at) const {
    constexpr int n = kTogether<P>;
    __m512i y[(R + n - 1) / n];
    if (from_zero) [[likely]] {
      FIRN_UNROLL for (int r = 0; r < R; r += n) y[r / n] = bytes<true, true>(acc, r);
    } else if (float_sums) {
      FIRN_UNROLL for (int r = 0; r < R; r += n) y[r / n] = bytes<true, false>(acc, r);
    } else {
      FIRN_UNROLL for (int r = 0; r < R; r += n) y[r / n] = bytes<false, false>(acc, r);
    }
    if constexpr (kInOrder && P <= 2 && R % n == 0) {
      if (side_by_side) {
        FIRN_UNROLL for (int r = 0; r < R; r += n) _mm512_storeu_si512(at(r), y[r / n]);
        return;
      }
    }
    FIRN_UNROLL for (int r = 0; r < R; r += n) {
      row<P, 0>(y[r / n], at(r));
      if constexpr (P <= 2) {
        if (r + 1 < R) row<P, 1>(y[r / n], at(r + 1));
      }
      if constexpr (P == 1) {
        if (r + 2 < R) row<P, 2>(y[r / n], at(r + 2));
        if (r + 3 < R) row<P, 3>(y[r / n], at(r + 3));
      }
    }
  }
};

// The rarer outputs, float and any scale, of some panels of a row, from sums in memory.
void store_any(const GemmS8Block& b, int panel, int panels, ptrdiff_t row, const int32_t* acc) {
  const Clamp8& c = b.clamp;
  const __m512 lo = _mm512_set1_ps(b.to_float ? b.float_lo : static_cast<float>(c.lo - c.zero));
  const __m512 hi = _mm512_set1_ps(b.to_float ? b.float_hi : static_cast<float>(c.hi - c.zero));
  for (int p = panel; p < panel + panels; ++p, acc += kPanel) {
    const ptrdiff_t at = row * b.out_stride + p * kPanel;
    const auto mask = static_cast<__mmask16>(columns_mask(b.columns - p * kPanel));
    const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(acc)),
                                   _mm512_loadu_ps(b.scale + p * kPanel));
    const __m512 y = _mm512_min_ps(_mm512_max_ps(x, lo), hi);
    if (b.to_float) {
      _mm512_mask_storeu_ps(static_cast<float*>(b.output) + at, mask, y);
    } else {
      const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(y),
                                         _mm512_set1_epi32(c.zero + (b.unsigned_output ? 128 : 0)));
      _mm512_mask_cvtepi32_storeu_epi8(static_cast<int8_t*>(b.output) + at, mask, q);
    }
  }
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_ZMM_H_
