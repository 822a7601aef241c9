// SPDX-License-Identifier: Apache-2.0
// The part of the int8 convolution that all instruction sets share: how weights are packed, how the
// work is split into blocks of rows and panels, and where each tile reads.
#ifndef FIRN_KERNELS_GEMM_S8_DRIVER_H_
#define FIRN_KERNELS_GEMM_S8_DRIVER_H_

#include "kernels/gemm_s8.h"
#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {

// A variant's inner kernel and how it wants its data: a line of gemm_s8.inc.
struct GemmS8Kernel {
  int32_t k_step = 1;  // consecutive input values a column takes at once
  // Null: input is read in place. Otherwise a block's input is copied by this function, which adds
  // 128 to make it unsigned: packing makes up for that in the bias. The copy ends up to kReadSlack
  // later than it must, and reads as far.
  void (*copy_unsigned)(const GemmS8Pixels&, int8_t* to) = nullptr;
  int32_t max_panels = 1;  // of a block
  // The same of many rows that are evenly spaced, where there are more than max_panels in all.
  int32_t even_panels = 1;
  int32_t rows[kMaxPanels] = {1, 1, 1, 1};  // of a tile of 1, 2, ... panels
  void (*tiles)(const GemmS8Block&) = nullptr;
};

size_t gemm_s8_packed_bytes(const GemmS8Kernel&, const ConvShape&);
void gemm_s8_pack(const GemmS8Kernel&, const ConvShape&, const int8_t* weights, const int32_t* bias,
                  int32_t input_zero, void* packed);
size_t gemm_s8_units(const GemmS8Kernel&, const ConvShape&);
size_t gemm_s8_workspace_bytes(const GemmS8Kernel&, const ConvShape&);
void gemm_s8_run(const GemmS8Kernel&, const ConvShape&, const ConvS8Args&, void* workspace,
                 size_t begin, size_t end);

// Writes one accumulator of a block as output, in scalar code: the meaning of every kernel's
// stores.
inline void gemm_s8_store(const GemmS8Block& b, int64_t row, int32_t column, int32_t acc) {
  const int64_t at = row * b.out_stride + column;
  if (!b.to_float) {
    static_cast<int8_t*>(b.output)[at] = requantize(acc, b.scale[column], b.clamp);
    return;
  }
  float y = static_cast<float>(acc) * b.scale[column];
  y = y > b.float_lo ? y : b.float_lo;  // as maxps(y, lo) and minps(y, hi)
  static_cast<float*>(b.output)[at] = y < b.float_hi ? y : b.float_hi;
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_DRIVER_H_
