// SPDX-License-Identifier: Apache-2.0
// Weights of few bits with AVX-VNNI: 4 rows by 16 columns.
#include "kernels/gemm_wn_ymm.h"

namespace firn::kernels {
namespace {

struct Dots {
  static constexpr int kRows = 4;
  static int32_t offset(const WnTile&) { return 0; }

  FIRN_INLINE static void dot(__m256i& acc, __m256i w, __m256i x) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
  }

  template <int R>
  FIRN_INLINE static void block(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                                __m256i (&acc)[R][2]) {
    FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (size_t step = 0; step < steps; ++step, w += 64, x += 4) {
      const __m256i w0 = wn_load(w), w1 = wn_load(w + 32);
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        const __m256i four = wn_broadcast(x + static_cast<size_t>(r) * t.x_stride);
        dot(acc[r][0], w0, four);
        dot(acc[r][1], w1, four);
      }
    }
  }
};

}  // namespace

extern const GemmWN gemm_wn_avxvnni;
const GemmWN gemm_wn_avxvnni = GemmWNLoops<WnYmm<Dots>>::entry("gemm_wn_avxvnni", Isa::avxvnni);

}  // namespace firn::kernels
