// SPDX-License-Identifier: Apache-2.0
// The table of 8-bit depthwise convolutions and its first entry: portable code that is the oracle
// of every other one.
#include "kernels/dwconv_s8.h"

#include <cstring>

#include "kernels/requant.h"

namespace firn::kernels {
namespace {

// Channels worked on together: accumulators that fit registers or the nearest cache.
constexpr size_t kBlock = 64;

size_t taps_of(const ConvShape& s) {
  return static_cast<size_t>(s.repeat) * static_cast<size_t>(s.kernel_h) *
         static_cast<size_t>(s.kernel_w);
}

// Packed: one int32 of bias per channel, then one row of channels per tap.
size_t packed_bytes(const ConvShape& s) {
  return static_cast<size_t>(s.groups) * (sizeof(int32_t) + taps_of(s));
}

void pack(const ConvShape& s, const int8_t* weights, const int32_t* bias, int32_t input_zero,
          void* packed) {
  const auto channels = static_cast<size_t>(s.groups);
  const size_t taps = taps_of(s);
  auto* out_bias = static_cast<int32_t*>(packed);
  auto* out_weights = reinterpret_cast<int8_t*>(out_bias + channels);
  for (size_t c = 0; c < channels; ++c) {
    int32_t sum = 0;
    for (size_t t = 0; t < taps; ++t) {
      const int8_t w = weights[c * taps + t];
      out_weights[t * channels + c] = w;
      sum += w;
    }
    // Unsigned: what exceeds int32 on the way wraps, and comes back in the sum of products.
    const uint32_t b = bias != nullptr ? static_cast<uint32_t>(bias[c]) : 0;
    out_bias[c] = static_cast<int32_t>(b - static_cast<uint32_t>(input_zero * sum));
  }
}

void unpack(const ConvShape& s, const void* packed, int8_t* weights) {
  const auto channels = static_cast<size_t>(s.groups);
  const size_t taps = taps_of(s);
  const auto* from =
      reinterpret_cast<const int8_t*>(static_cast<const int32_t*>(packed) + channels);
  for (size_t c = 0; c < channels; ++c)
    for (size_t t = 0; t < taps; ++t) weights[c * taps + t] = from[t * channels + c];
}

size_t units(const ConvShape& s) {
  return static_cast<size_t>(s.batch) * static_cast<size_t>(s.out_h);
}

// One output row per unit.
void run_rows(const ConvShape& s, const ConvS8Args& args, size_t begin, size_t end) {
  const auto channels = static_cast<size_t>(s.groups);
  const auto* bias = static_cast<const int32_t*>(args.packed);
  const auto* weights = reinterpret_cast<const int8_t*>(bias + channels);
  const auto out_h = static_cast<size_t>(s.out_h), out_w = static_cast<size_t>(s.out_w);
  const auto in_pixels = static_cast<size_t>(s.in_h) * static_cast<size_t>(s.in_w);
  const auto in_stride = static_cast<size_t>(s.in_pixel_stride);
  for (size_t unit = begin; unit < end; ++unit) {
    const int8_t* image = args.input + unit / out_h * in_pixels * in_stride;
    const int32_t y0 = static_cast<int32_t>(unit % out_h) * s.stride_h - s.pad_top;
    for (size_t x = 0; x < out_w; ++x) {
      int8_t* out = static_cast<int8_t*>(args.output) +
                    (unit * out_w + x) * static_cast<size_t>(s.out_pixel_stride);
      const int32_t x0 = static_cast<int32_t>(x) * s.stride_w - s.pad_left;
      for (size_t c0 = 0; c0 < channels; c0 += kBlock) {
        const size_t n = channels - c0 < kBlock ? channels - c0 : kBlock;
        uint32_t acc[kBlock];
        std::memcpy(acc, bias + c0, n * sizeof(uint32_t));
        const int8_t* w = weights + c0;
        for (int32_t row = 0; row < s.kernel_h * s.repeat; ++row) {
          const int32_t iy = y0 + row % s.kernel_h * s.dilation_h;
          for (int32_t kx = 0; kx < s.kernel_w; ++kx, w += channels) {
            const int32_t ix = x0 + kx * s.dilation_w;
            const bool inside = iy >= 0 && iy < s.in_h && ix >= 0 && ix < s.in_w;
            const int8_t* in =
                inside ? image + (static_cast<size_t>(iy) * static_cast<size_t>(s.in_w) +
                                  static_cast<size_t>(ix)) *
                                     in_stride
                       : args.zero_row;
            for (size_t i = 0; i < n; ++i) acc[i] += static_cast<uint32_t>(in[c0 + i] * w[i]);
          }
        }
        for (size_t i = 0; i < n; ++i)
          out[c0 + i] = requantize(static_cast<int32_t>(acc[i]), args.scale[c0 + i], args.clamp);
      }
    }
  }
}

void run(const ConvShape& s, const ConvS8Args& args, void*, Units& units) {
  do run_rows(s, args, units.begin, units.end);
  while (units.next());
}

}  // namespace

#define FIRN_VARIANT(isa) extern const DwConvS8 dwconv_s8_##isa;
#include "kernels/dwconv_s8.inc"
#undef FIRN_VARIANT

const DwConvS8 dwconv_s8_scalar = {"dwconv_s8_scalar",
                                   Isa::scalar,
                                   packed_bytes,
                                   pack,
                                   unpack,
                                   units,
                                   [](const ConvShape&) { return size_t{0}; },
                                   run};

std::span<const DwConvS8> dwconv_s8_table() {
#define FIRN_VARIANT(isa) dwconv_s8_##isa,
  static const DwConvS8 table[] = {
#include "kernels/dwconv_s8.inc"
  };
#undef FIRN_VARIANT
  return table;
}

}  // namespace firn::kernels
