// SPDX-License-Identifier: Apache-2.0
// The product with weights of few bits in vectors, whatever their width. An ISA's file describes
// its dot product and tile in a struct V; everything here is internal to it.
//
// A chunk of a panel is unpacked into a scratch on the stack, from where all rows read it.
#ifndef FIRN_KERNELS_GEMM_WN_LANES_H_
#define FIRN_KERNELS_GEMM_WN_LANES_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/gemm_s8_tile.h"
#include "kernels/gemm_wn.h"

namespace firn::kernels {
namespace {

// g++ 12 does not know vectors whose size is a template's argument well enough.
struct WnVectors {
  static constexpr int kBytes = FIRN_WN_BYTES;
  typedef uint16_t Bits __attribute__((vector_size(kBytes)));
  typedef float Float __attribute__((vector_size(kBytes)));
  typedef int32_t Int __attribute__((vector_size(kBytes)));
  typedef int8_t Narrow __attribute__((vector_size(kBytes / 4)));
  static constexpr size_t kLanes = kBytes / 4;

  FIRN_INLINE static Bits bits(const uint8_t* p) {
    Bits v;
    memcpy(&v, p, sizeof(v));
    return v;
  }
  FIRN_INLINE static Float floats(const float* p) {
    Float v;
    memcpy(&v, p, sizeof(v));
    return v;
  }
  FIRN_INLINE static Int magnitudes(const float* p) {
    Int v;
    memcpy(&v, p, sizeof(v));
    return v & 0x7fffffff;
  }
  static Float set(float x) { return Float{} + x; }

  // The fields of a plane that belong to a step.
  template <int kWidth>
  FIRN_INLINE static Bits fields(const uint8_t* rows, int step, int at) {
    constexpr int kEach = 8 / kWidth;
    const Bits v = bits(rows + step / kEach * int{kWnStepBytes} + at);
    if constexpr (kWidth == 8) return v;
    constexpr uint16_t kMask = ((1 << kWidth) - 1) * 0x101;
    return (v >> (step % kEach * kWidth)) & kMask;
  }

  template <int kNumber>
  FIRN_INLINE static void unpack_group(const uint8_t* from, uint8_t* to) {
    constexpr int kFour = kNumber & 4, kTwo = kNumber & 2, kOne = kNumber & 1;
    FIRN_UNROLL for (int step = 0; step < 8; ++step) {
      FIRN_UNROLL for (int at = 0; at < 64; at += kBytes) {
        Bits u{};
        if constexpr (kNumber == 8) {
          u = fields<8>(from, step, at);
        } else {
          if constexpr (kFour != 0) u = fields<4>(from, step, at);
          if constexpr (kTwo != 0) u |= fields<2>(from + kFour * 64, step, at) << kFour;
          if constexpr (kOne != 0)
            u |= fields<1>(from + (kFour + kTwo) * 64, step, at) << (kFour + kTwo);
        }
        memcpy(to + step * 64 + at, &u, sizeof(u));
      }
    }
  }

  template <int kNumber>
  static void unpack(const uint8_t* from, size_t groups, uint8_t* to) {
    for (size_t g = 0; g < groups; ++g)
      unpack_group<kNumber>(from + g * wn_group_bytes(kNumber), to + g * 8 * kWnStepBytes);
  }

  static void unpack(int32_t bits, const uint8_t* from, size_t groups, uint8_t* to) {
    switch (bits) {
      case 2:
        return unpack<2>(from, groups, to);
      case 3:
        return unpack<3>(from, groups, to);
      case 4:
        return unpack<4>(from, groups, to);
      case 5:
        return unpack<5>(from, groups, to);
      case 6:
        return unpack<6>(from, groups, to);
      case 7:
        return unpack<7>(from, groups, to);
      default:
        return unpack<8>(from, groups, to);
    }
  }

