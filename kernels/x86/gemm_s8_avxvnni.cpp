// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX-VNNI, the 256-bit vpdpbusd of CPUs without AVX-512: tiles of 6 x 16, or
// 7 x 16 where rows are long.
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_s8_ymm.h"

namespace firn::kernels {
namespace {

// Rows of a tile where they are long: there is no register for all weights of a step.
constexpr int kDeepRows = 7;

// acc += unsigned a * signed w. As assembly for g++ 12, which spills accumulators that it may copy;
// clang spills those of the assembly.
FIRN_INLINE void dot(__m256i& acc, __m256i a, __m256i w) {
#if defined(__clang__)
  acc = _mm256_dpbusd_avx_epi32(acc, a, w);
#else
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(w));
#endif
}

// The same of weights in memory.
FIRN_INLINE void dot(__m256i& acc, __m256i a, const int8_t* w) {
  asm("%{vex%} vpdpbusd %2, %1, %0"
      : "+x"(acc)
      : "x"(a), "m"(*reinterpret_cast<const __m256i*>(w)));
}

// Four input values in every lane.
FIRN_INLINE __m256i broadcast(const int8_t* p) {
  int32_t x;
  memcpy(&x, p, sizeof(x));
  return _mm256_set1_epi32(x);
}

FIRN_INLINE __m256i load(const int8_t* w) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
}

// R evenly spaced rows by one panel, where each tap is a step: a pointer for every third row serves
// two more by the addressing modes.
template <int R>
void even_tile(const GemmS8Block& b, const GemmS8Tile& t, int p, const Store& store) {
  __m256i acc[R][2];
  load_acc<R>(b.bias + p * kPanel, 0, acc);
  const int8_t* w = b.weights + p * b.panel_bytes;
  const ptrdiff_t stride = t.row_stride, three = 3 * stride;
  for (int tap = 0; tap < b.taps; ++tap, w += 64) {
    const __m256i w0 = load(w), w1 = load(w + 32);
    const int8_t* a = t.first + t.tap_offset[tap];
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      if (r > 0 && r % 3 == 0) {
        a += three;
        asm("" : "+r"(a));  // or g++ 12 keeps all of them
      }
      const __m256i x = broadcast(a + r % 3 * stride);
      dot(acc[r][0], x, w0);
      dot(acc[r][1], x, w1);
    }
  }
  finish<R>(b, t, p, store, acc);
}

// R rows by P panels. With one, weights are in registers and each row's input passes by; with two,
// there are registers for the rows' input only.
template <int R, int P>
void tile(const GemmS8Block& b, const GemmS8Tile& t, int p, const Store& store) {
  __m256i acc[P][R][2];
  FIRN_UNROLL for (int i = 0; i < P; ++i) load_acc<R>(b.bias + (p + i) * kPanel, 0, acc[i]);
  const int8_t* w = b.weights + p * b.panel_bytes;
  const ptrdiff_t tap_bytes = ptrdiff_t{b.steps} * 4;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) a[r] = gemm_s8_input(t, tap, r);
    for (ptrdiff_t k = 0; k < tap_bytes; k += 4, w += 64) {
      if constexpr (R == kDeepRows) {
        // Weights come from the second cache, and half of them are read again for each row.
        _mm_prefetch(w + 512, _MM_HINT_T0);
        const __m256i w0 = load(w);
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x = broadcast(a[r] + k);
          dot(acc[0][r][0], x, w0);
          dot(acc[0][r][1], x, w + 32);
        }
      } else if constexpr (P == 1) {
        const __m256i w0 = load(w), w1 = load(w + 32);
        FIRN_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i x = broadcast(a[r] + k);
          dot(acc[0][r][0], x, w0);
          dot(acc[0][r][1], x, w1);
        }
      } else {
        __m256i x[R];
        FIRN_UNROLL for (int r = 0; r < R; ++r) x[r] = broadcast(a[r] + k);
        FIRN_UNROLL for (int i = 0; i < 2 * P; ++i) {
          const __m256i column = load(w + i / 2 * b.panel_bytes + i % 2 * 32);
          FIRN_UNROLL for (int r = 0; r < R; ++r) dot(acc[i / 2][r][i % 2], x[r], column);
        }
      }
    }
  }
  FIRN_UNROLL for (int i = 0; i < P; ++i) finish<R>(b, t, p + i, store, acc[i]);
}

// A tile of fewer than R rows uses the template of its size.
template <int R>
void panels(const GemmS8Block& b, const GemmS8Tile& t, const Store& store) {
  if (t.count != R) {
    if constexpr (R > 1) panels<R - 1>(b, t, store);
    return;
  }
  int p = 0;
  if (b.steps == 1 && t.rows == nullptr) {
    for (; p < b.panels; ++p) even_tile<R>(b, t, p, store);
  }
  // Of so few rows the sums of one panel take longer to wait for than to compute.
  if constexpr (R <= 3) {
    for (; p + 2 <= b.panels; p += 2) tile<R, 2>(b, t, p, store);
  }
  for (; p < b.panels; ++p) tile<R, 1>(b, t, p, store);
}

// Of up to n.
template <int n>
void gather(const GemmS8Rests& rests, int8_t* to) {
  __m256i mask[n];
  const int8_t* from[n];
  for (int i = 0; i < n; ++i) {
    alignas(32) int8_t ours[32] = {};
    for (ptrdiff_t k = i; i < rests.count && k < 32; k += rests.stride) ours[k] = -1;
    mask[i] = load(ours);
    from[i] = rests.from[i] - i;
  }
  const int64_t step = 32 / rests.stride * rests.stride, bytes = rests.bytes;
  for (int64_t at = 0; at < bytes; at += step) {
    __m256i x = _mm256_setzero_si256();
    FIRN_UNROLL for (int i = 0; i < n; ++i) {
      const auto* part = reinterpret_cast<const __m256i*>(from[i] + at);
      x = _mm256_or_si256(x, _mm256_and_si256(_mm256_loadu_si256(part), mask[i]));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at), x);
  }
}

}  // namespace

// From int8 to uint8, which the left side of vpdpbusd is.
void gemm_s8_copy_avxvnni(const GemmS8Pixels& p, int8_t* to) {
  gemm_s8_copy(p, to, 32, [](const int8_t* a, int8_t* b) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b), _mm256_xor_si256(x, _mm256_set1_epi8(-128)));
  });
}

void gemm_s8_gather_avxvnni(const GemmS8Rests& p, int8_t* to) {
  p.count == GemmS8Rests::kMost ? gather<GemmS8Rests::kMost>(p, to) : gather<3>(p, to);
}

void gemm_s8_tiles_avxvnni(const GemmS8Block& b) {
  const Store store(b);
  for (int i = 0; i < b.tile_count; ++i) panels<kDeepRows>(b, b.tiles[i], store);
}

}  // namespace firn::kernels
