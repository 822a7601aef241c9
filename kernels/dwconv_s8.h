// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution: one filter per channel (in_c = out_c = 1, groups = channels).
#ifndef FIRN_KERNELS_DWCONV_S8_H_
#define FIRN_KERNELS_DWCONV_S8_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gemm_s8.h"

namespace firn::kernels {

// Restricted to depthwise shapes; weights: [channels][repeat][kernel_h][kernel_w]. to_float is not
// supported.
using DwConvS8 = GemmS8;

std::span<const DwConvS8> dwconv_s8_table();

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_H_
