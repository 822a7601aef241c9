// SPDX-License-Identifier: Apache-2.0
// How the variants of the int8 convolution that multiply unsigned input copy windows of 3 x 3
// pixels of 3 channels. For files compiled with AVX2 and more only.
#ifndef FIRN_KERNELS_GEMM_S8_UNFOLD_YMM_H_
#define FIRN_KERNELS_GEMM_S8_UNFOLD_YMM_H_

#include <immintrin.h>

#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {
namespace {

// One window, from int8 to uint8: one vector has the bytes of the first and the last line, another
// those of the middle one, which both halves need.
FIRN_INLINE void unfold_window(const int8_t* first, const int8_t* second, const int8_t* third,
                               int8_t* to) {
  constexpr int8_t no = -1;                                   // of which vpshufb makes 0
  const __m256i outer_bytes = _mm256_setr_epi8(               //
      0, 1, 2, 3, 4, 5, 6, 7, 8, no, no, no, no, no, no, no,  //
      no, no, 0, 1, 2, 3, 4, 5, 6, 7, 8, no, no, no, no, no);
  const __m256i middle_bytes = _mm256_setr_epi8(                //
      no, no, no, no, no, no, no, no, no, 0, 1, 2, 3, 4, 5, 6,  //
      7, 8, no, no, no, no, no, no, no, no, no, no, no, no, no, no);
  const auto load = [](const int8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  const __m256i outer = _mm256_shuffle_epi8(
      _mm256_inserti128_si256(_mm256_castsi128_si256(load(first)), load(third), 1), outer_bytes);
  const __m256i middle =
      _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load(second)), middle_bytes);
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(outer, middle), _mm256_set1_epi8(-128));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), all);
}

// kStride: from a window to the next, where the compiler knows it, or 0.
template <ptrdiff_t kStride>
FIRN_INLINE void unfold_windows(const GemmS8Windows& w, int8_t* to) {
  const ptrdiff_t stride = kStride > 0 ? kStride : w.stride;
  const int8_t *a = w.lines[0], *b = w.lines[1], *c = w.lines[2];
  int64_t left = w.count;
  const auto next = [&](int n) __attribute__((always_inline)) {
    FIRN_UNROLL for (int i = 0; i < n; ++i)
        unfold_window(a + i * stride, b + i * stride, c + i * stride, to + i * kWindowStride);
    a += n * stride;
    b += n * stride;
    c += n * stride;
    to += n * kWindowStride;
    left -= n;
  };
  while (left >= 4) next(4);
  while (left > 0) next(1);
}

FIRN_INLINE void unfold_windows(const GemmS8Windows& w, int8_t* to) {
  if (w.stride == 6) return unfold_windows<6>(w, to);
  unfold_windows<0>(w, to);
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_UNFOLD_YMM_H_
