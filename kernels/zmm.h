// SPDX-License-Identifier: Apache-2.0
// What 512-bit kernels share. For files compiled with AVX-512 only.
#ifndef FIRN_KERNELS_ZMM_H_
#define FIRN_KERNELS_ZMM_H_

#include <immintrin.h>

namespace firn::kernels {
namespace {

// Quarter i of register v becomes quarter v of register i: packs, which work within 128 bits, make
// bytes of registers like that in the order of their quarters before.
inline __attribute__((always_inline)) void transpose_quarters(__m512 (&x)[4]) {
  const __m512 a = _mm512_shuffle_f32x4(x[0], x[1], 0x88);
  const __m512 b = _mm512_shuffle_f32x4(x[0], x[1], 0xdd);
  const __m512 c = _mm512_shuffle_f32x4(x[2], x[3], 0x88);
  const __m512 d = _mm512_shuffle_f32x4(x[2], x[3], 0xdd);
  x[0] = _mm512_shuffle_f32x4(a, c, 0x88);
  x[1] = _mm512_shuffle_f32x4(b, d, 0x88);
  x[2] = _mm512_shuffle_f32x4(a, c, 0xdd);
  x[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
}

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_ZMM_H_