  static float max_abs(size_t n, const float* x) {
    Int most{};
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Int v = magnitudes(x + i);
      most = v > most ? v : most;
    }
    int32_t all = 0;
    for (size_t l = 0; l < kLanes; ++l) all = most[l] > all ? most[l] : all;
    for (; i < n; ++i) {
      int32_t v;
      memcpy(&v, x + i, sizeof(v));
      v &= 0x7fffffff;
      all = v > all ? v : all;
    }
    float most_abs;
    memcpy(&most_abs, &all, sizeof(all));
    return most_abs;
  }

  // kLanes floats to int8 as int32; the float 1.5 * 2^23 leaves no bits behind the point, rounded
  // to the nearest even as every sum is.
  FIRN_INLINE static Int rounded(Float x, Float inverse) {
    const Float lo = set(-127.0f), hi = set(127.0f), magic = set(12582912.0f);
    Float y = x * inverse;
    y = y > lo ? y : lo;
    y = y < hi ? y : hi;
    return __builtin_convertvector((y + magic) - magic, Int);
  }

  static void quantize_row(const WeightShape& s, const float* x, const RowsWN& out) {
    const float m = max_abs(s.k, x);
    const bool zero = m < 1e-30f;
    const Float inverse = set(zero ? 0.0f : 127.0f / m);
    out.scale[0] = zero ? 0.0f : m / 127.0f;
    const size_t blocks = wn_blocks(s);
    for (size_t b = 0; b < blocks; ++b) {
      const size_t begin = b * s.block, end = begin + s.block < s.k ? begin + s.block : s.k;
      Int sum{};
      size_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        const Int q = rounded(floats(x + i), inverse);
        sum += q;
        const Narrow bytes = __builtin_convertvector(q, Narrow);
        memcpy(out.q + i, &bytes, sizeof(bytes));
      }
      int32_t all = 0;
      if (i < end) {
        float rest[kLanes] = {};
        memcpy(rest, x + i, (end - i) * sizeof(float));
        const Int q = rounded(floats(rest), inverse);
        const Narrow bytes = __builtin_convertvector(q, Narrow);
        memcpy(out.q + i, &bytes, end - i);
        for (size_t l = 0; l < end - i; ++l) all += q[l];
      }
      for (size_t l = 0; l < kLanes; ++l) all += sum[l];
      out.sums[b] = all;
    }
    memset(out.q + s.k, 0, wn_row_bytes(s) - s.k);
  }
};

// What a tile multiplies: some rows by a chunk of one panel, in whole blocks but the last.
struct WnTile {
  const uint8_t* weights;  // unpacked
  size_t steps;
  size_t block_steps;
  const float* scale;    // of the chunk's first block
  const uint8_t* zeros;  // null where all are `half`
  int32_t half;          // 2^(bits - 1)
  int32_t bits;
  const int8_t* x;
  size_t x_stride;
  const int32_t* sums;
  size_t sums_stride;
};

// What becomes of a row's 16 sums.
struct WnFinish {
  const float* row_scale;
  const float* bias;  // 16
  float lo, hi;
  float* y;
  ptrdiff_t y_stride;
  size_t columns;
};

// V: kRows of a tile, and template <int R> static void tile(const WnTile&,
// float
// (*sums)[16]), which adds to the sums of R rows.
template <class V>
struct GemmWNLoops {
  using Vectors = WnVectors;
  using Float = Vectors::Float;
  static constexpr size_t kChunk = 1024;     // values of k: 16 KB unpacked; whole blocks
  static constexpr size_t kRowsAtOnce = 48;  // whose sums wait between chunks

