// SPDX-License-Identifier: Apache-2.0
// 16-bit activations: to the halves that int8 kernels multiply and back, depthwise products.
// Internal to the files of the ISAs, see vec_s8_lanes.h.
#ifndef FIRN_KERNELS_VEC_S8_WIDE_H_
#define FIRN_KERNELS_VEC_S8_WIDE_H_

#include "kernels/vec_s8_lanes.h"

namespace firn::kernels {
namespace {

template <class V>
struct VecWide {
  using Lanes = VecLanes<V>;
  using Int = typename V::Int;
  using Float = typename V::Float;
  using Floats = typename Lanes::Floats;
  using Narrow = typename Lanes::Narrow;
  using Type = WideOutput::Type;
  static constexpr size_t kBytes = V::kBytes, kFloats = Lanes::kFloats, kWords = kBytes / 2;
  static_assert(kBytes <= kWideSlack);

  static Int load_words(const int16_t* p) { return V::load(reinterpret_cast<const int8_t*>(p)); }
  static void store_words(int16_t* p, Int x) { V::store(reinterpret_cast<int8_t*>(p), x); }

  static void split_block(const int16_t* x, Int& high, Int& low) {
    const Int a = load_words(x), b = load_words(x + kWords);
    high = V::unpacked2(V::packs16(V::high16(a), V::high16(b)));
    low = V::flip(V::unpacked2(V::packs16(V::low16(a), V::low16(b))));
  }

  static void split16(size_t n, const int16_t* x, int8_t* high, int8_t* low) {
    size_t i = 0;
    Int h, l;
    for (; i + kBytes <= n; i += kBytes) {
      split_block(x + i, h, l);
      V::store(high + i, h);
      V::store(low + i, l);
    }
    if (i == n) return;
    int16_t rest[kBytes] = {};
    memcpy(rest, x + i, (n - i) * sizeof(int16_t));
    split_block(rest, h, l);
    V::store(high + i, h, n - i);
    V::store(low + i, l, n - i);
  }

  struct Limits {
    Float lo, hi;
    Narrow narrow;
    explicit Limits(const WideOutput& output)
        : lo(V::set(output.lo)), hi(V::set(output.hi)), narrow(output.clamp) {}
    Float clamped(Float x) const { return V::min(V::max(x, lo), hi); }
    Int words(Float a, Float b) const {
      return V::packs32(V::round(clamped(a)), V::round(clamped(b)));
    }
  };

  // What one vector of outputs takes of sums.
  static constexpr size_t block_of(Type type) {
    return type == Type::f32 ? kFloats : type == Type::i16 ? kWords : kBytes;
  }
  static constexpr size_t bytes_of(Type type) {
    return type == Type::f32 ? 4 : type == Type::i16 ? 2 : 1;
  }

  template <Type kType>
  static Int join_block(const float* high, const float* low, const float* bias,
                        const Limits& limits) {
    Floats y;
    for (size_t j = 0; j < block_of(kType) / kFloats; ++j) {
      const Float h = V::mul(V::load_floats(high + j * kFloats), V::set(256));
      y.v[j] =
          V::add(V::add(h, V::load_floats(low + j * kFloats)), V::load_floats(bias + j * kFloats));
    }
    if constexpr (kType == Type::f32) return V::as_int(limits.clamped(y.v[0]));
    if constexpr (kType == Type::i16) return V::unpacked2(limits.words(y.v[0], y.v[1]));
    if constexpr (kType == Type::i8) return V::unpacked(limits.narrow.template bytes<false>(y));
  }

  template <Type kType>
  static void join(size_t n, size_t c, const float* high, const float* low, const float* bias,
                   const WideOutput& output, int8_t* y) {
    constexpr size_t kBlock = block_of(kType), kSize = bytes_of(kType);
    const Limits limits(output);
    const size_t step = kBlock % c;
    size_t i = 0, at = 0;  // at = i % c
    for (; i + kBlock <= n; i += kBlock) {
      V::store(y + i * kSize, join_block<kType>(high + i, low + i, bias + at, limits));
      at += step;
      if (at >= c) at -= c;
    }
    if (i == n) return;
    float rest_high[kBlock] = {}, rest_low[kBlock] = {};
    memcpy(rest_high, high + i, (n - i) * sizeof(float));
    memcpy(rest_low, low + i, (n - i) * sizeof(float));
    V::store(y + i * kSize, join_block<kType>(rest_high, rest_low, bias + at, limits),
             (n - i) * kSize);
  }

