// SPDX-License-Identifier: Apache-2.0
// A problem for int8 convolutions: its data, a plain reference's answer, and the comparison of a
// variant with it.
#ifndef FIRN_TEST_KERNELS_CONV_PROBLEM_H_
#define FIRN_TEST_KERNELS_CONV_PROBLEM_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/gemm_s8.h"
#include "test/kernels/fill.h"

namespace firn::test {

using namespace firn::kernels;

inline std::string describe(const ConvShape& s) {
  std::ostringstream out;
  out << "batch " << s.batch << " in " << s.in_h << "x" << s.in_w << "x" << s.in_c << " out "
      << s.out_h << "x" << s.out_w << "x" << s.out_c << " groups " << s.groups << " kernel "
      << s.kernel_h << "x" << s.kernel_w << " stride " << s.stride_h << "x" << s.stride_w
      << " dilation " << s.dilation_h << "x" << s.dilation_w << " pad " << s.pad_top << ","
      << s.pad_left << " pixel strides " << s.in_pixel_stride << "," << s.out_pixel_stride;
  return out.str();
}

inline ConvShape product(int m, int k, int n) {
  ConvShape s;
  s.in_w = s.out_w = m;
  s.in_c = s.in_pixel_stride = k;
  s.out_c = s.out_pixel_stride = n;
  return s;
}

// A convolution over a square of `size` pixels, padded by `pad` on all sides.
inline ConvShape convolution(int size, int in_c, int out_c, int kernel, int stride, int pad,
                             int groups = 1, int dilation = 1) {
  ConvShape s;
  s.in_h = s.in_w = size;
  s.in_c = in_c;
  s.out_c = out_c;
  s.groups = groups;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.dilation_h = s.dilation_w = dilation;
  s.pad_top = s.pad_left = pad;
  s.out_h = s.out_w = (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  s.in_pixel_stride = groups * in_c;
  s.out_pixel_stride = groups * out_c;
  return s;
}

struct Case {
  ConvShape shape;
  Fill fill = Fill::random;
  uint64_t seed = 1;
  int32_t input_zero = 0;
  Clamp8 clamp = {};
  bool to_float = false;
  bool bias = true;
  int32_t least_weight = -127;
  bool huge_scale = false;  // products overflow int32: the clamp must come first
  bool repeat_few = false;  // few channels have weights beyond the first time
};

// One problem: its data and the reference's answer.
struct Problem {
  Case c;
  Guarded<int8_t> input, zero_row, plus_128, zero_row_plus_128, weights;
  Guarded<int32_t> bias;
  Guarded<float> scale;
  std::vector<int32_t> acc;

  static size_t pixels_in(const ConvShape& s) { return size_t(s.batch) * s.in_h * s.in_w; }
  static size_t pixels_out(const ConvShape& s) { return size_t(s.batch) * s.out_h * s.out_w; }

  explicit Problem(const Case& from)
      : c(from),
        input(pixels_in(c.shape) * c.shape.in_pixel_stride),
        zero_row(size_t(c.shape.groups) * c.shape.in_c + kReadSlack),
        plus_128(input.size()),
        zero_row_plus_128(zero_row.size()),
        weights(size_t(c.shape.groups) * c.shape.out_c * c.shape.repeat * c.shape.kernel_h *
                c.shape.kernel_w * c.shape.in_c),
        bias(size_t(c.shape.groups) * c.shape.out_c),
        scale(bias.size()) {
    fill(input.span(), c.fill, c.seed);
    fill<int8_t>(weights.span(), c.fill, c.seed + 1, c.least_weight, 127);
    if (c.repeat_few)
      clear_repeated(weights.span(), c.shape.groups * c.shape.out_c, c.shape.repeat);
    fill<int32_t>(bias.span(), Fill::random, c.seed + 2, -100000, 100000);
    // Most results within int8's range, some beyond.
    const float spread =
        127.0f / (74.0f * 74.0f * std::sqrt(float(weights.size()) / float(bias.size())));
    fill(scale.span(), Fill::random, c.seed + 3, 0.2f * spread, 3.0f * spread);
    if (c.huge_scale) std::fill_n(scale.data(), scale.size(), 1e7f);
    std::fill_n(zero_row.data(), zero_row.size(), int8_t(c.input_zero));
    make_unsigned();
    reference();
  }

  void make_unsigned() {
    for (size_t i = 0; i < input.size(); ++i) plus_128[i] = int8_t(input[i] + 128);
    for (size_t i = 0; i < zero_row.size(); ++i) zero_row_plus_128[i] = int8_t(zero_row[i] + 128);
  }

  void reference() {
    const ConvShape& s = c.shape;
    for (int b = 0; b < s.batch; ++b)
      for (int oy = 0; oy < s.out_h; ++oy)
        for (int ox = 0; ox < s.out_w; ++ox)
          for (int n = 0; n < s.groups * s.out_c; ++n) acc.push_back(cell(b, oy, ox, n));
  }

  int32_t cell(int b, int oy, int ox, int n) const {
    const ConvShape& s = c.shape;
    int32_t sum = c.bias ? bias[n] : 0;
    for (int row = 0; row < s.repeat * s.kernel_h; ++row) {
      const int ky = row % s.kernel_h;
      for (int kx = 0; kx < s.kernel_w; ++kx) {
        const int y = oy * s.stride_h - s.pad_top + ky * s.dilation_h;
        const int x = ox * s.stride_w - s.pad_left + kx * s.dilation_w;
        if (y < 0 || y >= s.in_h || x < 0 || x >= s.in_w) continue;
        const int8_t* a = input.data() +
                          ((size_t(b) * s.in_h + y) * s.in_w + x) * s.in_pixel_stride +
                          n / s.out_c * s.in_c;
        const int8_t* w =
            weights.data() + ((size_t(n) * s.repeat * s.kernel_h + row) * s.kernel_w + kx) * s.in_c;
        for (int k = 0; k < s.in_c; ++k) sum += (a[k] - c.input_zero) * w[k];
      }
    }
    return sum;
  }

  // The output as the variant has to leave it, gaps between pixels untouched.
  template <typename T, typename Finish>
  Guarded<T> want(Finish finish) const {
    const ConvShape& s = c.shape;
    const size_t channels = size_t(s.groups) * s.out_c;
    Guarded<T> out(pixels_out(s) * s.out_pixel_stride);
    for (size_t p = 0; p < pixels_out(s); ++p)
      for (size_t n = 0; n < channels; ++n)
        out[p * s.out_pixel_stride + n] = finish(acc[p * channels + n], scale[n]);
    return out;
  }

  // How bytes are on their way in and out.
  struct Form {
    Clamp8 clamp;
    bool unsigned_input = false, unsigned_output = false;
  };

  ConvS8Args args(const void* packed, void* output, const Form& form) const {
    ConvS8Args a;
    a.input = form.unsigned_input ? plus_128.data() : input.data();
    a.zero_row = form.unsigned_input ? zero_row_plus_128.data() : zero_row.data();
    a.unsigned_input = form.unsigned_input;
    a.unsigned_output = form.unsigned_output;
    a.packed = packed;
    a.scale = scale.data();
    a.clamp = form.clamp;
    a.output = output;
    a.to_float = c.to_float;
    a.float_lo = -20;
    a.float_hi = 90;
    a.ahead = std::as_bytes(weights.span());
    return a;
  }

  // run(args, units) computes units of the variant.
  template <typename T, typename Variant, typename Run>
  void compare(const Variant& variant, const Guarded<T>& want, const Form& form, Run run) const {
    const ConvShape& s = c.shape;
    Guarded<uint8_t> packed(variant.packed_bytes(s));
    variant.pack(s, weights.data(), c.bias ? bias.data() : nullptr, c.input_zero, packed.data());
    REQUIRE(packed.intact());
    Guarded<int8_t> unpacked(weights.size());
    variant.unpack(s, packed.data(), unpacked.data());
    CHECK(unpacked.intact());
    CHECK(difference<int8_t>(unpacked.span(), weights.span(), 16) == "");
    const void* float_sums = nullptr;
    std::optional<Guarded<uint8_t>> found;
    if constexpr (requires { variant.float_sums; }) {
      found.emplace(variant.float_sums_bytes(s));
      if (!c.to_float &&
          variant.float_sums(s, packed.data(), scale.data(), form.clamp, found->data()))
        float_sums = found->data();
      CHECK(found->intact());
    }
    INFO("float sums ", float_sums != nullptr);
    const size_t units = variant.units(s);
    REQUIRE(units > 0);
    // All at once, without float sums and with them; one by one backwards, in uneven pieces, and
    // those in a call each.
    struct Pass {
      size_t piece;
      const void* float_sums;
    };
    std::vector<Pass> passes = {{units, nullptr}};
    if (float_sums != nullptr) passes.push_back({units, float_sums});
    if (units > 1)
      for (const size_t piece : {1, 3, 0}) passes.push_back({piece, float_sums});
    for (const auto& [piece, sums] : passes) {
      Guarded<T> got(want.size());
      ConvS8Args a = args(packed.data(), got.data(), form);
      a.float_sums = sums;
      if (piece > 0) {
        Backwards ranges(units, piece);
        run(a, ranges);
      }
      for (size_t end = piece > 0 ? 0 : units; end > 0;) {
        Units range(end - std::min(end, size_t{3}), end);
        end = range.begin;
        run(a, range);
      }
      CHECK(difference<T>(got.span(), want.span(), s.out_pixel_stride) == "");
      CHECK(got.intact());
    }
  }

  template <typename Variant, typename Run>
  void check(const Variant& variant, Run run) const {
    INFO(describe(c.shape), " fill ", fill_name(c.fill), " seed ", c.seed, " input zero ",
         c.input_zero, " float ", c.to_float, " ", variant.name);
    if (c.to_float) {
      const auto as_float = [](int32_t a, float m) {
        return std::min(std::max(static_cast<float>(a) * m, -20.0f), 90.0f);
      };
      compare(variant, want<float>(as_float), {}, run);
      return;
    }
    // Behind ReLU there are other ways to int8.
    for (const Clamp8& clamp : {c.clamp, Clamp8{-128, -128, c.clamp.hi}}) {
      INFO("clamp ", clamp.zero, " [", clamp.lo, ", ", clamp.hi, "]");
      const auto as_int8 = [&](int32_t a, float m) { return requantize(a, m, clamp); };
      compare(variant, want<int8_t>(as_int8), {clamp}, run);
      if constexpr (requires { variant.writes_unsigned; }) {
        const bool in = variant.reads_unsigned(c.shape), out = variant.writes_unsigned;
        INFO("unsigned input ", in, " output ", out);
        const auto as_bytes = [&](int32_t a, float m) {
          return static_cast<int8_t>(requantize(a, m, clamp) + (out ? 128 : 0));
        };
        if (in || out) compare(variant, want<int8_t>(as_bytes), {clamp, in, out}, run);
      }
    }
  }
};

}  // namespace firn::test

#endif  // FIRN_TEST_KERNELS_CONV_PROBLEM_H_