  static void finish(const WnFinish& f, size_t rows, const float (*sums)[16]) {
    const Float lo = Vectors::set(f.lo), hi = Vectors::set(f.hi);
    for (size_t r = 0; r < rows; ++r) {
      float row[16];
      const Float scale = Vectors::set(f.row_scale[r]);
      FIRN_UNROLL for (size_t c = 0; c < 16; c += Vectors::kLanes) {
        Float y = Vectors::floats(sums[r] + c) * scale + Vectors::floats(f.bias + c);
        y = lo > y ? lo : y;
        y = hi < y ? hi : y;
        memcpy(row + c, &y, sizeof(y));
      }
      float* to = f.y + static_cast<ptrdiff_t>(r) * f.y_stride;
      if (f.columns == 16) {
        memcpy(to, row, sizeof(row));
      } else {
        memcpy(to, row, f.columns * sizeof(float));
      }
    }
  }

  template <int R>
  static void rest(const WnTile& t, size_t rows, float (*sums)[16]) {
    if constexpr (R > 0) {
      if (rows == R) return V::template tile<R>(t, sums);
      rest<R - 1>(t, rows, sums);
    }
  }

  static void tiles(WnTile t, size_t rows, float (*sums)[16]) {
    for (; rows >= V::kRows; rows -= V::kRows, sums += V::kRows) {
      V::template tile<V::kRows>(t, sums);
      t.x += V::kRows * t.x_stride;
      t.sums += V::kRows * t.sums_stride;
    }
    rest<V::kRows - 1>(t, rows, sums);
  }

  static void panel(const WeightShape& s, const GemmWNArgs& a, size_t p) {
    const size_t column = p * kWnColumns, groups = wn_groups(s);
    const auto* from = static_cast<const uint8_t*>(a.packed) + p * wn_panel_bytes(s);
    alignas(64) uint8_t weights[kChunk * kWnColumns];
    alignas(64) float sums[kRowsAtOnce][16];
    float bias[16] = {};
    WnFinish f{a.scale, bias, a.lo, a.hi, a.y + column, a.y_stride, s.n - column};
    if (f.columns > kWnColumns) f.columns = kWnColumns;
    if (a.bias != nullptr) memcpy(bias, a.bias + column, f.columns * sizeof(float));
    constexpr size_t kChunkGroups = kChunk / kWnGroup;
    if (groups <= kChunkGroups) Vectors::unpack(s.bits, from, groups, weights);
    for (size_t row = 0; row < a.rows; row += kRowsAtOnce) {
      const size_t rows = a.rows - row < kRowsAtOnce ? a.rows - row : kRowsAtOnce;
      memset(sums, 0, rows * sizeof(sums[0]));
      for (size_t g = 0; g < groups; g += kChunkGroups) {
        const size_t count = groups - g < kChunkGroups ? groups - g : kChunkGroups;
        if (groups > kChunkGroups)
          Vectors::unpack(s.bits, from + g * wn_group_bytes(s.bits), count, weights);
        const size_t block = g * kWnGroup / s.block;
        WnTile t;
        t.weights = weights;
        t.steps = count * kWnSteps;
        t.block_steps = s.block / 4;
        t.scale = reinterpret_cast<const float*>(from + wn_scale_offset(s)) + block * kWnColumns;
        t.zeros = s.zeros ? from + wn_zero_offset(s) + block * kWnColumns : nullptr;
        t.half = 1 << (s.bits - 1);
        t.bits = s.bits;
        t.x_stride = wn_row_bytes(s);
        t.x = a.q + row * t.x_stride + g * kWnGroup;
        t.sums_stride = wn_blocks(s);
        t.sums = a.sums + row * t.sums_stride + block;
        tiles(t, rows, sums);
      }
      f.row_scale = a.scale + row;
      f.y = a.y + static_cast<ptrdiff_t>(row) * a.y_stride + static_cast<ptrdiff_t>(column);
      finish(f, rows, sums);
    }
  }

  static void run(const WeightShape& s, const GemmWNArgs& a, size_t begin, size_t end) {
    for (size_t p = begin; p < end; ++p) panel(s, a, p);
  }

  static constexpr GemmWN entry(const char* name, Isa isa) {
    return {name, isa, Vectors::quantize_row, run};
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_WN_LANES_H_
