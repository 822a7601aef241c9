// SPDX-License-Identifier: Apache-2.0
// Winograd convolution with AVX2: vpmaddwd and an addition over tiles of 6 rows by 16 columns.
#include "kernels/winograd_s8_ymm.h"

namespace firn::kernels {
namespace {

struct Dot {
  FIRN_INLINE static void dot(__m256i& acc, __m256i a, __m256i w) {
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, w));
  }
};

}  // namespace

extern const WinogradS8 winograd_s8_avx2;
const WinogradS8 winograd_s8_avx2 =
    Winograd<WinoYmm<Dot>>::entry("winograd_s8_avx2", Isa::avx2, 12, 16);

}  // namespace firn::kernels
