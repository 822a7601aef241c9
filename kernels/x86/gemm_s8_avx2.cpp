// SPDX-License-Identifier: Apache-2.0
// int8 convolution with AVX2: pmaddwd on values widened to 16 bits (pmaddubsw would saturate),
// where there are many with half the products (inner_product_ymm.h).
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_s8_ymm.h"
#include "kernels/inner_product_ymm.h"

namespace firn::kernels {
namespace {

constexpr int kRows = 6;  // that are multiplied at once, by one panel
// Steps of two values of which weights are widened at once: 16 KiB. Even.
constexpr int kChunkSteps = 256;
// Rows of a block that are not longer together are widened once for all panels.
constexpr ptrdiff_t kMostWords = 240 << 10;
// The same where products are not halved: beside weights in the first cache.
constexpr ptrdiff_t kNearWords = 8 << 10;

struct State {
  alignas(32) int16_t weights[kChunkSteps * 2 * kPanel];
  alignas(32) int32_t start[kPanel];  // of sums: the bias less products of weights
  int32_t row_sum[kMaxBlockRows];
  int32_t sums[kMaxPanels][kMaxBlockRows * kPanel];  // of the chunks before
  alignas(32) int16_t rows[];
};

// Of a widened row: whole vectors, and one more that may be written.
constexpr ptrdiff_t words_of(int steps) {
  return (ptrdiff_t{steps} * 2 + 15) / 16 * 16 + 16;
}

// Some steps of the rows of some tiles, widened.
struct Rows {
  const GemmS8Tile* tiles;
  int tile_count, count, first, steps;
  bool halved, together;  // all steps are widened at once
  int16_t* words;
  ptrdiff_t stride;
};

// n steps of as many rows, input(r) each; another vector's worth may be written.
template <typename Input>
FIRN_INLINE void widen_tap(int count, int n, int16_t* to, ptrdiff_t stride, Input input) {
  for (int r = 0; r < count; ++r, to += stride) {
    const int8_t* in = input(r);
    store(to, widen(in));
    for (int k = 16; k < 2 * n; k += 16) store(to + k, widen(in + k));
  }
}

// A tile's rows, and zeros behind them.
void widen_tile(const GemmS8Block& b, const GemmS8Tile& t, const Rows& rows, int16_t* to) {
  int16_t* const end = to + 2 * rows.steps;
  int tap = rows.first == 0 ? 0 : rows.first / b.steps, step = rows.first - tap * b.steps;
  for (int left = rows.steps, n; left > 0; left -= n, to += 2 * n, ++tap, step = 0) {
    n = left < b.steps - step ? left : b.steps - step;
    const ptrdiff_t offset = t.tap_offset[tap] + 2 * step;
    if (t.rows == nullptr) {
      const int8_t* first = t.first + offset;
      widen_tap(
          t.count, n, to, rows.stride, [&](int r) __attribute__((always_inline)) {
            return first + r * t.row_stride;
          });
    } else {
      const int8_t* const* row = t.rows + tap * t.row_step;
      widen_tap(
          t.count, n, to,
          rows.stride, [&](int r) __attribute__((always_inline)) { return row[r] + offset; });
    }
  }
  if (!rows.halved) return;
  for (int r = 0; r < t.count; ++r) store(end + r * rows.stride, _mm256_setzero_si256());
}

void widen_rows(const GemmS8Block& b, const Rows& rows, State& s) {
  int16_t* to = rows.words;
  for (int i = 0; i < rows.tile_count; to += rows.tiles[i++].count * rows.stride)
    widen_tile(b, rows.tiles[i], rows, to);
  if (!rows.halved) return;
  // Not while rows are still on their way to memory.
  for (int r = 0; r < rows.count; ++r)
    s.row_sum[r] = row_products(rows.words + r * rows.stride, rows.steps);
}

// Of panel p: those of two steps side by side.
void widen_weights(const GemmS8Block& b, int p, const Rows& rows, State& s) {
  const int8_t* w = b.weights + p * b.panel_bytes + ptrdiff_t{rows.first} * 32;
  __m256i start[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  if (rows.first == 0) {
    start[0] = load(b.bias + p * kPanel);
    start[1] = load(b.bias + p * kPanel + 8);
  }
  int16_t* to = s.weights;
  for (int k = 0; k < rows.steps; k += 2, w += 64, to += 64) {
    FIRN_UNROLL for (int i = 0; i < 2; ++i) {
      const __m256i x = widen(w + 16 * i);
      const __m256i y = k + 1 < rows.steps ? widen(w + 32 + 16 * i) : _mm256_setzero_si256();
      store(to + 16 * i, x);
      store(to + 32 + 16 * i, y);
      start[i] = _mm256_sub_epi32(start[i], _mm256_madd_epi16(x, y));
    }
  }
  store(s.start, start[0]);
  store(s.start + 8, start[1]);
}

// acc += x * w.
FIRN_INLINE void dot(__m256i& acc, __m256i x, __m256i w) {
  __m256i product;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(product) : "x"(x), "x"(w));
}

template <int R>
FIRN_INLINE void multiply(const int16_t* in, ptrdiff_t stride, int steps, const int8_t* w,
                          __m256i (&acc)[R][2]) {
  ptrdiff_t row[R];
  row_offsets(stride, row);
  for (int k = 0; k < steps; ++k, in += 2, w += 32) {
#if defined(__clang__)
    asm("" : "+r"(w), "+r"(in));  // or each is the other's index
#endif
    const __m256i w0 = widen(w), w1 = widen(w + 16);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      const __m256i x = broadcast(in + row[r]);
      dot(acc[r][0], x, w0);
      dot(acc[r][1], x, w1);
    }
  }
}

// R rows from `row` on by panel p. Inlined by clang, it would share registers with its callers.
template <int R, bool kHalved>
__attribute__((noinline)) void tile(const GemmS8Block& b, int p, const Rows& rows, int row,
                                    State& s) {
  const bool first = rows.first == 0, last = rows.first + rows.steps == b.taps * b.steps;
  int32_t* sums = s.sums[p] + row * kPanel;
  const int16_t* in = rows.words + row * rows.stride;
  __m256i acc[R][2];
  if constexpr (kHalved) {
    load_acc<R>(s.start, 0, acc);
    FIRN_UNROLL for (int r = 0; r < R; ++r) {
      // Rows whose steps are together have one sum.
      const __m256i sum = _mm256_set1_epi32(first || !rows.together ? s.row_sum[row + r] : 0);
      FIRN_UNROLL for (int i = 0; i < 2; ++i) {
        acc[r][i] = _mm256_sub_epi32(acc[r][i], sum);
        if (!first) acc[r][i] = _mm256_add_epi32(acc[r][i], load(sums + r * kPanel + i * 8));
      }
    }
    multiply_halved<R>(in, rows.stride, rows.steps, s.weights, acc);
  } else {
    first ? load_acc<R>(b.bias + p * kPanel, 0, acc) : load_acc<R>(sums, kPanel, acc);
    multiply<R>(in, rows.stride, rows.steps,
                b.weights + p * b.panel_bytes + ptrdiff_t{rows.first} * 32, acc);
  }
  if (!last) return store_acc<R>(acc, sums);
  GemmS8Tile t{};
  t.first_row = rows.tiles->first_row + row;
  t.count = R;
  finish<R>(b, t, p, Store(b), acc);
}

// Fewer than R rows use the template of their size.
template <int R, bool kHalved>
FIRN_INLINE void rest(const GemmS8Block& b, int p, const Rows& rows, int row, State& s) {
  if constexpr (R > 0) {
    if (rows.count - row == R) return tile<R, kHalved>(b, p, rows, row, s);
    rest<R - 1, kHalved>(b, p, rows, row, s);
  }
}

template <int R, bool kHalved>
void panel(const GemmS8Block& b, int p, const Rows& rows, State& s) {
  int row = 0;
  // The next panel's weights come near meanwhile.
  const int8_t* next = b.weights + (p + 1) * b.panel_bytes + ptrdiff_t{rows.first} * 32;
  const int lines = kHalved ? rows.steps / 2 / (rows.count / R + 1) + 1 : 0;
  for (; row + R <= rows.count; row += R) {
    for (int i = 0; i < lines; ++i, next += 64) _mm_prefetch(next, _MM_HINT_T1);
    tile<R, kHalved>(b, p, rows, row, s);
  }
  rest<R - 1, kHalved>(b, p, rows, row, s);
}

// All rows of some tiles by all panels; `widened` says that they were by the call before.
void tiles(const GemmS8Block& b, const GemmS8Tile* first, int tile_count, bool halved,
           bool widened) {
  State& s = *static_cast<State*>(b.state);
  const int steps = b.taps * b.steps;
  const GemmS8Tile& end = first[tile_count - 1];
  Rows rows{};
  rows.tiles = first;
  rows.tile_count = tile_count;
  rows.count = end.first_row + end.count - first->first_row;
  rows.together = rows.count * words_of(steps) <= kMostWords;
  rows.halved = halved;
  rows.words = s.rows;
  rows.stride = words_of(rows.together ? steps : kChunkSteps);
  if (rows.together) {
    rows.steps = steps;
    if (!widened) widen_rows(b, rows, s);
  }
  for (; rows.first < steps; rows.first += rows.steps) {
    rows.steps = steps - rows.first < kChunkSteps ? steps - rows.first : kChunkSteps;
    if (!rows.together) widen_rows(b, rows, s);
    for (int p = 0; p < b.panels; ++p) {
      if (halved) {
        widen_weights(b, p, rows, s);
        panel<kHalvedRows, true>(b, p, rows, s);
      } else {
        panel<kRows, false>(b, p, rows, s);
      }
    }
    if (rows.together) rows.words += 2 * rows.steps;
  }
}

}  // namespace

