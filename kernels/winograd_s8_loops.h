// SPDX-License-Identifier: Apache-2.0
// The Winograd convolution, whatever the instruction set: packing, the two transforms and the walk
// over blocks of tiles. V has the vectors of an instruction set and the product of a block, by
// halved products (inner_product_ymm.h) where V::kHalved says so: then a panel begins with its
// columns' products, and rows end with whole vectors.
#ifndef FIRN_KERNELS_WINOGRAD_S8_LOOPS_H_
#define FIRN_KERNELS_WINOGRAD_S8_LOOPS_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/winograd_s8.h"

namespace firn::kernels {
namespace {

constexpr int kWinoPoints = 36;             // of a tile: 6 x 6
constexpr int kWinoTile = 4;                // outputs of a tile along an axis
constexpr uint32_t kInverse9 = 0x38E38E39;  // 9 * kInverse9 == 1 modulo 2^32

// The transform of six pixels along an axis.
template <class V>
FIRN_INLINE void wino_input(const typename V::I16 (&d)[6], typename V::I16 (&t)[6]) {
  const auto d1x4 = V::template shl16<2>(d[1]), d2x4 = V::template shl16<2>(d[2]);
  const auto even = V::sub16(d[4], d2x4), odd = V::sub16(d[3], d1x4);
  t[0] = V::sub16(V::add16(V::template shl16<2>(d[0]), even), d[2]);
  t[1] = V::add16(even, odd);
  t[2] = V::sub16(even, odd);
  const auto a = V::sub16(d[4], d[2]), b = V::template shl16<1>(V::sub16(d[3], d[1]));
  t[3] = V::add16(a, b);
  t[4] = V::sub16(a, b);
  t[5] = V::sub16(V::sub16(V::add16(d1x4, d[5]), d[3]), V::template shl16<2>(d[3]));
}

// Of six sums, the four outputs along an axis, 24 times.
template <class V>
FIRN_INLINE void wino_output(const typename V::I32 (&m)[6], typename V::I32 (&y)[4]) {
  const auto s12 = V::add32(m[1], m[2]), d12 = V::sub32(m[1], m[2]);
  const auto s34 = V::add32(m[3], m[4]), d34 = V::sub32(m[3], m[4]);
  y[0] = V::add32(V::add32(m[0], s12), s34);
  y[1] = V::add32(d12, V::template shl32<1>(d34));
  y[2] = V::add32(s12, V::template shl32<2>(s34));
  y[3] = V::add32(d12, V::template shl32<1>(V::add32(m[5], V::template shl32<2>(d34))));
}

// What packing and running agree on, all of it from the shape.
template <class V>
struct WinoPlan {
  // Of a panel's columns' products.
  static constexpr ptrdiff_t kColumnBytes = V::kHalved ? kPanel * 4 : 0;

  int32_t steps, panels, groups;  // groups of V::kPanels panels
  ptrdiff_t bias_bytes, panel_bytes;
  int32_t tiles_h, tiles_w, tiles, block_tiles, blocks;
  ptrdiff_t row_values;               // of a transformed pixel
  ptrdiff_t plane_bytes, sum_values;  // of one point of a block: its pixels, its sums

  explicit WinoPlan(const ConvShape& s) {
    constexpr ptrdiff_t kCache = 512 << 10;  // what a block may take of the second-level cache
    row_values = (s.in_c + V::kLanes16 - 1) / V::kLanes16 * V::kLanes16;
    steps = V::kHalved ? static_cast<int32_t>(row_values) / V::kStep
                       : (s.in_c + V::kStep - 1) / V::kStep;
    panels = (s.out_c + kPanel - 1) / kPanel;
    groups = (panels + V::kPanels - 1) / V::kPanels;
    bias_bytes = ptrdiff_t{panels} * kPanel * 4;
    panel_bytes = kColumnBytes + ptrdiff_t{steps} * V::kStep * kPanel * 2;
    tiles_h = (s.out_h + kWinoTile - 1) / kWinoTile;
    tiles_w = (s.out_w + kWinoTile - 1) / kWinoTile;
    tiles = s.batch * tiles_h * tiles_w;
    const int32_t columns = (panels < V::kPanels ? panels : V::kPanels) * kPanel;
    const ptrdiff_t tile_bytes = kWinoPoints * (row_values * 2 + ptrdiff_t{columns} * 4);
    const ptrdiff_t most = kCache / tile_bytes < V::kRows ? V::kRows : kCache / tile_bytes;
    blocks = static_cast<int32_t>((tiles + most - 1) / most);
    block_tiles = (tiles + blocks - 1) / blocks;
    blocks = (tiles + block_tiles - 1) / block_tiles;
    // A line more, so that the points of a tile do not fall into the same sets of the cache.
    plane_bytes = (row_values * 2 * block_tiles + 63) / 64 * 64 + 64;
    sum_values = ptrdiff_t{columns} * block_tiles + 16;
  }

