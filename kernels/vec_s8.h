// SPDX-License-Identifier: Apache-2.0
// 8-bit elementwise work, pools and conversions, one table entry per instruction set.
#ifndef FIRN_KERNELS_VEC_S8_H_
#define FIRN_KERNELS_VEC_S8_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gemm_s8.h"

namespace firn::kernels {

// y = round_clamped(float(a - a_zero) * a_scale + float(b - b_zero) * b_scale): each product and
// the sum rounded to float (never contracted). Scales are s_a / s_y, s_b / s_y; subtraction negates
// b_scale.
struct AddS8 {
  int32_t a_zero = 0, b_zero = 0;
  float a_scale = 1, b_scale = 1;
  Clamp8 clamp;
};

// y = round_clamped(float((a - a_zero) * (b - b_zero)) * scale), scale = s_a * s_b / s_y.
struct MulS8 {
  int32_t a_zero = 0, b_zero = 0;
  float scale = 1;
  Clamp8 clamp;
};

// Windows as in ConvShape with groups = channels. Max: padding never wins. Average: the int32 sum
// of (x - in_zero) over the window's valid pixels, times scale[count - 1], requantized; count is
// the number of valid pixels, or kernel_h * kernel_w everywhere where count_pad.
struct PoolS8 {
  ConvShape shape;
  int32_t in_zero = 0;
  const float* scale = nullptr;  // kernel_h * kernel_w entries: s_in / (s_out * count)
  bool count_pad = false;
  Clamp8 clamp;
};

// What becomes of the sums y of a layer with 16-bit activations, in units of the output's scale:
// clamped to [lo, hi] and left as floats, or rounded to int16; or round_clamped to int8.
struct WideOutput {
  enum class Type : uint8_t { f32, i16, i8 };
  Type type = Type::f32;
  float lo = 0, hi = 0;  // of f32 and i16; those of the latter are integers within int16
  Clamp8 clamp;          // of i8
};
// So many entries more than channels a bias of these layers has, which starts again there.
inline constexpr size_t kWideSlack = 64;

// A depthwise convolution of int16 by int8 with exact int32 sums:
// y = float(acc) * scale[c] + bias[c].
struct WideDwConv {
  ConvShape shape;  // in_c = out_c = 1, groups = channels, repeat = 1; dense pixels
  const int16_t* weights = nullptr;  // [taps, and one of zeros where they are odd][channels]
  // What padding reads: as many pixels of zeros as a window is wide, or in_w where that is less.
  const int16_t* zeros = nullptr;
  const float *scale = nullptr, *bias = nullptr;
  WideOutput output;
};
// The most taps of it: int32 holds their sums, and the nearest cache their weights.
inline constexpr int32_t kMostWideTaps = 128;

struct VecS8 {
  const char* name;  // "vec_s8_avx2"
  Isa isa;

  void (*add)(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const AddS8&);
  // b has c elements and is used for each of the rows.
  void (*add_row)(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y, const AddS8&);
  void (*mul)(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const MulS8&);
  void (*mul_row)(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y, const MulS8&);
  // y = min(a, b), max(a, b) of bytes on one grid; y may be a.
  void (*min_row)(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y);
  void (*max_row)(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y);

  // y = table[x + 128].
  void (*lut)(size_t n, const int8_t* x, int8_t* y, const int8_t* table);

  // Output rows (of batch * out_h) [begin, end).
  void (*max_pool)(const PoolS8&, const int8_t* x, int8_t* y, size_t begin, size_t end);
  void (*average_pool)(const PoolS8&, const int8_t* x, int8_t* y, size_t begin, size_t end);
  // Mean over `rows` of c channels, rows `row_stride` elements apart: y[c]. scale = s_in /
  // (s_out * rows).
  void (*mean)(size_t rows, size_t c, size_t row_stride, const int8_t* x, int8_t* y,
               int32_t in_zero, float scale, const Clamp8&);

  // y = round_clamped(x * inverse_scale); NaN gives clamp.lo.
  void (*quantize)(size_t n, const float* x, int8_t* y, float inverse_scale, const Clamp8&);
  // The same from c planes of `pixels` floats (plane_stride apart) to interleaved pixels of c.
  void (*quantize_planar)(size_t c, size_t pixels, size_t plane_stride, const float* x, int8_t* y,
                          float inverse_scale, const Clamp8&);
  // y = float(x - zero) * scale.
  void (*dequantize)(size_t n, const int8_t* x, float* y, float scale, int32_t zero);

  // 16-bit activations: a layer of them is two int8 layers, x = 256 * high + low + 128.
  void (*split16)(size_t n, const int16_t* x, int8_t* high, int8_t* low);
  // The sums of the two, each times its scale, to y = (high * 256 + low) + bias[i % c], rounded at
  // each step.
  void (*join16)(size_t n, size_t c, const float* high, const float* low, const float* bias,
                 const WideOutput&, void* y);
  // Output rows (of batch * out_h) [begin, end).
  void (*dwconv16)(const WideDwConv&, const int16_t* x, void* y, size_t begin, size_t end);
  // y = x * inverse_scale, clamped to int16, NaN to -32768, and rounded to nearest even.
  void (*quantize16)(size_t n, const float* x, int16_t* y, float inverse_scale);
  void (*dequantize16)(size_t n, const int16_t* x, float* y, float scale);
};

std::span<const VecS8> vec_s8_table();

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_H_