size_t gemm_s8_state_bytes_avx2(int64_t rows, int64_t steps) {
  static_assert(kMaxBlockRows * words_of(kChunkSteps) <= kMostWords);
  const ptrdiff_t all = rows * words_of(static_cast<int>(steps));
  const ptrdiff_t words = all < kMostWords ? all : kMostWords;
  return (sizeof(State) + static_cast<size_t>(words) * sizeof(int16_t) + 63) / 64 * 64;
}

void gemm_s8_tiles_avx2(const GemmS8Block& b) {
  const int steps = b.taps * b.steps;
  const GemmS8Tile& end = b.tiles[b.tile_count - 1];
  const int count = end.first_row + end.count;
  // Sums of rows and widened weights take longer than they save where there are few.
  const bool halved = count > 8 && b.all_panels > 1 && steps >= 32 && b.all_panels * steps >= 256;
  if (halved || count * words_of(steps) <= kNearWords)
    return tiles(b, b.tiles, b.tile_count, halved, b.same_tiles);
  const ptrdiff_t near = kNearWords / (kRows * words_of(steps));
  const int most = near > 1 ? static_cast<int>(near) : 1;
  for (int i = 0; i < b.tile_count; i += most)
    tiles(b, b.tiles + i, b.tile_count - i < most ? b.tile_count - i : most, halved, false);
}

}  // namespace firn::kernels