  int32_t group_panels(int32_t group) const {
    const int32_t left = panels - group * V::kPanels;
    return left < V::kPanels ? left : V::kPanels;
  }
  ptrdiff_t pixels_bytes() const { return plane_bytes * kWinoPoints; }
  ptrdiff_t sums_bytes() const { return sum_values * 4 * kWinoPoints; }
  // Of the products of the rows of all points.
  ptrdiff_t products_bytes() const {
    return V::kHalved ? (ptrdiff_t{kWinoPoints} * block_tiles * 4 + 63) / 64 * 64 : 0;
  }
};

template <class V>
struct Winograd {
  using Plan = WinoPlan<V>;

  static constexpr WinogradS8 entry(const char* name, Isa isa, int32_t least_tiles,
                                    int32_t least_channels) {
    return {name, isa,    least_tiles, least_channels,  packed_bytes,
            pack, unpack, units,       workspace_bytes, run};
  }

 private:
  static size_t packed_bytes(const ConvShape& s) {
    const Plan p(s);
    return static_cast<size_t>(p.bias_bytes + p.panel_bytes * p.panels * kWinoPoints);
  }
  // Units are the groups of panels of a block, block after block.
  static size_t units(const ConvShape& s) {
    const Plan p(s);
    return static_cast<size_t>(p.blocks) * static_cast<size_t>(p.groups);
  }
  static size_t workspace_bytes(const ConvShape& s) {
    const Plan p(s);
    return static_cast<size_t>(p.pixels_bytes() + p.sums_bytes() + p.products_bytes());
  }

  // Where the panels have an output channel's weights.
  struct PackedColumn {
    ptrdiff_t first, point_bytes;
    int32_t place;
    PackedColumn(const Plan& p, int32_t n)
        : first(ptrdiff_t{n / kPanel / V::kPanels} * V::kPanels * kWinoPoints * p.panel_bytes +
                n / kPanel % V::kPanels * p.panel_bytes),
          point_bytes(p.group_panels(n / kPanel / V::kPanels) * p.panel_bytes),
          place(n % kPanel) {}
    ptrdiff_t products_at(int point) const { return first + point * point_bytes + place * 4; }
    // In bytes: that of a point and an input channel.
    ptrdiff_t at(int point, int32_t c) const {
      const ptrdiff_t value = (ptrdiff_t{c / V::kStep} * kPanel + place) * V::kStep + c % V::kStep;
      return first + point * point_bytes + Plan::kColumnBytes + value * ptrdiff_t{sizeof(int16_t)};
    }
  };

  static void pack(const ConvShape& s, const int8_t* weights, const int32_t* bias,
                   int32_t input_zero, void* packed) {
    // 24 times the matrix of the weights; half of that in the last row, see wino_output().
    static constexpr int32_t kWeights[6][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4},
                                               {1, 2, 4}, {1, -2, 4},   {0, 0, 12}};
    const Plan p(s);
    memset(packed, 0, packed_bytes(s));
    auto* packed_bias = static_cast<int32_t*>(packed);
    uint8_t* panels = static_cast<uint8_t*>(packed) + p.bias_bytes;
    for (int32_t n = 0; n < s.out_c; ++n) {
      const int8_t* w = weights + ptrdiff_t{n} * 9 * s.in_c;
      const PackedColumn column(p, n);
      uint32_t sum = 0;
      for (int32_t c = 0; c < s.in_c; ++c) {
        int32_t half[6][3];
        for (int i = 0; i < 6; ++i)
          for (int x = 0; x < 3; ++x) {
            half[i][x] = 0;
            for (int y = 0; y < 3; ++y) half[i][x] += kWeights[i][y] * w[(y * 3 + x) * s.in_c + c];
          }
        for (int i = 0; i < 9; ++i) sum += static_cast<uint32_t>(int32_t{w[i * s.in_c + c]});
        for (int i = 0; i < 6; ++i)
          for (int j = 0; j < 6; ++j) {
            int32_t value = 0;
            for (int x = 0; x < 3; ++x) value += half[i][x] * kWeights[j][x];
            const auto packed_value = static_cast<int16_t>(value);
            memcpy(panels + column.at(i * 6 + j, c), &packed_value, sizeof packed_value);
          }
      }
      packed_bias[n] = static_cast<int32_t>((bias != nullptr ? static_cast<uint32_t>(bias[n]) : 0) -
                                            static_cast<uint32_t>(input_zero) * sum);
      if constexpr (V::kHalved) {
        for (int point = 0; point < kWinoPoints; ++point) put_products(p, column, point, panels);
      }
    }
  }

