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
// Bytes of a panel's row of sums, and of the rows of two panels of a half.
constexpr int kPanelBytes = kPanel * 4;
constexpr int kSecond = kHalf * 2 * kPanelBytes;

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

// As assembly, because g++ 12's intrinsics do not say that they read memory. Sums are stored 128
// bytes apart, and the same 64 bytes of bias loaded for each row, without registers that say so.
#define FIRN_TILE_LOAD(tile, from, step) \
  asm volatile("tileloadd (%0,%1), %%tmm" #tile ::"r"(from), "r"(ptrdiff_t{step}) : "memory")
#define FIRN_TILE_FILL(tile, row, offset) \
  asm volatile("tileloadd %c1(%0), %%tmm" #tile ::"r"(row), "i"(offset) : "memory")
#define FIRN_TILE_STORE(tile, to, offset)                                               \
  asm volatile("tilestored %%tmm" #tile ", %c2(%0,%1,2)" ::"r"(to), "r"(ptrdiff_t{64}), \
               "i"(offset)                                                              \
               : "memory")
#define FIRN_TILE_DOT(sum, rows, weights) \
  asm volatile("tdpbssd %%tmm" #weights ", %%tmm" #rows ", %%tmm" #sum ::)

// One or two panels of a block: where their sums become output.
struct Part {
  PanelScale scales[2];
  __mmask64 mask;
  int8_t* output;
  bool two;

  void set(const GemmS8Block& b, int first, int panels) {
    for (int i = 0; i < panels; ++i) scales[i].set(b, first + i);
    mask = columns_mask(b.columns - first * kPanel);
    output = static_cast<int8_t*>(b.output) + first * kPanel;
    two = panels == 2;
  }
};

// A tile's sums, on their way to output, and what is known of the layer.
struct Output {
  alignas(64) int32_t sums[kRows * 2 * kPanel];  // rows of two panels
  alignas(64) int8_t* row[kRows];      // of int8 output; behind the tile's last, elsewhere
  alignas(64) int64_t rows_at[kRows];  // of a tile's output, consecutive ones
  Part parts[2];                       // of this tile and of the next
  Store store;
  alignas(64) int8_t elsewhere[64];
  const Part* part;
  bool ready;  // what blocks of a layer share
  bool two;    // panels
  int units;   // of what a vector of output takes: 2 rows of two panels, 4 of one
  // Of the layer: a step's k_step values, and how many steps of them a tile takes.
  int step_values, groups;
  // Units between two instructions, of two panels or one, and whether between all of them.
  int at_once[2];
  bool often;

  void begin(int steps, int taps) {
    ready = false;
    units = 0;
    two = false;
    store = {};
    part = parts;
    step_values = steps_at_once(steps);
    groups = steps / step_values;
    const int total = taps * groups;
    often = total < 8;
    for (int i = 0; i < 2; ++i) {
      const int most = kRows / 4 * (i + 1);
      // Half of a tile's sums are there after half of its first step.
      at_once[i] = often ? (most + 4 * total - 2) / (4 * total - 1) : (most + total - 1) / total;
      if (often && at_once[i] > most / 4) at_once[i] = most / 4;
    }
  }
  // The first block.
  void begin(const GemmS8Block& b) {
    ready = true;
    store = Store(b, nullptr);
    __m512i at = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    at = _mm512_mullo_epi64(at, _mm512_set1_epi64(store.stride));
    for (int r = 0; r < kRows; r += 8) {
      _mm512_store_si512(rows_at + r, at);
      at = _mm512_add_epi64(at, _mm512_set1_epi64(8 * store.stride));
    }
  }
  void set(const GemmS8Tile& t, const Part* of) {
    part = of;
    two = part->two;
    store.panels = part->scales;
    store.mask = part->mask;
    units = two ? (t.count + 1) / 2 : (t.count + 3) / 4;
    if (t.out_rows != nullptr) {
      for (int r = 0; r < t.count; ++r) row[r] = part->output + t.out_rows[r] * store.stride;
    } else {
      const __m512i first =
          _mm512_set1_epi64(reinterpret_cast<intptr_t>(part->output + t.first_row * store.stride));
      for (int r = 0; r < kRows; r += 8)
        _mm512_store_si512(row + r, _mm512_add_epi64(first, _mm512_load_si512(rows_at + r)));
    }
    for (int r = t.count; r < kRows; ++r) row[r] = elsewhere;
  }
  FIRN_INLINE void store_sums() {
    FIRN_TILE_STORE(0, sums, 0);
    FIRN_TILE_STORE(1, sums, kPanelBytes);
    FIRN_TILE_STORE(2, sums, kSecond);
    FIRN_TILE_STORE(3, sums, kSecond + kPanelBytes);
  }
};

// What is done while a tile is multiplied. Copies, so that it is kept in registers.
struct Meanwhile {
  const Store store;
  int32_t* const sums;
  int8_t* const* const row;
  const bool two;
  const int units, at_once;
  int unit = 0;  // the next
  GemmS8Ahead ahead;

  FIRN_INLINE Meanwhile(Output& out, const GemmS8Ahead& near)
      : store(out.store),
        sums(out.sums),
        row(out.row),
        two(out.two),
        units(out.units),
        at_once(out.at_once[out.two]),
        ahead(near) {}

  template <int P>
  FIRN_INLINE void take() {
    constexpr int kTogether = Store::kTogether<P>;
    const int32_t* from = sums + unit * (kTogether * 2 * kPanel);
    int8_t* to[kTogether];
    FIRN_UNROLL for (int i = 0; i < kTogether; ++i) to[i] = row[unit * kTogether + i];
    __m512i acc[kTogether][P];
    FIRN_UNROLL for (int i = 0; i < 4; ++i) acc[i / P][i % P] =
        _mm512_load_si512(from + (i / P * 2 + i % P) * kPanel);
    const __m512i y = store.from_zero    ? store.bytes<true, true>(acc, 0)
                      : store.float_sums ? store.bytes<true, false>(acc, 0)
                                         : store.bytes<false, false>(acc, 0);
    store.row<P, 0>(y, to[0]);
    store.row<P, 1>(y, to[1]);
    if constexpr (P == 1) {
      store.row<P, 2>(y, to[2]);
      store.row<P, 3>(y, to[3]);
    }
    ++unit;
  }
  FIRN_INLINE void until(int end) {
    if (two) {
      while (unit < end) take<2>();
    } else {
      while (unit < end) take<1>();
    }
  }
  FIRN_INLINE void some() { until(unit + at_once < units ? unit + at_once : units); }
  FIRN_INLINE void bring_near() {
    _mm_prefetch(ahead.next, _MM_HINT_T1);
    ahead.next += ahead.next < ahead.end ? 64 : 0;
  }
};

// One step of a tile, of 16 rows or both halves of more, and of one or two panels. A tile's first
// step stores the sums in registers, which are those of the output, just before each is wanted.
// kOften: there are few steps, so that output is made after each instruction.
template <bool kBothHalves, bool kTwoPanels, bool kFirst, bool kOften>
FIRN_INLINE void step(const int8_t* a, ptrdiff_t stride, const int8_t* w, ptrdiff_t panel_bytes,
                      const int32_t* bias, Meanwhile& m) {
  int32_t* const sums = m.sums;
  FIRN_TILE_LOAD(6, w, 64);
  FIRN_TILE_LOAD(4, a, stride);
  if (kFirst) FIRN_TILE_STORE(0, sums, 0);
  if (kFirst) FIRN_TILE_FILL(0, bias, 0);
  FIRN_TILE_DOT(0, 4, 6);
  m.bring_near();
  if (kOften && !kFirst) m.some();
  if (kTwoPanels) FIRN_TILE_LOAD(7, w + panel_bytes, 64);
  if (kFirst && (kTwoPanels || m.two)) FIRN_TILE_STORE(1, sums, kPanelBytes);
  if (kTwoPanels) {
    if (kFirst) FIRN_TILE_FILL(1, bias, kPanelBytes);
    FIRN_TILE_DOT(1, 4, 7);
    m.bring_near();
  }
  if (kOften) m.some();
  if (kBothHalves) FIRN_TILE_LOAD(5, a + kHalf * stride, stride);
  if (kFirst) FIRN_TILE_STORE(2, sums, kSecond);
  if (kBothHalves) {
    if (kFirst) FIRN_TILE_FILL(2, bias, 0);
    FIRN_TILE_DOT(2, 5, 6);
    m.bring_near();
  }
  if (kOften) m.some();
  if (kFirst && (kTwoPanels || m.two)) FIRN_TILE_STORE(3, sums, kSecond + kPanelBytes);
  if (kBothHalves && kTwoPanels) {
    if (kFirst) FIRN_TILE_FILL(3, bias, kPanelBytes);
    FIRN_TILE_DOT(3, 5, 7);
    m.bring_near();
  }
  m.some();
}

// A tile's sums, into registers. Instructions on tile registers are started in order, and only what
// lies between them is done while they wait for one another: the sums of the tile before become
// output.
template <bool kBothHalves, bool kTwoPanels, bool kOften>
FIRN_INLINE void multiply(const GemmS8Block& b, const GemmS8Tile& t, const int8_t* w,
                          const int32_t* bias, int steps, int groups, Meanwhile& m) {
  const ptrdiff_t stride = t.row_stride, panel_bytes = b.panel_bytes;
  const int8_t* a = t.first + t.tap_offset[0];
  step<kBothHalves, kTwoPanels, true, kOften>(a, stride, w, panel_bytes, bias, m);
  for (int tap = 0, i = 1;;) {
    for (; i < groups; ++i) {
      a += 4 * steps;
      w += 64 * steps;
      step<kBothHalves, kTwoPanels, false, kOften>(a, stride, w, panel_bytes, bias, m);
    }
    if (++tap == b.taps) return;
    a = t.first + t.tap_offset[tap] - 4 * steps;
    i = 0;
  }
}

template <bool kBothHalves, bool kTwoPanels>
void multiply(const GemmS8Block& b, const GemmS8Tile& t, const int8_t* w, const int32_t* bias,
              Output& out) {
  Meanwhile m(out, *b.ahead);
  if (out.often) {
    multiply<kBothHalves, kTwoPanels, true>(b, t, w, bias, out.step_values, out.groups, m);
  } else {
    multiply<kBothHalves, kTwoPanels, false>(b, t, w, bias, out.step_values, out.groups, m);
  }
  m.until(m.units);
  *b.ahead = m.ahead;
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

size_t gemm_s8_state_bytes_amxint8(int64_t, int64_t) {
  return (sizeof(Output) + 63) / 64 * 64;
}

// The registers' sizes depend on the layer only; to set them takes longer than a tile.
void gemm_s8_begin_amxint8(int32_t steps, int32_t taps, void* state) {
  const TileConfig config(steps_at_once(steps));
  asm volatile("ldtilecfg %0" ::"m"(config));
  static_cast<Output*>(state)->begin(steps, taps);
}

void gemm_s8_end_amxint8(void* state) {
  Output& last = *static_cast<Output*>(state);
  last.store_sums();
  Meanwhile(last, {}).until(last.units);
  asm volatile("tilerelease" ::);
}

void gemm_s8_tiles_amxint8(const GemmS8Block& b) {
  Output& out = *static_cast<Output*>(b.state);
  if (!out.ready) out.begin(b);
  const bool fast = !b.to_float && b.scale_below_one;
  for (int p = 0; p < b.panels; p += 2) {
    const bool two = b.panels - p > 1;
    Part& part = out.parts[out.part == out.parts];
    part.set(b, p, two ? 2 : 1);
    const int8_t* w = b.weights + p * b.panel_bytes;
    const int32_t* bias = b.bias + p * kPanel;
    const auto whole = two ? multiply<true, true> : multiply<true, false>;
    const auto half = two ? multiply<false, true> : multiply<false, false>;
    for (int i = 0; i < b.tile_count; ++i) {
      const GemmS8Tile& t = b.tiles[i];
      (t.count > kHalf ? whole : half)(b, t, w, bias, out);
      if (fast) {
        out.set(t, &part);
        continue;
      }
      out.store_sums();
      for (int r = 0; r < t.count; ++r)
        store_any(b, p, two ? 2 : 1, gemm_s8_out_row(t, r), out.sums + r * 2 * kPanel);
    }
  }
}

}  // namespace firn::kernels
