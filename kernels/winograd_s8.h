// SPDX-License-Identifier: Apache-2.0
// 8-bit 3x3 convolution by minimal filtering, F(4x4, 3x3): 36 products a channel for 16 outputs
// where the direct convolution takes 144 (Winograd, Arithmetic Complexity of Computations, 1980;
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016).
//
// The answers are those of the direct convolution, bit by bit. All matrices are integer: those of
// the weights are multiplied by 24, so that what comes out is 24 * 24 times the sum. Transformed
// inputs (at most 100 times an int8) and weights (144 times) fit 16 bits. Their products do not add
// up in 32 bits, but they do modulo 2^32, and so does the transform of the sums: 576 is 64 times 9,
// 9 has an inverse modulo 2^32, and what is then 64 times the sum is exact as long as the sum is
// below 2^25.
#ifndef FIRN_KERNELS_WINOGRAD_S8_H_
#define FIRN_KERNELS_WINOGRAD_S8_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gemm_s8.h"

namespace firn::kernels {

// Restricted to shapes that winograd_s8_takes(); to_float and unsigned bytes are not supported.
struct WinogradS8 {
  const char* name;  // "winograd_s8_avx2"
  Isa isa;
  // It is worth its larger weights, eight times those of the direct convolution, from that many
  // tiles of 4x4 outputs on, and from that many input and output channels.
  int32_t least_tiles, least_channels;
  size_t (*packed_bytes)(const ConvShape&);
  // As GemmS8::pack. `packed` is 64-byte aligned.
  void (*pack)(const ConvShape&, const int8_t* weights, const int32_t* bias, int32_t input_zero,
               void* packed);
  void (*unpack)(const ConvShape&, const void* packed, int8_t* weights);
  size_t (*units)(const ConvShape&);
  // Of one call of run(), aligned to 64 bytes and a multiple of them.
  size_t (*workspace_bytes)(const ConvShape&);
  void (*run)(const ConvShape&, const ConvS8Args&, void* workspace, Units&);
};

// At most one for each instruction set. The oracle is the direct convolution in scalar code.
std::span<const WinogradS8* const> winograd_s8_table();

// Whether a 3x3 convolution of this shape and with these weights (laid out as GemmS8::pack has
// them) can be computed so: stride and dilation 1, one group, and no sum reaches 2^25.
bool winograd_s8_takes(const ConvShape&, const int8_t* weights);

// The variant that is worth it beside the direct convolution of the best allowed instruction set,
// where winograd_s8_takes() the layer; null where there is none.
const WinogradS8* pick_winograd_s8(const ConvShape&, IsaMask allowed);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_WINOGRAD_S8_H_