  // A column's products of a point.
  static void put_products(const Plan& p, const PackedColumn& column, int point, uint8_t* panels) {
    const auto weight = [&](int32_t c) {
      int16_t value;
      memcpy(&value, panels + column.at(point, c), sizeof value);
      return int32_t{value};
    };
    uint32_t sum = 0;
    for (int32_t c = 0; c < p.row_values; c += c % 2 == 0 ? 1 : 3)
      sum += static_cast<uint32_t>(weight(c) * weight(c + 2));
    memcpy(panels + column.products_at(point), &sum, sizeof sum);
  }

  static void unpack(const ConvShape& s, const void* packed, int8_t* weights) {
    // A filter's row from its six points: one of them, or the difference of two, over `times`.
    static constexpr struct {
      int plus, minus, times;
    } kTaps[3] = {{0, -1, 6}, {2, 1, 8}, {5, -1, 12}};
    const Plan p(s);
    const uint8_t* panels = static_cast<const uint8_t*>(packed) + p.bias_bytes;
    for (int32_t n = 0; n < s.out_c; ++n) {
      int8_t* w = weights + ptrdiff_t{n} * 9 * s.in_c;
      const PackedColumn column(p, n);
      for (int32_t c = 0; c < s.in_c; ++c) {
        const auto point = [&](int i, int j) {
          int16_t value = 0;
          if (i >= 0 && j >= 0) memcpy(&value, panels + column.at(i * 6 + j, c), sizeof value);
          return int32_t{value};
        };
        for (int y = 0; y < 3; ++y)
          for (int x = 0; x < 3; ++x) {
            const auto down = kTaps[y], across = kTaps[x];
            const int32_t all = point(down.plus, across.plus) - point(down.plus, across.minus) -
                                point(down.minus, across.plus) + point(down.minus, across.minus);
            w[(y * 3 + x) * s.in_c + c] = static_cast<int8_t>(all / (down.times * across.times));
          }
      }
    }
  }

  // Where a tile of the output begins.
  struct Position {
    int32_t image, y, x;
    Position(const Plan& p, int32_t tile)
        : image(tile / (p.tiles_h * p.tiles_w)),
          y(tile / p.tiles_w % p.tiles_h * kWinoTile),
          x(tile % p.tiles_w * kWinoTile) {}
  };

  // The six by six pixels that a tile reads, transformed: one value of each plane.
  static void transform_input(const ConvShape& s, const ConvS8Args& args, const Plan& p,
                              int32_t tile, uint8_t* to) {
    const Position at(p, tile);
    const int8_t* pixel[6][6];
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        const int32_t y = at.y - s.pad_top + i, x = at.x - s.pad_left + j;
        const bool inside = y >= 0 && y < s.in_h && x >= 0 && x < s.in_w;
        pixel[i][j] = inside ? args.input + ((ptrdiff_t{at.image} * s.in_h + y) * s.in_w + x) *
                                                s.in_pixel_stride
                             : args.zero_row;
      }
    for (int32_t c = 0; c < s.in_c; c += V::kLanes16, to += V::kLanes16 * 2) {
      typename V::I16 columns[6][6];
      FIRN_UNROLL for (int j = 0; j < 6; ++j) {
        typename V::I16 d[6], t[6];
        FIRN_UNROLL for (int i = 0; i < 6; ++i) d[i] = V::widen(pixel[i][j] + c);
        wino_input<V>(d, t);
        FIRN_UNROLL for (int i = 0; i < 6; ++i) columns[i][j] = t[i];
      }
      FIRN_UNROLL for (int i = 0; i < 6; ++i) {
        typename V::I16 t[6];
        wino_input<V>(columns[i], t);
        FIRN_UNROLL for (int j = 0; j < 6; ++j) V::store16(to + (i * 6 + j) * p.plane_bytes, t[j]);
      }
    }
  }

