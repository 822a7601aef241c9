// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX512-VNNI: tiles of 24 accumulators, from 24 rows x 16 columns to 6 x 64.
#include <immintrin.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_s8_zmm.h"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 warns about its own _mm512_undefined_*().
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace firn::kernels {
namespace {

// The inner loop is written in assembly, instruction by instruction, because g++ 12 makes too much
// of the intrinsics: it spills accumulators that it may copy, loads a register twice rather than
// keep it, and turns each p + k into a loop counter of its own.

// acc += unsigned a * signed w.
FIRN_INLINE void dot(__m512i& acc, __m512i a, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(w));
}

// Four input values at p + i * stride (i: 0, 1 or 2) in every lane. It takes nothing but a load:
// where but two ports do vector arithmetic, an instruction more would cost vpdpbusd's time.
FIRN_INLINE __m512i broadcast(const int8_t* p, ptrdiff_t stride, int i) {
  __m512i x;
  const auto& memory = *reinterpret_cast<const int8_t(*)[1 << 30]>(p);
  if (i == 0) {
    asm("vpbroadcastd (%1), %0" : "=v"(x) : "r"(p), "m"(memory));
  } else if (i == 1) {
    asm("vpbroadcastd (%1,%2), %0" : "=v"(x) : "r"(p), "r"(stride), "m"(memory));
  } else {
    asm("vpbroadcastd (%1,%2,2), %0" : "=v"(x) : "r"(p), "r"(stride), "m"(memory));
  }
  return x;
}

FIRN_INLINE __m512i load(const int8_t* w) {
  __m512i x;
  asm("vmovdqa64 %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const int8_t(*)[64]>(w)));
  return x;
}

// What is brought near, so many bytes a step; so few in all are not worth it.
constexpr ptrdiff_t kLeastAhead = 8 << 10;
struct Ahead {
  const char* next;
  ptrdiff_t step;
};
struct NoAhead {};

FIRN_INLINE void bring(Ahead& ahead) {
  _mm_prefetch(ahead.next, _MM_HINT_T1);
  ahead.next += ahead.step;
}
FIRN_INLINE void bring(NoAhead&) {}

// From a row's columns in memory to woven ones (GemmS8Kernel), or back.
FIRN_INLINE void weave(float* from, ptrdiff_t stride) {
  __m512 x[4];
  FIRN_UNROLL for (int p = 0; p < 4; ++p) x[p] = _mm512_load_ps(from + p * stride);
  transpose_quarters(x);
  FIRN_UNROLL for (int p = 0; p < 4; ++p) _mm512_store_ps(from + p * stride, x[p]);
}

// R rows by P panels.
template <int R, int P>
struct Tile {
  __m512i acc[R][P];

  FIRN_INLINE explicit Tile(const int32_t* bias) {
    FIRN_UNROLL for (int p = 0; p < P; ++p) {
      const __m512i v = _mm512_loadu_si512(bias + p * kPanel);
      FIRN_UNROLL for (int r = 0; r < R; ++r) acc[r][p] = v;
    }
  }

  // A step of evenly spaced rows: a pointer for every third serves two more by the addressing
  // modes.
  template <class A>
  FIRN_INLINE void even(const int8_t* a, ptrdiff_t stride, ptrdiff_t three, const int8_t* w,
                        ptrdiff_t panel_bytes, A& ahead) {
    __m512i column[P];
    FIRN_UNROLL for (int p = 0; p < P; ++p) column[p] = load(w + p * panel_bytes);
    bring(ahead);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      if (r > 0 && r % 3 == 0) {
        a += three;
        asm("" : "+r"(a));  // or g++ 12 keeps all of them, and other registers in vectors
      }
      const __m512i x = broadcast(a, stride, r % 3);
      FIRN_UNROLL for (int p = 0; p < P; ++p) dot(acc[r][p], x, column[p]);
    }
  }

  // Rows anywhere.
  template <class A>
  FIRN_INLINE const int8_t* uneven(const GemmS8Block& b, const int8_t* (&a)[R], const int8_t* w,
                                   A& ahead) {
    for (ptrdiff_t k = 0; k < ptrdiff_t{b.steps} * 4; k += 4, w += 64) {
      __m512i column[P];
      FIRN_UNROLL for (int p = 0; p < P; ++p) column[p] = load(w + p * b.panel_bytes);
      bring(ahead);
      FIRN_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i x = broadcast(a[r], k, 1);
        FIRN_UNROLL for (int p = 0; p < P; ++p) dot(acc[r][p], x, column[p]);
      }
    }
    return w;
  }

  // As the tile's rows from `begin` on.
  FIRN_INLINE void finish(const GemmS8Block& b, const GemmS8Tile& t, int begin,
                          const Store& of_block) {
    if (!b.to_float && b.scale_below_one) {
      const Store store = of_block;  // which no store of bytes can change
      auto* const out = static_cast<int8_t*>(b.output);
      if (t.out_rows != nullptr) {
        const int32_t* const to = t.out_rows + begin;
        return store.rows<false>(acc, [&](int r) { return out + to[r] * store.stride; });
      }
      int8_t* const first = out + (t.first_row + begin) * store.stride;
      return store.rows<true>(acc, [&](int r) { return first + r * store.stride; });
    }
    alignas(64) int32_t raw[R * P * kPanel];
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      FIRN_UNROLL for (int p = 0; p < P; ++p)
          _mm512_store_si512(raw + (r * P + p) * kPanel, acc[r][p]);
      if constexpr (P == 4) {
        if (b.woven) weave(reinterpret_cast<float*>(raw + r * P * kPanel), kPanel);
      }
    }
    for (int r = 0; r < R; ++r)
      store_any(b, 0, P, gemm_s8_out_row(t, begin + r), raw + r * P * kPanel);
  }
};

