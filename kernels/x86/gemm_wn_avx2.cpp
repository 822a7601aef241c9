// SPDX-License-Identifier: Apache-2.0
// Weights of few bits with AVX2: 4 rows by 16 columns. Pairs of products are added in 16 bits by
// vpmaddubsw, which saturates where firn's other int8 kernels would need it, but not here:
// activations are within 127, and
//   up to 7 bits, weights within 127: a pair is within 32258
//   up to 4 bits, weights within 15: so are eight steps of pairs, which are added in 16 bits, too
//   of 8 bits, weights are centred to +-128 and made magnitudes, and their signs moved to the
//   activations: a pair is within 32512
#include "kernels/gemm_wn_ymm.h"

namespace firn::kernels {
namespace {

struct Pairs {
  static constexpr int kRows = 4;
  static int32_t offset(const WnTile& t) { return t.bits == 8 ? 128 : 0; }

  template <int R>
  FIRN_INLINE static void add(const __m256i (&pairs)[R][2], __m256i (&acc)[R][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int v = 0; v < 2; ++v) acc[r][v] =
        _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(pairs[r][v], ones));
  }

  template <int R, bool kCentred>
  FIRN_INLINE static void products(const WnTile& t, const uint8_t* w, const int8_t* x,
                                   __m256i (&pairs)[R][2]) {
    FIRN_UNROLL for (int v = 0; v < 2; ++v) {
      __m256i columns = wn_load(w + v * 32), signs = columns;
      if constexpr (kCentred) {
        signs = _mm256_xor_si256(columns, _mm256_set1_epi8(-128));
        columns = _mm256_abs_epi8(signs);
      }
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        __m256i four = wn_broadcast(x + static_cast<size_t>(r) * t.x_stride);
        if constexpr (kCentred) four = _mm256_sign_epi8(four, signs);
        pairs[r][v] = _mm256_maddubs_epi16(columns, four);
      }
    }
  }

  // Steps in groups of eight, as blocks are.
  template <int R>
  FIRN_INLINE static void narrow(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                                 __m256i (&acc)[R][2]) {
    for (size_t group = 0; group < steps; group += kWnSteps) {
      __m256i sum[R][2];
      products<R, false>(t, w, x, sum);
      for (size_t step = 1; step < kWnSteps; ++step) {
        w += 64;
        x += 4;
        __m256i pairs[R][2];
        products<R, false>(t, w, x, pairs);
        FIRN_UNROLL for (int r = 0; r < R; ++r) FIRN_UNROLL for (int v = 0; v < 2; ++v) sum[r][v] =
            _mm256_add_epi16(sum[r][v], pairs[r][v]);
      }
      w += 64;
      x += 4;
      add<R>(sum, acc);
    }
  }

  template <int R, bool kCentred>
  FIRN_INLINE static void wide(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                               __m256i (&acc)[R][2]) {
    for (size_t step = 0; step < steps; ++step, w += 64, x += 4) {
      __m256i pairs[R][2];
      products<R, kCentred>(t, w, x, pairs);
      add<R>(pairs, acc);
    }
  }

  template <int R>
  FIRN_INLINE static void block(const WnTile& t, const uint8_t* w, const int8_t* x, size_t steps,
                                __m256i (&acc)[R][2]) {
    FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    if (t.bits <= 4) return narrow<R>(t, w, x, steps, acc);
    if (t.bits < 8) return wide<R, false>(t, w, x, steps, acc);
    wide<R, true>(t, w, x, steps, acc);
  }
};

}  // namespace

extern const GemmWN gemm_wn_avx2;
const GemmWN gemm_wn_avx2 = GemmWNLoops<WnYmm<Pairs>>::entry("gemm_wn_avx2", Isa::avx2);

}  // namespace firn::kernels
