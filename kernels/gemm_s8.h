// SPDX-License-Identifier: Apache-2.0
// 8-bit convolution and matrix product: int8 activations times int8 weights into exact int32, then
// requantized per output channel. A matrix product is a 1x1 convolution with in_h = 1, in_w = M.
#ifndef FIRN_KERNELS_GEMM_S8_H_
#define FIRN_KERNELS_GEMM_S8_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/float_sums.h"
#include "kernels/isa.h"
#include "kernels/requant.h"
#include "kernels/units.h"

namespace firn::kernels {

// Geometry, NHWC. Channels of group g are [g * in_c, (g + 1) * in_c). Pixel strides are in elements
// and at least groups * channels, so that an input or output can be a slice of wider pixels.
struct ConvShape {
  int32_t batch = 1;
  int32_t in_h = 1, in_w = 1, in_c = 1;     // in_c per group
  int32_t out_h = 1, out_w = 1, out_c = 1;  // out_c per group
  int32_t groups = 1;
  int32_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int32_t pad_top = 0, pad_left = 0;
  // The filter's taps are read up to this many times over, each time with weights of their own: a
  // weight of more than 8 bits is the sum of several. Neighbouring columns that have none are
  // multiplied once.
  int32_t repeat = 1;
  int32_t in_pixel_stride = 1, out_pixel_stride = 1;
};

// Memory behind activations must be readable (not owned) for this many bytes past the last element.
inline constexpr size_t kReadSlack = 64;

struct ConvS8Args {
  const int8_t* input = nullptr;
  // groups * in_c + kReadSlack bytes of the input's zero point: what padding reads.
  const int8_t* zero_row = nullptr;
  const void* packed = nullptr;      // 64-byte aligned
  const float* scale = nullptr;      // groups * out_c: s_in * s_w / s_out (to float: s_in * s_w)
  const void* float_sums = nullptr;  // what float_sums() has found for these; or null
  Clamp8 clamp;                      // of an int8 output
  void* output = nullptr;            // int8_t, or float where to_float
  bool to_float = false;             // y = clamp(float(acc) * scale[c], float_lo, float_hi)
  // Bytes of the input and zero_row, or of an int8 output, are values + 128: uint8, which the left
  // side of vpdpbusd is. Only with variants that say so.
  bool unsigned_input = false, unsigned_output = false;
  float float_lo = 0, float_hi = 0;
  // What will be read soon after: variants that can bring it into a cache meanwhile.
  std::span<const std::byte> ahead = {};
};

// One entry of the family's table.
struct GemmS8 {
  const char* name;  // "gemm_s8_avx2"
  Isa isa;
  // Bytes of the packed weights. Packing depends on channels, groups, kernel, dilation and the
  // input's pixel stride, not on image sizes: a new input size needs no new packing.
  size_t (*packed_bytes)(const ConvShape&);
  // weights: [groups * out_c][repeat][kernel_h][kernel_w][in_c]; bias: groups * out_c or null.
  // Folds -input_zero * sum(weights) into the bias, so that run() multiplies raw int8 values.
  void (*pack)(const ConvShape&, const int8_t* weights, const int32_t* bias, int32_t input_zero,
               void* packed);
  // The weights that were packed, as pack() takes them.
  void (*unpack)(const ConvShape&, const void* packed, int8_t* weights);
  // The work is this many independent units; run() does those that it is given. Reentrant.
  size_t (*units)(const ConvShape&);
  // Of one call of run(), aligned to 64 bytes and a multiple of them.
  size_t (*workspace_bytes)(const ConvShape&);
  void (*run)(const ConvShape&, const ConvS8Args&, void* workspace, Units&);
  // Whether the input may be unsigned, and is better so, and whether the output may be.
  bool (*reads_unsigned)(const ConvShape&) = [](const ConvShape&) { return false; };
  bool writes_unsigned = false;
  // Finds float sums (float_sums.h), which make an int8 output faster: so many bytes, aligned
  // to 64. False where there are none.
  size_t (*float_sums_bytes)(const ConvShape&) = [](const ConvShape&) { return size_t{0}; };
  bool (*float_sums)(const ConvShape&, const void* packed, const float* scale, const Clamp8&,
                     void* found) = [](const ConvShape&, const void*, const float*, const Clamp8&,
                                       void*) { return false; };
};

// Compiled-in variants, scalar first, then by preference. Iterated by selection, tests, benchmarks.
std::span<const GemmS8> gemm_s8_table();

// The fastest variant for a layer: amxint8 where there are enough rows and channels to fill tiles.
const GemmS8& pick_gemm_s8(const ConvShape&, IsaMask allowed);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_H_