  // From the sums of a tile (rows of `stride` values) to sixteen output pixels.
  static void transform_output(const ConvShape& s, const ConvS8Args& args, const Plan& p,
                               const int32_t* bias, int32_t tile, int32_t column, int32_t columns,
                               const int32_t* sums) {
    const Position at(p, tile);
    const int32_t rows = min_of(kWinoTile, s.out_h - at.y),
                  wide = min_of(kWinoTile, s.out_w - at.x);
    int8_t* out = static_cast<int8_t*>(args.output) +
                  ((ptrdiff_t{at.image} * s.out_h + at.y) * s.out_w + at.x) * s.out_pixel_stride +
                  column;
    for (int32_t c = 0; c < columns; c += V::kLanes32) {
      typename V::I32 half[4][6];
      FIRN_UNROLL for (int j = 0; j < 6; ++j) {
        typename V::I32 m[6], y[4];
        FIRN_UNROLL for (int i = 0; i < 6; ++i) m[i] =
            V::load32(sums + (i * 6 + j) * p.sum_values + c);
        wino_output<V>(m, y);
        FIRN_UNROLL for (int i = 0; i < 4; ++i) half[i][j] = y[i];
      }
      const int32_t here = min_of(V::kLanes32, columns - c);
      const typename V::Output output(args, bias + c, column + c, here);
      int8_t* to = out + c;
      FIRN_UNROLL for (int i = 0; i < 4; ++i) {
        typename V::I32 y[4];
        wino_output<V>(half[i], y);
        if (i < rows) output.store(y, to, s.out_pixel_stride, wide);
        to += ptrdiff_t{s.out_w} * s.out_pixel_stride;
      }
    }
  }

  static void run(const ConvShape& s, const ConvS8Args& args, void* workspace, Units& units) {
    const Plan p(s);
    auto* pixels = static_cast<uint8_t*>(workspace);
    auto* sums = reinterpret_cast<int32_t*>(pixels + p.pixels_bytes());
    auto* products = reinterpret_cast<int32_t*>(pixels + p.pixels_bytes() + p.sums_bytes());
    const auto* bias = static_cast<const int32_t*>(args.packed);
    const auto* weights = static_cast<const uint8_t*>(args.packed) + p.bias_bytes;
    int32_t transformed = -1;
    const auto run_unit = [&](int32_t unit) {
      const int32_t block = unit / p.groups, group = unit % p.groups;
      const int32_t first = block * p.block_tiles;
      const int32_t count = min_of(p.block_tiles, p.tiles - first);
      if (block != transformed) {
        for (int32_t i = 0; i < count; ++i)
          transform_input(s, args, p, first + i, pixels + i * p.row_values * 2);
        if constexpr (V::kHalved) {
          for (int t = 0; t < kWinoPoints; ++t)
            V::row_products(count, p.steps, pixels + t * p.plane_bytes, p.row_values * 2,
                            products + t * p.block_tiles);
        }
        transformed = block;
      }
      const int32_t wide = p.group_panels(group);
      const uint8_t* w = weights + ptrdiff_t{group} * V::kPanels * kWinoPoints * p.panel_bytes;
      for (int t = 0; t < kWinoPoints; ++t, w += wide * p.panel_bytes)
        V::multiply(count, wide, p.steps, pixels + t * p.plane_bytes, p.row_values * 2,
                    products + t * p.block_tiles, w, p.panel_bytes, sums + t * p.sum_values);
      const int32_t column = group * V::kPanels * kPanel;
      const int32_t columns = min_of(wide * kPanel, s.out_c - column);
      for (int32_t i = 0; i < count; ++i)
        transform_output(s, args, p, bias + column, first + i, column, columns,
                         sums + ptrdiff_t{i} * wide * kPanel);
    };
    do {
      for (size_t unit = units.begin; unit < units.end; ++unit)
        run_unit(static_cast<int32_t>(unit));
    } while (units.next());
  }

  static int32_t min_of(int32_t a, int32_t b) { return a < b ? a : b; }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_WINOGRAD_S8_LOOPS_H_