template <int R, int P, class A>
FIRN_INLINE void even(const GemmS8Block& b, const GemmS8Tile& t, const Store& store, A& all) {
  A ahead = all;  // in registers
  Tile<R, P> tile(b.bias);
  const int8_t* w = b.weights;
  const ptrdiff_t stride = t.row_stride, three = 3 * stride, panel_bytes = b.panel_bytes;
  const ptrdiff_t *tap = t.tap_offset, *const last = tap + b.taps;
  if (b.steps == 1) {
    for (; tap < last; ++tap, w += 64)
      tile.even(t.first + *tap, stride, three, w, panel_bytes, ahead);
  } else {
    for (; tap < last; ++tap) {
      const int8_t* a = t.first + *tap;
      for (const int8_t* const end = a + ptrdiff_t{b.steps} * 4; a < end; a += 4, w += 64)
        tile.even(a, stride, three, w, panel_bytes, ahead);
    }
  }
  all = ahead;
  tile.finish(b, t, 0, store);
}

// Rows [begin, begin + R) of a tile.
template <int R, int P, class A>
void uneven(const GemmS8Block& b, const GemmS8Tile& t, int begin, const Store& store, A& all) {
  A ahead = all;  // in registers
  Tile<R, P> tile(b.bias);
  const int8_t* w = b.weights;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a[R];
    FIRN_UNROLL for (int r = 0; r < R; ++r) a[r] = gemm_s8_input(t, tap, begin + r);
    w = tile.uneven(b, a, w, ahead);
  }
  all = ahead;
  tile.finish(b, t, begin, store);
}

// `rows` from `begin` on, at most R.
template <int R, int P, class A>
void piece(const GemmS8Block& b, const GemmS8Tile& t, int begin, int rows, const Store& store,
           A& ahead) {
  if (rows == R) return uneven<R, P>(b, t, begin, store, ahead);
  if constexpr (R > 1) piece<R - 1, P>(b, t, begin, rows, store, ahead);
}

