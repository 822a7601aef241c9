// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution: one filter per channel (in_c = out_c = 1, groups = channels).
#ifndef FIRN_KERNELS_DWCONV_S8_H_
#define FIRN_KERNELS_DWCONV_S8_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gemm_s8.h"

namespace firn::kernels {

// Same contract as GemmS8, restricted to depthwise shapes; weights: [channels][kernel_h][kernel_w].
// to_float is not supported.
struct DwConvS8 {
  const char* name;  // "dwconv_s8_avx2"
  Isa isa;
  size_t (*packed_bytes)(const ConvShape&);
  void (*pack)(const ConvShape&, const int8_t* weights, const int32_t* bias, int32_t input_zero,
               void* packed);
  size_t (*units)(const ConvShape&);
  void (*run)(const ConvShape&, const ConvS8Args&, size_t begin, size_t end);
};

std::span<const DwConvS8> dwconv_s8_table();

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_H_
