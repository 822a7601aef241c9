// SPDX-License-Identifier: Apache-2.0
// 8-bit activations, quantized row by row as they come, times weights of 2 to 8 bits in blocks.
//
// Normative, the same bits from every variant:
//   a row x[k]: m = max |x|; s = m / 127, x8 = round to nearest even of x * (127 / m), within
//   [-127, 127], NaN -127; where m is below 1e-30, s = 0 and x8 = 0
//   a block b of column c: d = sum of x8 * (q - zero), exact in int32
//   a = 0; for each block in order a = a + float(d) * scale; y = a * s + bias, clamped; every
//   product and sum rounded to float by itself
#ifndef FIRN_KERNELS_GEMM_WN_H_
#define FIRN_KERNELS_GEMM_WN_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/block_format.h"
#include "kernels/isa.h"

namespace firn::kernels {

// Rows of activations as the products take them.
struct RowsWN {
  int8_t* q = nullptr;      // rows wn_row_bytes() apart, zero behind k
  int32_t* sums = nullptr;  // of q, over each block: wn_blocks() a row
  float* scale = nullptr;   // one a row
};

constexpr size_t wn_row_bytes(const WeightShape& s) {
  return wn_groups(s) * kWnGroup;
}

struct GemmWNArgs {
  const void* packed = nullptr;  // 64-byte aligned
  const int8_t* q = nullptr;     // as RowsWN
  const int32_t* sums = nullptr;
  const float* scale = nullptr;
  size_t rows = 0;
  const float* bias = nullptr;                         // n, or null
  float lo = -std::numeric_limits<float>::infinity();  // NaN stays
  float hi = std::numeric_limits<float>::infinity();
  float* y = nullptr;
  ptrdiff_t y_stride = 0;  // elements between rows
};

// One entry of the family's table.
struct GemmWN {
  const char* name;  // "gemm_wn_avx2"
  Isa isa;
  // One row; `out` is its part of the arrays.
  void (*quantize_row)(const WeightShape&, const float* x, const RowsWN& out);
  // The columns of panels [begin, end), at most wn_panels(). Reentrant.
  void (*run)(const WeightShape&, const GemmWNArgs&, size_t begin, size_t end);
};

std::span<const GemmWN> gemm_wn_table();

// Packs weights for every variant: wn_panels() * wn_panel_bytes() bytes, all of which it writes.
// q(c, i) in row c of `q`, rows k apart; scale and zero: wn_blocks() a column. Zero points that are
// all 0 need shape.zeros false, and no `zero`.
void pack_wn(const WeightShape& shape, const int8_t* q, const float* scale, const int32_t* zero,
             void* packed);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_WN_H_
