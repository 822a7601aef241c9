// SPDX-License-Identifier: Apache-2.0
// Every variant of the int8 convolution against a plain reference, over shapes chosen by rule and
// adversarial contents.
#include "kernels/gemm_s8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "test/kernels/fill.h"

namespace {

using namespace firn;
using namespace firn::kernels;
using namespace firn::test;

std::string describe(const ConvShape& s) {
  std::ostringstream out;
  out << "batch " << s.batch << " in " << s.in_h << "x" << s.in_w << "x" << s.in_c << " out "
      << s.out_h << "x" << s.out_w << "x" << s.out_c << " groups " << s.groups << " kernel "
      << s.kernel_h << "x" << s.kernel_w << " stride " << s.stride_h << "x" << s.stride_w
      << " dilation " << s.dilation_h << "x" << s.dilation_w << " pad " << s.pad_top << ","
      << s.pad_left << " pixel strides " << s.in_pixel_stride << "," << s.out_pixel_stride;
  return out.str();
}

ConvShape product(int m, int k, int n) {
  ConvShape s;
  s.in_w = s.out_w = m;
  s.in_c = s.in_pixel_stride = k;
  s.out_c = s.out_pixel_stride = n;
  return s;
}

// A convolution over a square of `size` pixels, padded by `pad` on all sides.
ConvShape convolution(int size, int in_c, int out_c, int kernel, int stride, int pad,
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
  bool huge_scale = false;  // products overflow int32: the clamp must come first
};

// One problem: its data and the reference's answer.
struct Problem {
  Case c;
  Guarded<int8_t> input, zero_row, weights;
  Guarded<int32_t> bias;
  Guarded<float> scale;
  std::vector<int32_t> acc;

  static size_t pixels_in(const ConvShape& s) { return size_t(s.batch) * s.in_h * s.in_w; }
  static size_t pixels_out(const ConvShape& s) { return size_t(s.batch) * s.out_h * s.out_w; }

