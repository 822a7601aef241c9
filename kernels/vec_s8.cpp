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

}  // namespace

#define FIRN_VARIANT(isa) extern const VecS8 vec_s8_##isa;
#include "kernels/vec_s8.inc"
#undef FIRN_VARIANT

const VecS8 vec_s8_scalar = {
    "vec_s8_scalar", Isa::scalar, add,      add_row,         mul,        mul_row, lut, max_pool,
    average_pool,    mean,        quantize, quantize_planar, dequantize,
};

std::span<const VecS8> vec_s8_table() {
#define FIRN_VARIANT(isa) vec_s8_##isa,
  static const VecS8 table[] = {
#include "kernels/vec_s8.inc"
  };
#undef FIRN_VARIANT
  return table;
}

void min_s8(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
  for (size_t r = 0; r < rows; ++r, a += c, y += c)
    for (size_t i = 0; i < c; ++i) y[i] = a[i] < b[i] ? a[i] : b[i];
}

void max_s8(size_t rows, size_t c, const int8_t* a, const int8_t* b, int8_t* y) {
  for (size_t r = 0; r < rows; ++r, a += c, y += c)
    for (size_t i = 0; i < c; ++i) y[i] = a[i] > b[i] ? a[i] : b[i];
}

}  // namespace firn::kernels