// Any tile but the highest: evenly spaced rows at once, R or down to kLeast of them, others piece
// by piece.
template <int R, int kLeast, int P, class A>
__attribute__((noinline)) void lower(const GemmS8Block& b, const GemmS8Tile& t, const Store& store,
                                     A& ahead) {
  if constexpr (R >= kLeast) {
    if (t.rows == nullptr && t.count <= R)
      return t.count == R ? even<R, P>(b, t, store, ahead)
                          : lower<R - 1, kLeast, P>(b, t, store, ahead);
  }
  for (int r = 0, n; r < t.count; r += n) {
    const int left = t.count - r, pieces = (left + 5) / 6;
    n = (left + pieces - 1) / pieces;
    piece<6, P>(b, t, r, n, store, ahead);
  }
}

template <int R, int kLeast, int P, class A>
void tiles(const GemmS8Block& b, A ahead) {
  PanelScale scales[P];
  for (int p = 0; p < P; ++p) scales[p].set(b, p);
  if constexpr (P == 4) {
    if (b.woven && b.offset == nullptr) weave(scales[0].scale, sizeof(PanelScale) / sizeof(float));
  }
  const Store store(b, scales);
  for (int i = 0; i < b.tile_count; ++i) {
    const GemmS8Tile& t = b.tiles[i];
    if (t.rows == nullptr && t.count == R) {
      even<R, P>(b, t, store, ahead);
    } else {
      lower<R - 1, kLeast, P>(b, t, store, ahead);
    }
  }
}

template <int R, int kLeast, int P>
void tiles(const GemmS8Block& b) {
  const ptrdiff_t bytes = b.ahead->end - b.ahead->next;
  if (P == 1 || bytes < kLeastAhead) return tiles<R, kLeast, P>(b, NoAhead());
  const ptrdiff_t steps = ptrdiff_t{b.tile_count} * b.taps * b.steps;
  tiles<R, kLeast, P>(b, Ahead{b.ahead->next, (bytes + steps - 1) / steps});
}

// Of up to n.
template <int n>
FIRN_INLINE void gather(const GemmS8Rests& rests, int8_t* to) {
  const GemmS8Rests p = rests;  // which no store of bytes can change
  __mmask64 mask[n] = {};
  for (int i = 0; i < n && i < p.count; ++i)
    for (ptrdiff_t k = i; k < 64; k += p.stride) mask[i] |= __mmask64{1} << k;
  const int64_t step = 64 / p.stride * p.stride;
  for (int64_t at = 0; at < p.bytes; at += step) {
    __m512i x = _mm512_maskz_loadu_epi8(mask[0], p.from[0] + at);
    FIRN_UNROLL for (int i = 1; i < n; ++i) x =
        _mm512_mask_loadu_epi8(x, mask[i], p.from[i] - i + at);
    _mm512_storeu_si512(to + at, x);
  }
}

}  // namespace

// From int8 to uint8, which the left side of vpdpbusd is.
void gemm_s8_copy_avx512vnni(const GemmS8Pixels& p, int8_t* to) {
  gemm_s8_copy(p, to, 64, [](const int8_t* a, int8_t* b) {
    _mm512_storeu_si512(b, _mm512_xor_si512(_mm512_loadu_si512(a), _mm512_set1_epi8(-128)));
  });
}

void gemm_s8_gather_avx512vnni(const GemmS8Rests& p, int8_t* to) {
  p.count == GemmS8Rests::kMost ? gather<GemmS8Rests::kMost>(p, to) : gather<3>(p, to);
}

void gemm_s8_tiles_avx512vnni(const GemmS8Block& b) {
  switch (b.panels) {
    case 1:
      return tiles<24, 24, 1>(b);
    case 2:
      return tiles<12, 7, 2>(b);
    case 3:
      return tiles<8, 5, 3>(b);
    default:
      return tiles<6, 4, 4>(b);
  }
}

}  // namespace firn::kernels
