// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX2: pmaddwd on values widened to 16 bits (pmaddubsw would saturate), in
// tiles of 6 x 16.
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_s8_ymm.h"

namespace firn::kernels {
namespace {

constexpr int kRows = 6;
// Input rows are widened once for all panels of a block, this many steps of two values at a time;
// what is not summed up after one chunk waits in memory.
constexpr int kChunkSteps = 512;
constexpr int kSpill = 16;  // widening writes up to this many values too many
constexpr int kRowSize = 2 * kChunkSteps + kSpill;

FIRN_INLINE __m256i widen(const int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// Steps [first, first + count) of all taps in R rows.
template <int R>
FIRN_INLINE void widen_rows(const GemmS8Block& b, const GemmS8Tile& t, int first, int count,
                            int16_t* out) {
  int tap = first == 0 ? 0 : first / b.steps, step = first - tap * b.steps;
  for (int done = 0; done < count; ++tap, step = 0) {
    const int n = count - done < b.steps - step ? count - done : b.steps - step;
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      const int8_t* in = gemm_s8_input(t, tap, r) + 2 * step;
      int16_t* to = out + r * kRowSize + 2 * done;
      for (int k = 0; k < 2 * n; k += 16)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k), widen(in + k));
    }
    done += n;
  }
}

// acc += pairs of a * w. As assembly because g++ 12 spills accumulators that it may copy.
FIRN_INLINE void dot(__m256i& acc, __m256i a, __m256i w) {
  __m256i product;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(product) : "x"(a), "x"(w));
}

// to = from + the products of R widened rows and one panel. A function of its own because in a
// larger one g++ 12 spills.
template <int R>
__attribute__((noinline)) void multiply(const int16_t* in, const int8_t* w, int steps,
                                        const int32_t* from, ptrdiff_t from_stride, int32_t* to) {
  __m256i acc[R][2];
  load_acc<R>(from, from_stride, acc);
  for (int k = 0; k < steps; ++k, in += 2, w += 32) {
    const __m256i w0 = widen(w), w1 = widen(w + 16);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      int32_t pair;
      memcpy(&pair, in + r * kRowSize, sizeof(pair));
      const __m256i x = _mm256_set1_epi32(pair);
      dot(acc[r][0], x, w0);
      dot(acc[r][1], x, w1);
    }
  }
  store_acc<R>(acc, to);
}

template <int R>
void tile(const GemmS8Block& b, const GemmS8Tile& t) {
  int16_t in[R * kRowSize];
  int32_t sum[kMaxPanels][R * kPanel];
  const int steps = b.taps * b.steps;
  for (int first = 0; first < steps; first += kChunkSteps) {
    const int count = steps - first < kChunkSteps ? steps - first : kChunkSteps;
    widen_rows<R>(b, t, first, count, in);
    for (int p = 0; p < b.panels; ++p) {
      const int8_t* w = b.weights + p * b.panel_bytes + ptrdiff_t{first} * 32;
      if (first == 0) {
        multiply<R>(in, w, count, b.bias + p * kPanel, 0, sum[p]);
      } else {
        multiply<R>(in, w, count, sum[p], kPanel, sum[p]);
      }
    }
  }
  for (int p = 0; p < b.panels; ++p) {
    __m256i acc[R][2];
    load_acc<R>(sum[p], kPanel, acc);
    finish<R>(b, t, p, acc);
  }
}

// A tile of fewer than R rows uses the template of its size.
template <int R>
void sized(const GemmS8Block& b, const GemmS8Tile& t) {
  if (t.count == R) return tile<R>(b, t);
  if constexpr (R > 1) return sized<R - 1>(b, t);
}

}  // namespace

void gemm_s8_tiles_avx2(const GemmS8Block& b) {
  for (int i = 0; i < b.tile_count; ++i) sized<kRows>(b, b.tiles[i]);
}

}  // namespace firn::kernels
