// SPDX-License-Identifier: Apache-2.0
// Winograd convolution with AVX2: halved products over tiles of 4 rows by 16 columns.
#include "kernels/winograd_s8_ymm.h"

namespace firn::kernels {
namespace {

struct Dot {
  static constexpr bool kHalved = true;
};

}  // namespace

extern const WinogradS8 winograd_s8_avx2;
const WinogradS8 winograd_s8_avx2 =
    Winograd<WinoYmm<Dot>>::entry("winograd_s8_avx2", Isa::avx2, 12, 16);

}  // namespace firn::kernels