  explicit Problem(const Case& from)
      : c(from),
        input(pixels_in(c.shape) * c.shape.in_pixel_stride),
        zero_row(size_t(c.shape.groups) * c.shape.in_c + kReadSlack),
        weights(size_t(c.shape.groups) * c.shape.out_c * c.shape.repeat * c.shape.kernel_h *
                c.shape.kernel_w * c.shape.in_c),
        bias(size_t(c.shape.groups) * c.shape.out_c),
        scale(bias.size()) {
    fill(input.span(), c.fill, c.seed);
    fill<int8_t>(weights.span(), c.fill, c.seed + 1, -127, 127);
    fill<int32_t>(bias.span(), Fill::random, c.seed + 2, -100000, 100000);
    // Most results within int8's range, some beyond.
    const float spread =
        127.0f / (74.0f * 74.0f * std::sqrt(float(weights.size()) / float(bias.size())));
    fill(scale.span(), Fill::random, c.seed + 3, 0.2f * spread, 3.0f * spread);
    if (c.huge_scale) std::fill_n(scale.data(), scale.size(), 1e7f);
    std::fill_n(zero_row.data(), zero_row.size(), int8_t(c.input_zero));
    reference();
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

  ConvS8Args args(const void* packed, void* output) const {
    ConvS8Args a;
    a.input = input.data();
    a.zero_row = zero_row.data();
    a.packed = packed;
    a.scale = scale.data();
    a.clamp = c.clamp;
    a.output = output;
    a.to_float = c.to_float;
    a.float_lo = -20;
    a.float_hi = 90;
    return a;
  }

  template <typename T>
  void compare(const GemmS8& variant, const Guarded<T>& want) const {
    const ConvShape& s = c.shape;
    Guarded<uint8_t> packed(variant.packed_bytes(s));
    variant.pack(s, weights.data(), c.bias ? bias.data() : nullptr, c.input_zero, packed.data());
    REQUIRE(packed.intact());
    const size_t units = variant.units(s);
    REQUIRE(units > 0);
    // All at once, one by one backwards, and in uneven pieces.
    for (const size_t piece : {units, size_t{1}, size_t{3}}) {
      Guarded<T> got(want.size());
      for (size_t end = units; end > 0; end -= std::min(end, piece))
        variant.run(s, args(packed.data(), got.data()), end - std::min(end, piece), end);
      CHECK(difference<T>(got.span(), want.span(), s.out_pixel_stride) == "");
      CHECK(got.intact());
      if (units == 1) break;
    }
  }

  void check() const {
    INFO(describe(c.shape), " fill ", fill_name(c.fill), " seed ", c.seed, " input zero ",
         c.input_zero, " clamp ", c.clamp.zero, " [", c.clamp.lo, ", ", c.clamp.hi, "] float ",
         c.to_float);
    const auto as_int8 = [this](int32_t a, float m) { return requantize(a, m, c.clamp); };
    const auto as_float = [](int32_t a, float m) {
      return std::min(std::max(static_cast<float>(a) * m, -20.0f), 90.0f);
    };
    for (const GemmS8& variant : gemm_s8_table()) {
      if ((supported_isas() & bit(variant.isa)) == 0) continue;
      INFO(variant.name);
      if (c.to_float) {
        compare<float>(variant, want<float>(as_float));
      } else {
        compare<int8_t>(variant, want<int8_t>(as_int8));
      }
    }
  }
};

void check(const Case& c) {
  Problem(c).check();
}

}  // namespace

TEST_CASE("gemm_s8: the table begins with scalar and names what this CPU cannot run") {
  REQUIRE(!gemm_s8_table().empty());
  CHECK(gemm_s8_table()[0].isa == Isa::scalar);
  for (const GemmS8& variant : gemm_s8_table()) {
    CHECK(std::string(variant.name) == std::string("gemm_s8_") + isa_name(variant.isa));
    if ((supported_isas() & bit(variant.isa)) == 0) MESSAGE("skipped: " << variant.name);
  }
}

TEST_CASE("gemm_s8: products of every size of tile") {
  uint64_t seed = 10;
  for (const int n : {1, 7, 8, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 96, 127, 144, 161})
    for (const int m : {1, 2, 3, 5, 6, 7, 11, 13, 23, 25, 49, 97})
      check({.shape = product(m, 19, n), .seed = seed++, .input_zero = -3, .clamp = {5}});
  for (const int k : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 127, 256, 1023, 1024, 1025, 2100})
    check({.shape = product(7, k, 33), .seed = seed++, .input_zero = 11, .clamp = {-7}});
}

TEST_CASE("gemm_s8: contents at the edges of int8") {
  for (const Fill how : kFills) {
    for (const int zero : {-128, 0, 127}) {
      check({.shape = product(26, 1031, 70), .fill = how, .input_zero = zero, .clamp = {zero}});
      check({.shape = convolution(6, 20, 35, 3, 1, 1), .fill = how, .input_zero = zero});
    }
  }
}

TEST_CASE("gemm_s8: clamps, bias and scales") {
  for (const Clamp8 clamp : {Clamp8{0, 0, 127}, Clamp8{-128, -128, 127}, Clamp8{127, -128, 127},
                             Clamp8{-128, -128, 20}, Clamp8{3, 3, 3}, Clamp8{-10, -128, -128}})
    for (const bool huge : {false, true})
      check({.shape = product(26, 40, 70), .seed = 3, .clamp = clamp, .huge_scale = huge});
  check({.shape = product(26, 40, 70), .seed = 4, .input_zero = 9, .bias = false});
}

TEST_CASE("gemm_s8: ties round to even") {
  for (const GemmS8& variant : gemm_s8_table()) {
    if ((supported_isas() & bit(variant.isa)) == 0) continue;
    const ConvShape s = product(1, 1, 16);
    Guarded<uint8_t> packed(variant.packed_bytes(s));
    Guarded<int8_t> weights(16), input(1), zero_row(1 + kReadSlack), got(16), want(16);
    Guarded<float> scale(16);
    for (int n = 0; n < 16; ++n) {
      weights[n] = int8_t(n - 8);
      scale[n] = 0.5f;
      want[n] = int8_t(std::nearbyint((n - 8) * 0.5));
    }
    input[0] = 1;
    variant.pack(s, weights.data(), nullptr, 0, packed.data());
    ConvS8Args args;
    args.input = input.data();
    args.zero_row = zero_row.data();
    args.packed = packed.data();
    args.scale = scale.data();
    args.output = got.data();
    variant.run(s, args, 0, variant.units(s));
    CHECK(difference<int8_t>(got.span(), want.span(), 16) == "");
  }
}