  static void join16(size_t n, size_t c, const float* high, const float* low, const float* bias,
                     const WideOutput& output, void* y) {
    auto* to = static_cast<int8_t*>(y);
    switch (output.type) {
      case Type::f32:
        return join<Type::f32>(n, c, high, low, bias, output, to);
      case Type::i16:
        return join<Type::i16>(n, c, high, low, bias, output, to);
      case Type::i8:
        return join<Type::i8>(n, c, high, low, bias, output, to);
    }
  }

  static void quantize16(size_t n, const float* x, int16_t* y, float inverse_scale) {
    WideOutput output;
    output.lo = -32768;
    output.hi = 32767;
    const Limits limits(output);
    const Float scale = V::set(inverse_scale);
    const auto block = [&](const float* from) {
      return V::unpacked2(limits.words(V::mul(V::load_floats(from), scale),
                                       V::mul(V::load_floats(from + kFloats), scale)));
    };
    size_t i = 0;
    for (; i + kWords <= n; i += kWords) store_words(y + i, block(x + i));
    if (i == n) return;
    float rest[kWords] = {};
    memcpy(rest, x + i, (n - i) * sizeof(float));
    V::store(reinterpret_cast<int8_t*>(y + i), block(rest), (n - i) * sizeof(int16_t));
  }

  static void dequantize16(size_t n, const int16_t* x, float* y, float scale) {
    const Float scales = V::set(scale);
    size_t i = 0;
    for (; i + kFloats <= n; i += kFloats)
      V::store_floats(y + i, V::mul(V::to_float(V::load_widened(x + i)), scales));
    for (; i < n; ++i) y[i] = static_cast<float>(x[i]) * scale;
  }

  // Numbers of kWords channels in the order that their products come in: of each eight the first
  // four, and the last four.
  struct Halves {
    Float first, last;
    explicit Halves(const float* p) {
      float a[kFloats], b[kFloats];
      for (size_t i = 0; i < kFloats; i += 4) {
        memcpy(a + i, p + 2 * i, 4 * sizeof(float));
        memcpy(b + i, p + 2 * i + 4, 4 * sizeof(float));
      }
      first = V::load_floats(a);
      last = V::load_floats(b);
    }
  };

  template <Type kType>
  static void put(const Limits& limits, Float first, Float last, int8_t* y) {
    if constexpr (kType == Type::f32) {
      float a[kFloats], b[kFloats];
      V::store_floats(a, limits.clamped(first));
      V::store_floats(b, limits.clamped(last));
      for (size_t i = 0; i < kFloats; i += 4) {
        memcpy(y + 2 * i * sizeof(float), a + i, 4 * sizeof(float));
        memcpy(y + (2 * i + 4) * sizeof(float), b + i, 4 * sizeof(float));
      }
    } else if constexpr (kType == Type::i16) {
      V::store(y, limits.words(first, last));
    } else {
      const Int bytes = limits.narrow.template bytes<false>({{first, last, first, last}});
      V::store(y, V::unpacked2(bytes), kWords);
    }
  }

  static constexpr size_t kPointers = 1024;  // to the inputs of some pixels' taps

  // The weights of kWords channels, two taps together.
  template <size_t kMost>
  struct Weights {
    Int first[kMost], last[kMost];
    Weights(const WideDwConv& p, size_t pairs, size_t c0) {
      const auto channels = static_cast<size_t>(p.shape.groups);
      for (size_t t = 0; t < pairs; ++t) {
        const int16_t* w = p.weights + 2 * t * channels + c0;
        const Int a = load_words(w), b = load_words(w + channels);
        first[t] = V::unpacklo16(a, b);
        last[t] = V::unpackhi16(a, b);
      }
    }
  };

  // Sums of kWords channels.
  struct Sums {
    Int first = V::set32(0), last = V::set32(0);
    void add(Int a, Int b, Int w_first, Int w_last) {
      first = V::madd16(first, V::unpacklo16(a, b), w_first);
      last = V::madd16(last, V::unpackhi16(a, b), w_last);
    }
    template <Type kType>
    void put(const Limits& limits, const Halves& scale, const Halves& bias, int8_t* y) const {
      VecWide::put<kType>(limits, V::add(V::mul(V::to_float(first), scale.first), bias.first),
                          V::add(V::mul(V::to_float(last), scale.last), bias.last), y);
    }
  };

