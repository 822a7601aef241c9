// SPDX-License-Identifier: Apache-2.0
// Products of float matrices that are both known at run time only, as in attention: XNNPACK's fully
// connected operator packs its weights once and for all. One table entry per instruction set.
#ifndef FIRN_KERNELS_GEMM_F32_H_
#define FIRN_KERNELS_GEMM_F32_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/isa.h"

namespace firn::kernels {

// c[i][j] = clamp(bias[j] + sum over l < k of a[i][l] * b[l][j]), i < m, j < n, or with what c
// holds added to the sum. Strides in elements; those of a and b are any, so that transposed operands need no copy. c's columns are
// neighbours.
struct GemmF32 {
  size_t m = 0, n = 0, k = 0;
  ptrdiff_t a_row = 0, a_k = 1;
  ptrdiff_t b_k = 0, b_column = 1;
  ptrdiff_t c_row = 0;
  bool accumulate = false;  // onto c
  const float* bias = nullptr;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
};

struct GemmF32Kernel {
  const char* name;  // "gemm_f32_avx2"
  Isa isa;
  size_t columns;  // of a panel
  // Rows [begin, end) of the panel of columns [panel * columns, ...) up to n. Nothing is read or
  // written beside the matrices. The order of the sums depends on neither panel nor rows.
  void (*run)(const GemmF32&, const float* a, const float* b, float* c, size_t panel, size_t begin,
              size_t end);
};

std::span<const GemmF32Kernel> gemm_f32_table();

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_F32_H_
