// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AMX: tiles of 32 rows by 32 columns in four tile registers, to which one
// instruction adds up to 64 products each (Intel 64 and IA-32 Architectures SDM, volume 1, chapter
// 18).
#include <immintrin.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_s8_zmm.h"

namespace firn::kernels {
namespace {

constexpr int kHalf = 16;  // rows of a tile register
constexpr int kRows = 2 * kHalf;
constexpr int kMostSteps = 16;

// Sums are in 0 to 3, rows by columns; rows of input in 4 and 5; weights in 6 and 7.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  TileConfig(int count, int steps) {
    const int first = count < kHalf ? count : kHalf;
    for (int t = 0; t < 8; ++t) {
      const bool second = t == 2 || t == 3 || t == 5;
      const int n = t >= 6 ? steps : second ? count - first : first;
      rows[t] = static_cast<uint8_t>(n > 0 ? n : 1);
      row_bytes[t] = static_cast<uint16_t>(t == 4 || t == 5 ? 4 * steps : 64);
    }
  }
  void load() const { asm volatile("ldtilecfg %0" ::"m"(*this)); }
};

// As assembly, because g++ 12's intrinsics do not say that they read memory.
#define FIRN_TILE_LOAD(tile, from, step) \
  asm volatile("tileloadd (%0,%1), %%tmm" #tile ::"r"(from), "r"(ptrdiff_t{step}) : "memory")
#define FIRN_TILE_STORE(tile, to, step) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1)" ::"r"(to), "r"(ptrdiff_t{step}) : "memory")
#define FIRN_TILE_DOT(sum, rows, weights) \
  asm volatile("tdpbssd %%tmm" #weights ", %%tmm" #rows ", %%tmm" #sum ::)

// The sums of a tile's rows by one or two panels from p on, to rows of `stride` bytes.
template <bool kBothHalves, bool kTwoPanels>
void multiply(const GemmS8Block& b, const GemmS8Tile& t, int p, int steps, int32_t* sums,
              ptrdiff_t stride) {
  const int32_t* bias = b.bias + p * kPanel;
  FIRN_TILE_LOAD(0, bias, 0);
  if (kTwoPanels) FIRN_TILE_LOAD(1, bias + kPanel, 0);
  if (kBothHalves) FIRN_TILE_LOAD(2, bias, 0);
  if (kBothHalves && kTwoPanels) FIRN_TILE_LOAD(3, bias + kPanel, 0);
  const int8_t* w = b.weights + p * b.panel_bytes;
  const int groups = b.steps / steps;
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a = t.first + t.tap_offset[tap];
    for (int i = 0; i < groups; ++i, a += 4 * steps, w += 64 * steps) {
      FIRN_TILE_LOAD(6, w, 64);
      FIRN_TILE_LOAD(4, a, t.row_stride);
      FIRN_TILE_DOT(0, 4, 6);
      if (kTwoPanels) {
        FIRN_TILE_LOAD(7, w + b.panel_bytes, 64);
        FIRN_TILE_DOT(1, 4, 7);
      }
      if (kBothHalves) {
        FIRN_TILE_LOAD(5, a + kHalf * t.row_stride, t.row_stride);
        FIRN_TILE_DOT(2, 5, 6);
        if (kTwoPanels) FIRN_TILE_DOT(3, 5, 7);
      }
    }
  }
  FIRN_TILE_STORE(0, sums, stride);
  if (kTwoPanels) FIRN_TILE_STORE(1, sums + kPanel, stride);
  int32_t* const second = sums + kHalf * stride / 4;
  if (kBothHalves) FIRN_TILE_STORE(2, second, stride);
  if (kBothHalves && kTwoPanels) FIRN_TILE_STORE(3, second + kPanel, stride);
}

template <bool kBothHalves, int P>
FIRN_INLINE void multiply_panels(const GemmS8Block& b, const GemmS8Tile& t, int steps,
                                 int32_t* sums) {
  constexpr ptrdiff_t kStride = P * kPanel * 4;
  constexpr int kPairs = P / 2;
  for (int p = 0; p < 2 * kPairs; p += 2)
    multiply<kBothHalves, true>(b, t, p, steps, sums + p * kPanel, kStride);
  if constexpr (P % 2 != 0)
    multiply<kBothHalves, false>(b, t, P - 1, steps, sums + (P - 1) * kPanel, kStride);
}

// R rows of sums, P panels each.
template <int R, int P>
FIRN_INLINE void store_rows(const Store& store, const int32_t* sums, int8_t* out) {
  __m512i acc[R][P];
  FIRN_UNROLL for (int i = 0; i < R * P; ++i) acc[i / P][i % P] =
      _mm512_load_si512(sums + i * kPanel);
  store.rows(acc, 0, out);
}

template <int P>
void finish(const GemmS8Block& b, const GemmS8Tile& t, const int32_t* sums) {
  if (b.to_float || !b.scale_below_one) return store_any(b, t.first_row, t.count, sums);
  const Store store(b);
  int8_t* out = static_cast<int8_t*>(b.output) + t.first_row * b.out_stride;
  constexpr int kTogether = P == 3 ? 1 : 4 / P;
  int r = 0;
  for (; r + kTogether <= t.count; r += kTogether)
    store_rows<kTogether, P>(store, sums + r * P * kPanel, out + r * b.out_stride);
  for (; r < t.count; ++r) store_rows<1, P>(store, sums + r * P * kPanel, out + r * b.out_stride);
}

template <int P>
void tiles(const GemmS8Block& b) {
  const int steps = b.steps / ((b.steps + kMostSteps - 1) / kMostSteps);
  alignas(64) int32_t sums[kRows * P * kPanel];
  int configured = 0;
  for (int i = 0; i < b.tile_count; ++i) {
    const GemmS8Tile& t = b.tiles[i];
    if (t.count != configured) {
      TileConfig(t.count, steps).load();
      configured = t.count;
    }
    if (t.count > kHalf) {
      multiply_panels<true, P>(b, t, steps, sums);
    } else {
      multiply_panels<false, P>(b, t, steps, sums);
    }
    finish<P>(b, t, sums);
  }
  asm volatile("tilerelease" ::);
}

}  // namespace

// Nothing is written between the copies.
void gemm_s8_copy_amxint8(const GemmS8Runs& runs, int8_t* to) {
  const int8_t* from = runs.from;
  const int64_t whole = runs.bytes / 64 * 64;
  const __mmask64 rest = columns_mask(static_cast<int>(runs.bytes - whole));
  for (int64_t i = 0; i < runs.count; ++i, from += runs.stride, to += runs.to_stride) {
    for (int64_t k = 0; k < whole; k += 64)
      _mm512_storeu_si512(to + k, _mm512_loadu_si512(from + k));
    if (rest != 0)
      _mm512_mask_storeu_epi8(to + whole, rest, _mm512_maskz_loadu_epi8(rest, from + whole));
  }
}

void gemm_s8_tiles_amxint8(const GemmS8Block& b) {
  switch (b.panels) {
    case 1:
      return tiles<1>(b);
    case 2:
      return tiles<2>(b);
    case 3:
      return tiles<3>(b);
    default:
      return tiles<4>(b);
  }
}

}  // namespace firn::kernels