  // `pixels` whose windows of kHeight x kWidth lie between the image's left and right, kWords
  // channels of each. rows: of the first window; zeros above and below the image, which do not
  // move on.
  template <Type kType, int kHeight, int kWidth>
  static void dw_inside(const WideDwConv& p, size_t c0, const int16_t* const* rows,
                        const ptrdiff_t* row_steps, size_t pixels, int8_t* y) {
    constexpr int kTaps = kHeight * kWidth, kPairs = (kTaps + 1) / 2;
    const auto channels = static_cast<size_t>(p.shape.groups);
    const ptrdiff_t apart = static_cast<ptrdiff_t>(p.shape.dilation_w) * p.shape.groups;
    const Weights<kPairs> weights(p, kPairs, c0);
    const Halves scale(p.scale + c0), bias(p.bias + c0);
    const Limits limits(p.output);
    const int16_t* row[kHeight];
    for (int i = 0; i < kHeight; ++i) row[i] = rows[i] + c0;
    y += c0 * bytes_of(kType);
    for (size_t x = 0; x < pixels; ++x, y += channels * bytes_of(kType)) {
      Sums sums;
#pragma GCC unroll 16
      for (int t = 0; t < kPairs; ++t) {
        const int i = 2 * t, j = 2 * t + 1 < kTaps ? 2 * t + 1 : i;  // the weight of none is 0
        sums.add(load_words(row[i / kWidth] + i % kWidth * apart),
                 load_words(row[j / kWidth] + j % kWidth * apart), weights.first[t],
                 weights.last[t]);
      }
      for (int i = 0; i < kHeight; ++i) row[i] += row_steps[i];
      sums.template put<kType>(limits, scale, bias, y);
    }
  }

  // The same of any window, and at the edges: by pointers to the inputs of every tap.
  template <Type kType>
  static void dw_anywhere(const WideDwConv& p, size_t pairs, size_t c0, const int16_t* const* taps,
                          size_t pixels, int8_t* y) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    const Weights<kMostWideTaps / 2> weights(p, pairs, c0);
    const Halves scale(p.scale + c0), bias(p.bias + c0);
    const Limits limits(p.output);
    for (size_t x = 0; x < pixels; ++x, taps += 2 * pairs) {
      Sums sums;
      for (size_t t = 0; t < pairs; ++t)
        sums.add(load_words(taps[2 * t] + c0), load_words(taps[2 * t + 1] + c0), weights.first[t],
                 weights.last[t]);
      sums.template put<kType>(limits, scale, bias, y + (x * channels + c0) * bytes_of(kType));
    }
  }

  // The same of fewer channels than kWords.
  template <Type kType>
  static void dw_few(const WideDwConv& p, size_t pairs, const int16_t* const* taps, size_t pixels,
                     int8_t* y) {
    const auto channels = static_cast<size_t>(p.shape.groups);
    float scale[kWords] = {}, bias[kWords] = {};
    memcpy(scale, p.scale, channels * sizeof(float));
    memcpy(bias, p.bias, channels * sizeof(float));
    const Halves scales(scale), biases(bias);
    const Limits limits(p.output);
    for (size_t x = 0; x < pixels; ++x, taps += 2 * pairs) {
      Sums sums;
      for (size_t t = 0; t < pairs; ++t) {
        int16_t in[2][kWords] = {}, w[2][kWords] = {};
        for (size_t i = 0; i < 2; ++i) {
          memcpy(in[i], taps[2 * t + i], channels * sizeof(int16_t));
          memcpy(w[i], p.weights + (2 * t + i) * channels, channels * sizeof(int16_t));
        }
        const Int a = load_words(w[0]), b = load_words(w[1]);
        sums.add(load_words(in[0]), load_words(in[1]), V::unpacklo16(a, b), V::unpackhi16(a, b));
      }
      int8_t all[kWords * 4];
      sums.template put<kType>(limits, scales, biases, all);
      memcpy(y + x * channels * bytes_of(kType), all, channels * bytes_of(kType));
    }
  }

  // Calls fn with the first of kWords channels; the last block reaches back into the one before.
  template <typename F>
  static void for_blocks(size_t channels, const F& fn) {
    for (size_t c = 0; c < channels; c += kWords)
      fn(c + kWords <= channels ? c : channels - kWords);
  }

  // Where a row's windows lie.
  struct DwRow {
    const WideDwConv& p;
    const int16_t* image;
    int32_t top;  // of the windows

    const int16_t* at(int32_t y, int32_t x) const {
      const ConvShape& s = p.shape;
      const bool inside = y >= 0 && y < s.in_h && x >= 0 && x < s.in_w;
      return inside ? image + (static_cast<ptrdiff_t>(y) * s.in_w + x) * s.groups : p.zeros;
    }
  };

