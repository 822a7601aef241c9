// SPDX-License-Identifier: Apache-2.0
// The float matrix product in tiles of kRows x kVectors vectors whose sums stay in registers. An
// ISA's file describes its vectors and its tile in a struct V; everything here is internal to it.
//
// A panel of b is copied block by block into the stack, where its rows are neighbours and complete;
// a is read in place, one element for a whole row of the tile.
#ifndef FIRN_KERNELS_GEMM_F32_TILE_H_
#define FIRN_KERNELS_GEMM_F32_TILE_H_

#include <stddef.h>
#include <string.h>

#include "kernels/gemm_f32.h"

namespace firn::kernels {
namespace {

template <class V>
struct GemmF32Tile {
  using Float = typename V::Float;
  static constexpr size_t kRows = V::kRows, kVectors = V::kVectors, kLanes = V::kLanes;
  static constexpr size_t kColumns = kVectors * kLanes;
  // Rows of b in a block: 48 KiB at most, which the second-level cache streams to the tile.
  static constexpr size_t kBlock = 192;

  // One block of one panel: its rows of b `b_row` apart, and what becomes of the sums.
  struct Block {
    const float* b;
    size_t k, b_row, columns;
    const float* bias;  // of the panel; null where there is none, or it was added before
    bool first, last;
  };

  static void pack(const GemmF32& g, const float* b, size_t k, size_t columns, float* packed) {
    if (columns < kColumns) memset(packed, 0, k * kColumns * sizeof(float));
    if (g.b_column == 1) {
      for (size_t l = 0; l < k; ++l)
        memcpy(packed + l * kColumns, b + static_cast<ptrdiff_t>(l) * g.b_k,
               columns * sizeof(float));
      return;
    }
    constexpr size_t kTile = 16;  // a cache line of either side
    for (size_t from = 0; from < k; from += kTile) {
      const size_t end = from + kTile < k ? from + kTile : k;
      for (size_t j = 0; j < columns; ++j) {
        const float* column = b + static_cast<ptrdiff_t>(j) * g.b_column;
        for (size_t l = from; l < end; ++l)
          packed[l * kColumns + j] = column[static_cast<ptrdiff_t>(l) * g.b_k];
      }
    }
  }

  // kCount rows by kWide vectors.
  template <size_t kCount, size_t kWide>
  static void tile(const GemmF32& g, const Block& block, const float* a, float* c) {
    Float sum[kCount][kWide];
#pragma GCC unroll 8
    for (size_t r = 0; r < kCount; ++r)
#pragma GCC unroll 8
      for (size_t v = 0; v < kWide; ++v) sum[r][v] = V::set(0);
    const float* b = block.b;
    for (size_t l = 0; l < block.k; ++l, b += block.b_row, a += g.a_k) {
      Float row[kWide];
#pragma GCC unroll 8
      for (size_t v = 0; v < kWide; ++v) row[v] = V::load(b + v * kLanes);
#pragma GCC unroll 8
      for (size_t r = 0; r < kCount; ++r) {
        const Float x = V::set(a[static_cast<ptrdiff_t>(r) * g.a_row]);
#pragma GCC unroll 8
        for (size_t v = 0; v < kWide; ++v) sum[r][v] = V::multiply_add(x, row[v], sum[r][v]);
      }
    }
    const Float lo = V::set(g.lo), hi = V::set(g.hi);
#pragma GCC unroll 8
    for (size_t r = 0; r < kCount; ++r, c += g.c_row) {
#pragma GCC unroll 8
      for (size_t v = 0; v < kWide; ++v) {
        const size_t begin = v * kLanes;
        if (begin >= block.columns) break;
        const size_t columns = block.columns - begin;
        float part[kLanes] = {};
        float* const to = columns < kLanes ? part : c + begin;
        if (columns < kLanes && !block.first) memcpy(part, c + begin, columns * sizeof(float));
        Float y = sum[r][v];
        if (!block.first) y = V::add(V::load(to), y);
        if (block.bias != nullptr) y = V::add(y, V::load(block.bias + begin));
        // NaN stays: it is the second operand.
        if (block.last) y = V::min(hi, V::max(lo, y));
        V::store(to, y);
        if (columns < kLanes) memcpy(c + begin, part, columns * sizeof(float));
      }
    }
  }

  // The rows of a panel's block, in tiles; the last one is lower.
  template <size_t kWide>
  static void rows(const GemmF32& g, const Block& block, const float* a, float* c, size_t count) {
    for (; count >= kRows; count -= kRows) {
      tile<kRows, kWide>(g, block, a, c);
      a += static_cast<ptrdiff_t>(kRows) * g.a_row;
      c += static_cast<ptrdiff_t>(kRows) * g.c_row;
    }
    rest<kRows - 1, kWide>(g, block, a, c, count);
  }
  template <size_t kCount, size_t kWide>
  static void rest(const GemmF32& g, const Block& block, const float* a, float* c, size_t count) {
    if constexpr (kCount > 0) {
      if (count == kCount) return tile<kCount, kWide>(g, block, a, c);
      rest<kCount - 1, kWide>(g, block, a, c, count);
    }
  }

  static void run(const GemmF32& g, const float* a, const float* b, float* c, size_t panel,
                  size_t begin, size_t end) {
    const size_t first_column = panel * kColumns;
    const size_t columns = g.n - first_column < kColumns ? g.n - first_column : kColumns;
    a += static_cast<ptrdiff_t>(begin) * g.a_row;
    b += static_cast<ptrdiff_t>(first_column) * g.b_column;
    c += static_cast<ptrdiff_t>(begin) * g.c_row + static_cast<ptrdiff_t>(first_column);
    float bias[kColumns] = {};
    if (g.bias != nullptr) memcpy(bias, g.bias + first_column, columns * sizeof(float));
    // One tile of rows reads b no oftener than a copy would.
    const bool in_place = g.b_column == 1 && columns == kColumns && end - begin <= kRows;
    alignas(64) float packed[kBlock * kColumns];
    for (size_t k = 0; k == 0 || k < g.k; k += kBlock) {
      const size_t count = g.k - k < kBlock ? g.k - k : kBlock;
      const float* b_at = b + static_cast<ptrdiff_t>(k) * g.b_k;
      const float* a_at = a + static_cast<ptrdiff_t>(k) * g.a_k;
      if (!in_place) pack(g, b_at, count, columns, packed);
      const Block block{in_place ? b_at : packed,
                        count,
                        in_place ? static_cast<size_t>(g.b_k) : kColumns,
                        columns,
                        k == 0 && g.bias != nullptr ? bias : nullptr,
                        k == 0 && !g.accumulate,
                        k + count == g.k};
      if (columns <= kLanes) {
        rows<1>(g, block, a_at, c, end - begin);
      } else if (columns <= kVectors / 2 * kLanes) {
        rows<kVectors / 2>(g, block, a_at, c, end - begin);
      } else {
        rows<kVectors>(g, block, a_at, c, end - begin);
      }
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_F32_TILE_H_
