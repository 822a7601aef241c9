// SPDX-License-Identifier: Apache-2.0
// Float functions, norms and softmax, one table entry per instruction set: what XNNPACK does not
// have in every release or computes to other bits on another CPU. All entries give the same bits:
// the same operations in the same order, products and sums never contracted, sums in sixteen parts
// whatever the vectors' width.
#ifndef FIRN_KERNELS_VEC_F32_H_
#define FIRN_KERNELS_VEC_F32_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/isa.h"

namespace firn::kernels {

struct LayerNormF32 {
  size_t rows = 0, c = 0;
  const float* scale = nullptr;  // c elements, or null for 1
  const float* bias = nullptr;   // c elements, or null for 0
  float epsilon = 0;
  bool centred = true;  // false: the mean counts as 0 (RMSNorm)
};

struct VecF32 {
  const char* name;  // "vec_f32_avx2"
  Isa isa;

  // y = f(x), within a few units in the last place of the largest result near it. y may be x.
  using Map = void (*)(size_t n, const float* x, float* y);
  Map exp;
  Map tanh;
  Map erf;
  Map sigmoid;
  Map silu;      // x * sigmoid(x)
  Map softplus;  // log(1 + exp(x))
  Map mish;      // x * tanh(softplus(x))
  Map gelu;      // x * Phi(x)
  Map gelu_tanh;

  // Rows of c, each less its mean and divided by its standard deviation.
  void (*layer_norm)(const LayerNormF32&, const float* x, float* y);
  // Rows of c > 0: exp(x - largest), divided by the row's sum of it. y may be x.
  void (*softmax)(size_t rows, size_t c, const float* x, float* y);
  float (*sum)(size_t n, const float* x);
};

std::span<const VecF32> vec_f32_table();

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_F32_H_