  // Pixels [begin, end) of a row, by pointers.
  template <Type kType>
  static void dw_by_pointers(const DwRow& row, size_t begin, size_t end, int8_t* y) {
    const ConvShape& s = row.p.shape;
    const auto channels = static_cast<size_t>(s.groups);
    const size_t taps = static_cast<size_t>(s.kernel_h) * static_cast<size_t>(s.kernel_w);
    const size_t pairs = (taps + 1) / 2, together = kPointers / (2 * pairs);
    const int16_t* pointer[kPointers];
    for (size_t x = begin; x < end; x += together) {
      const size_t pixels = end - x < together ? end - x : together;
      const int16_t** to = pointer;
      for (size_t i = 0; i < pixels; ++i) {
        const int32_t left = static_cast<int32_t>(x + i) * s.stride_w - s.pad_left;
        for (int32_t ky = 0; ky < s.kernel_h; ++ky)
          for (int32_t kx = 0; kx < s.kernel_w; ++kx)
            *to++ = row.at(row.top + ky * s.dilation_h, left + kx * s.dilation_w);
        if (taps % 2 != 0) *to++ = row.p.zeros;
      }
      int8_t* out = y + x * channels * bytes_of(kType);
      if (channels < kWords) {
        dw_few<kType>(row.p, pairs, pointer, pixels, out);
      } else {
        for_blocks(channels,
                   [&](size_t c0) { dw_anywhere<kType>(row.p, pairs, c0, pointer, pixels, out); });
      }
    }
  }

  template <Type kType, int kHeight, int kWidth>
  static void dw_row_inside(const DwRow& row, size_t begin, size_t end, int8_t* y) {
    const ConvShape& s = row.p.shape;
    const auto channels = static_cast<size_t>(s.groups);
    const int32_t left = static_cast<int32_t>(begin) * s.stride_w - s.pad_left;
    const int16_t* rows[kHeight];
    ptrdiff_t steps[kHeight];
    for (int i = 0; i < kHeight; ++i) {
      rows[i] = row.at(row.top + i * s.dilation_h, left);
      steps[i] = rows[i] == row.p.zeros ? 0 : static_cast<ptrdiff_t>(s.stride_w) * s.groups;
    }
    for_blocks(channels, [&](size_t c0) {
      dw_inside<kType, kHeight, kWidth>(row.p, c0, rows, steps, end - begin,
                                        y + begin * channels * bytes_of(kType));
    });
  }

  template <Type kType>
  static void dw_rows(const WideDwConv& p, const int16_t* x, int8_t* y, size_t begin, size_t end) {
    const ConvShape& s = p.shape;
    const auto channels = static_cast<size_t>(s.groups), out_w = static_cast<size_t>(s.out_w);
    const bool three = s.kernel_h == 3 && s.kernel_w == 3;
    const bool five = s.kernel_h == 5 && s.kernel_w == 5;
    // Pixels whose windows lie between left and right.
    size_t first = 0, last = 0;
    if ((three || five) && channels >= kWords) {
      first = static_cast<size_t>((s.pad_left + s.stride_w - 1) / s.stride_w);
      const int64_t room =
          int64_t{s.in_w} - 1 - int64_t{s.kernel_w - 1} * s.dilation_w + s.pad_left;
      last = room < 0 ? 0 : static_cast<size_t>(room / s.stride_w) + 1;
      if (last > out_w) last = out_w;
      if (first > last) first = last = 0;
    }
    for (size_t i = begin; i < end; ++i) {
      const size_t image = i / static_cast<size_t>(s.out_h);
      const DwRow row{
          p, x + image * static_cast<size_t>(s.in_h) * static_cast<size_t>(s.in_w) * channels,
          static_cast<int32_t>(i % static_cast<size_t>(s.out_h)) * s.stride_h - s.pad_top};
      int8_t* out = y + i * out_w * channels * bytes_of(kType);
      dw_by_pointers<kType>(row, 0, first, out);
      if (first < last && three) dw_row_inside<kType, 3, 3>(row, first, last, out);
      if (first < last && five) dw_row_inside<kType, 5, 5>(row, first, last, out);
      dw_by_pointers<kType>(row, last, out_w, out);
    }
  }

  static void dwconv16(const WideDwConv& p, const int16_t* x, void* y, size_t begin, size_t end) {
    auto* to = static_cast<int8_t*>(y);
    switch (p.output.type) {
      case Type::f32:
        return dw_rows<Type::f32>(p, x, to, begin, end);
      case Type::i16:
        return dw_rows<Type::i16>(p, x, to, begin, end);
      case Type::i8:
        return dw_rows<Type::i8>(p, x, to, begin, end);
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_S8_WIDE_H_