TEST_CASE("gemm_s8: windows") {
  uint64_t seed = 100;
  for (const int kernel : {1, 2, 3, 5, 7})
    for (const int stride : {1, 2, 3})
      for (const int pad : {0, 1, 3})
        for (const int in_c : {1, 3, 4, 8, 21})
          check({.shape = convolution(11, in_c, 18, kernel, stride, pad),
                 .seed = seed++,
                 .input_zero = 7});
  for (const int dilation : {2, 3})
    check({.shape = convolution(13, 5, 20, 3, 1, dilation, 1, dilation), .input_zero = -128});
  // More padding than image; a window larger than the image.
  check({.shape = convolution(2, 3, 8, 3, 1, 5), .input_zero = 4});
  check({.shape = convolution(3, 6, 8, 7, 1, 3), .input_zero = 4});
}

TEST_CASE("gemm_s8: sides that differ, several images, groups, slices of wider pixels") {
  ConvShape s = convolution(9, 3, 40, 3, 2, 1);
  s.batch = 3;
  s.in_w = 30;
  s.out_w = 15;
  s.kernel_w = 5;
  s.pad_left = 2;
  check({.shape = s, .input_zero = 5});
  s.in_pixel_stride = 4;
  s.out_pixel_stride = 67;
  check({.shape = s, .input_zero = 5});
  s.stride_h = 1;
  s.out_h = 9;
  s.dilation_w = 2;
  s.pad_left = 4;
  check({.shape = s, .input_zero = 5});
  for (const int groups : {2, 3, 8}) {
    ConvShape g = convolution(7, 5, 17, 3, 1, 1, groups);
    g.batch = 2;
    check({.shape = g, .input_zero = -9, .clamp = {2}});
    g.in_pixel_stride += 3;
    g.out_pixel_stride += 1;
    check({.shape = g, .input_zero = -9, .clamp = {2}});
    check({.shape = g, .to_float = true});
  }
  // A pointwise product of slices, with and without stride.
  ConvShape p = product(50, 24, 40);
  p.in_pixel_stride = 31;
  p.out_pixel_stride = 90;
  check({.shape = p});
  check({.shape = convolution(15, 24, 40, 1, 2, 0)});
}

TEST_CASE("gemm_s8: taps that are read several times") {
  for (const int repeat : {2, 3}) {
    for (ConvShape s : {product(49, 19, 33), product(7, 64, 17), convolution(11, 3, 18, 3, 2, 1),
                        convolution(9, 24, 40, 3, 1, 1), convolution(7, 5, 20, 1, 2, 0),
                        convolution(9, 2, 17, 5, 1, 2), convolution(33, 2, 17, 31, 1, 3)}) {
      s.repeat = repeat;
      check({.shape = s, .input_zero = -9, .clamp = {4}});
      check({.shape = s, .fill = Fill::lowest, .input_zero = 3, .to_float = true});
    }
  }
}

TEST_CASE("gemm_s8: many taps") {
  check({.shape = convolution(70, 1, 3, 65, 3, 1), .input_zero = 17, .clamp = {1}});
  check({.shape = convolution(70, 1, 3, 65, 5, 1), .input_zero = 17, .to_float = true});
  check({.shape = convolution(33, 2, 17, 31, 1, 3), .input_zero = -1});
}

TEST_CASE("gemm_s8: float output") {
  uint64_t seed = 200;
  for (const int n : {1, 8, 9, 16, 17, 30, 47, 64, 75, 100})
    check({.shape = product(26, 33, n), .seed = seed++, .input_zero = 3, .to_float = true});
  check({.shape = convolution(9, 3, 20, 3, 2, 1), .input_zero = 3, .to_float = true});
  check({.shape = product(7, 3000, 70), .to_float = true, .bias = false});
}
