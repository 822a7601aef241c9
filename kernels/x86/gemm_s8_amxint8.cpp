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

  explicit TileConfig(int steps) {
    for (int t = 0; t < 8; ++t) {
      rows[t] = static_cast<uint8_t>(t >= 6 ? steps : kHalf);
      row_bytes[t] = static_cast<uint16_t>(t == 4 || t == 5 ? 4 * steps : 64);
    }
  }
};

int steps_at_once(int steps) {
  return steps / ((steps + kMostSteps - 1) / kMostSteps);
}

// As assembly, because g++ 12's intrinsics do not say that they read memory.
#define FIRN_TILE_LOAD(tile, from, step) \
  asm volatile("tileloadd (%0,%1), %%tmm" #tile ::"r"(from), "r"(ptrdiff_t{step}) : "memory")
#define FIRN_TILE_STORE(tile, to, step) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1)" ::"r"(to), "r"(ptrdiff_t{step}) : "memory")
#define FIRN_TILE_DOT(sum, rows, weights) \
  asm volatile("tdpbssd %%tmm" #weights ", %%tmm" #rows ", %%tmm" #sum ::)

// A tile's sums, rows of P panels, on their way to output.
template <int P>
struct Output {
  const Store* store = nullptr;
  const int32_t* from = nullptr;
  int8_t* to = nullptr;
  int left = 0;  // rows

  static constexpr int kTogether = 4 / P;  // rows

  template <int R>
  FIRN_INLINE void take() {
    __m512i acc[R][P];
    FIRN_UNROLL for (int i = 0; i < R * P; ++i) acc[i / P][i % P] =
        _mm512_load_si512(from + i * kPanel);
    store->rows(acc, 0, to);
    from += R * P * kPanel;
    to += R * store->stride;
    left -= R;
  }
  FIRN_INLINE void some() {
    if (left >= kTogether) take<kTogether>();
  }
  void all() {
    while (left >= kTogether) take<kTogether>();
    while (left > 0) take<1>();
  }
};

// A tile's sums, of 16 rows or both halves of more, by P panels. The last tile's go to output
// meanwhile, a few rows after each instruction: those on tile registers are started in order, and
// only what lies between them is done while they wait for one another.
template <bool kBothHalves, int P>
FIRN_INLINE void multiply(const GemmS8Block& b, const GemmS8Tile& t, const int8_t* w,
                          const int32_t* bias, int steps, int groups, int32_t* sums,
                          Output<P>& last) {
  constexpr ptrdiff_t kStride = P * kPanel * 4;
  constexpr bool kTwoPanels = P == 2;
  FIRN_TILE_LOAD(0, bias, 0);
  if (kTwoPanels) FIRN_TILE_LOAD(1, bias + kPanel, 0);
  if (kBothHalves) FIRN_TILE_LOAD(2, bias, 0);
  if (kBothHalves && kTwoPanels) FIRN_TILE_LOAD(3, bias + kPanel, 0);
  for (int tap = 0; tap < b.taps; ++tap) {
    const int8_t* a = t.first + t.tap_offset[tap];
    for (int i = 0; i < groups; ++i, a += 4 * steps, w += 64 * steps) {
      FIRN_TILE_LOAD(6, w, 64);
      last.some();
      FIRN_TILE_LOAD(4, a, t.row_stride);
      FIRN_TILE_DOT(0, 4, 6);
      last.some();
      if (kTwoPanels) {
        FIRN_TILE_LOAD(7, w + b.panel_bytes, 64);
        FIRN_TILE_DOT(1, 4, 7);
        last.some();
      }
      if (kBothHalves) {
        FIRN_TILE_LOAD(5, a + kHalf * t.row_stride, t.row_stride);
        FIRN_TILE_DOT(2, 5, 6);
        last.some();
        if (kTwoPanels) {
          FIRN_TILE_DOT(3, 5, 7);
          last.some();
        }
      }
    }
  }
  int32_t* const second = sums + kHalf * P * kPanel;
  FIRN_TILE_STORE(0, sums, kStride);
  last.some();
  if (kTwoPanels) FIRN_TILE_STORE(1, sums + kPanel, kStride);
  last.some();
  if (kBothHalves) FIRN_TILE_STORE(2, second, kStride);
  last.some();
  if (kBothHalves && kTwoPanels) FIRN_TILE_STORE(3, second + kPanel, kStride);
  last.all();
}

// All tiles by panels [begin, end), P at a time.
template <int P>
void tiles(const GemmS8Block& b, int begin, int end) {
  const int steps = steps_at_once(b.steps), groups = b.steps / steps;
  // Not 4096 bytes apart, or loads from one would wait for stores to the other.
  alignas(64) int32_t sums[2][kRows * P * kPanel + kPanel];
  int turn = 0;
  Output<P> last;
  for (int p = begin; p < end; p += P) {
    GemmS8Block part = b;
    part.panels = P;
    part.columns = b.columns - p * kPanel;
    part.scale = b.scale + p * kPanel;
    part.output = b.to_float ? static_cast<void*>(static_cast<float*>(b.output) + p * kPanel)
                             : static_cast<int8_t*>(b.output) + p * kPanel;
    const Store store(part);
    for (int i = 0; i < b.tile_count; ++i, turn ^= 1) {
      const GemmS8Tile& t = b.tiles[i];
      const int8_t* w = b.weights + p * b.panel_bytes;
      const int32_t* bias = b.bias + p * kPanel;
      if (t.count > kHalf) {
        multiply<true, P>(b, t, w, bias, steps, groups, sums[turn], last);
      } else {
        multiply<false, P>(b, t, w, bias, steps, groups, sums[turn], last);
      }
      if (b.to_float || !b.scale_below_one) {
        store_any(part, t.first_row, t.count, sums[turn]);
      } else {
        last = {&store, sums[turn], static_cast<int8_t*>(part.output) + t.first_row * b.out_stride,
                t.count};
      }
    }
    last.all();
  }
}

}  // namespace

void gemm_s8_copy_amxint8(const GemmS8Pixels& p, int8_t* to) {
  if (p.bytes <= 32)
    return gemm_s8_copy(p, to, 32, [](const int8_t* a, int8_t* b) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(b),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)));
    });
  gemm_s8_copy(p, to, 64,
               [](const int8_t* a, int8_t* b) { _mm512_storeu_si512(b, _mm512_loadu_si512(a)); });
}

// The registers' sizes depend on the layer only; to set them takes longer than a tile.
void gemm_s8_begin_amxint8(int32_t steps) {
  const TileConfig config(steps_at_once(steps));
  asm volatile("ldtilecfg %0" ::"m"(config));
}

void gemm_s8_end_amxint8() {
  asm volatile("tilerelease" ::);
}

void gemm_s8_tiles_amxint8(const GemmS8Block& b) {
  const int pairs = b.panels / 2 * 2;
  tiles<2>(b, 0, pairs);
  tiles<1>(b, pairs, b.panels);
}

}  // namespace firn::kernels
