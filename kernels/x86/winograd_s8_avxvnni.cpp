// SPDX-License-Identifier: Apache-2.0
// Winograd convolution with AVX-VNNI: vpdpwssd over tiles of 6 rows by 16 columns.
#include "kernels/winograd_s8_ymm.h"

namespace firn::kernels {
namespace {

struct Dot {
  static constexpr bool kHalved = false;
  FIRN_INLINE static void dot(__m256i& acc, __m256i a, __m256i w) {
    asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(w));
  }
};

}  // namespace

extern const WinogradS8 winograd_s8_avxvnni;
const WinogradS8 winograd_s8_avxvnni =
    Winograd<WinoYmm<Dot>>::entry("winograd_s8_avxvnni", Isa::avxvnni, 20, 32);

}  // namespace firn::kernels
