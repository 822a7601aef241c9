// SPDX-License-Identifier: Apache-2.0
// The table of 8-bit elementwise work, pools and conversions, and its first entry: portable code
// that is the oracle of every other one.
#include "kernels/vec_s8.h"

#include <algorithm>

#include "kernels/requant.h"
#include "kernels/vec_s8_window.h"

namespace firn::kernels {
namespace {

void add(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const AddS8& p) {
  for (size_t i = 0; i < n; ++i) {
    const float from_a = static_cast<float>(a[i] - p.a_zero) * p.a_scale;
    const float from_b = static_cast<float>(b[i] - p.b_zero) * p.b_scale;
    y[i] = round_clamped(from_a + from_b, p.clamp);
  }
}

void add_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y, const AddS8& p) {
  for (size_t r = 0; r < rows; ++r) add(c, a + r * c, b, y + r * c, p);
}

void mul(size_t n, const int8_t* a, const int8_t* b, int8_t* y, const MulS8& p) {
  for (size_t i = 0; i < n; ++i)
    y[i] = requantize((a[i] - p.a_zero) * (b[i] - p.b_zero), p.scale, p.clamp);
}

void mul_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y, const MulS8& p) {
  for (size_t r = 0; r < rows; ++r) mul(c, a + r * c, b, y + r * c, p);
}

void min_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
  for (size_t i = 0; i < rows * c; ++i) y[i] = std::min(a[i], b[i % c]);
}

void max_row(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
  for (size_t i = 0; i < rows * c; ++i) y[i] = std::max(a[i], b[i % c]);
}

void lut(size_t n, const int8_t* x, int8_t* y, const int8_t* table) {
  for (size_t i = 0; i < n; ++i) y[i] = table[x[i] + 128];
}

// Channels worked on together: their sums stay in registers or the nearest cache.
constexpr size_t kBlock = 64;

void max_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
  const auto channels = static_cast<size_t>(p.shape.groups);
  for_windows(p.shape, x, y, begin, end, [&](const Window& window) {
    std::fill_n(window.output, channels, int8_t{-128});
    window.for_pixels([&](const int8_t* pixel) {
      for (size_t c = 0; c < channels; ++c) window.output[c] = std::max(window.output[c], pixel[c]);
    });
    for (size_t c = 0; c < channels; ++c)
      window.output[c] =
          static_cast<int8_t>(std::clamp<int32_t>(window.output[c], p.clamp.lo, p.clamp.hi));
  });
}

void average_pool(const PoolS8& p, const int8_t* x, int8_t* y, size_t begin, size_t end) {
  const auto channels = static_cast<size_t>(p.shape.groups);
  for_windows(p.shape, x, y, begin, end, [&](const Window& window) {
    const int32_t pixels = window.rows * window.columns;
    const int32_t count = p.count_pad ? p.shape.kernel_h * p.shape.kernel_w : std::max(1, pixels);
    for (size_t c0 = 0; c0 < channels; c0 += kBlock) {
      const size_t n = std::min(kBlock, channels - c0);
      int32_t sum[kBlock] = {};
      window.for_pixels([&](const int8_t* pixel) {
        for (size_t i = 0; i < n; ++i) sum[i] += pixel[c0 + i];
      });
      for (size_t i = 0; i < n; ++i)
        window.output[c0 + i] =
            requantize(sum[i] - pixels * p.in_zero, p.scale[count - 1], p.clamp);
    }
  });
}

void mean(size_t rows, size_t c, size_t row_stride, const int8_t* x, int8_t* y, int32_t in_zero,
          float scale, const Clamp8& clamp) {
  for (size_t c0 = 0; c0 < c; c0 += kBlock) {
    const size_t n = std::min(kBlock, c - c0);
    int32_t sum[kBlock] = {};
    for (size_t r = 0; r < rows; ++r)
      for (size_t i = 0; i < n; ++i) sum[i] += x[r * row_stride + c0 + i];
    for (size_t i = 0; i < n; ++i)
      y[c0 + i] = requantize(sum[i] - static_cast<int32_t>(rows) * in_zero, scale, clamp);
  }
}

void quantize(size_t n, const float* x, int8_t* y, float inverse_scale, const Clamp8& clamp) {
  for (size_t i = 0; i < n; ++i) y[i] = round_clamped(x[i] * inverse_scale, clamp);
}

void quantize_planar(size_t c, size_t pixels, size_t plane_stride, const float* x, int8_t* y,
                     float inverse_scale, const Clamp8& clamp) {
  for (size_t p = 0; p < pixels; ++p)
    for (size_t i = 0; i < c; ++i)
      y[p * c + i] = round_clamped(x[i * plane_stride + p] * inverse_scale, clamp);
}

void dequantize(size_t n, const int8_t* x, float* y, float scale, int32_t zero) {
  for (size_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] - zero) * scale;
}

void split16(size_t n, const int16_t* x, int8_t* high, int8_t* low) {
  for (size_t i = 0; i < n; ++i) {
    high[i] = static_cast<int8_t>(x[i] >> 8);
    low[i] = static_cast<int8_t>((x[i] & 0xff) - 128);
  }
}

// Puts y into element i of the output.
void store_wide(const WideOutput& output, float y, void* to, size_t i) {
  if (output.type == WideOutput::Type::i8) {
    static_cast<int8_t*>(to)[i] = round_clamped(y, output.clamp);
    return;
  }
  y = y > output.lo ? y : output.lo;  // as maxps(y, lo) and minps(y, hi)
  y = y < output.hi ? y : output.hi;
  if (output.type == WideOutput::Type::f32)
    static_cast<float*>(to)[i] = y;
  else
    static_cast<int16_t*>(to)[i] = static_cast<int16_t>(std::nearbyintf(y));
}

void join16(size_t n, size_t c, const float* high, const float* low, const float* bias,
            const WideOutput& output, void* y) {
  for (size_t i = 0; i < n; ++i) store_wide(output, (high[i] * 256 + low[i]) + bias[i % c], y, i);
}

void dwconv16(const WideDwConv& p, const int16_t* x, void* y, size_t begin, size_t end) {
  const ConvShape& s = p.shape;
  const auto channels = static_cast<size_t>(s.groups);
  for (size_t row = begin; row < end; ++row) {
    const int64_t image = static_cast<int64_t>(row) / s.out_h;
    const int64_t y0 = static_cast<int64_t>(row) % s.out_h * s.stride_h - s.pad_top;
    for (int32_t ox = 0; ox < s.out_w; ++ox) {
      const int64_t x0 = int64_t{ox} * s.stride_w - s.pad_left;
      for (size_t c = 0; c < channels; ++c) {
        int32_t acc = 0;
        for (int32_t tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
          const int64_t iy = y0 + int64_t{tap / s.kernel_w} * s.dilation_h;
          const int64_t ix = x0 + int64_t{tap % s.kernel_w} * s.dilation_w;
          if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
          acc += x[static_cast<size_t>((image * s.in_h + iy) * s.in_w + ix) * channels + c] *
                 p.weights[static_cast<size_t>(tap) * channels + c];
        }
        store_wide(p.output, static_cast<float>(acc) * p.scale[c] + p.bias[c], y,
                   (row * static_cast<size_t>(s.out_w) + static_cast<size_t>(ox)) * channels + c);
      }
    }
  }
}

void quantize16(size_t n, const float* x, int16_t* y, float inverse_scale) {
  WideOutput output;
  output.type = WideOutput::Type::i16;
  output.lo = -32768;
  output.hi = 32767;
  for (size_t i = 0; i < n; ++i) store_wide(output, x[i] * inverse_scale, y, i);
}

void dequantize16(size_t n, const int16_t* x, float* y, float scale) {
  for (size_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]) * scale;
}

}  // namespace

#define FIRN_VARIANT(isa) extern const VecS8 vec_s8_##isa;
#include "kernels/vec_s8.inc"
#undef FIRN_VARIANT

const VecS8 vec_s8_scalar = {
    "vec_s8_scalar", Isa::scalar, add,      add_row,      mul,        mul_row,      min_row,
    max_row,         lut,         max_pool, average_pool, mean,       quantize,     quantize_planar,
    dequantize,      split16,     join16,   dwconv16,     quantize16, dequantize16,
};

std::span<const VecS8> vec_s8_table() {
#define FIRN_VARIANT(isa) vec_s8_##isa,
  static const VecS8 table[] = {
#include "kernels/vec_s8.inc"
  };
#undef FIRN_VARIANT
  return table;
}

}  // namespace firn::kernels
