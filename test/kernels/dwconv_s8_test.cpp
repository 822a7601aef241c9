// SPDX-License-Identifier: Apache-2.0
// Every depthwise convolution of this machine against a plain reference, bit by bit.
#include "kernels/dwconv_s8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fill.h"

namespace firn::test {
namespace {

using kernels::Clamp8;
using kernels::ConvS8Args;
using kernels::ConvShape;
using kernels::DwConvS8;

ConvShape shape(int32_t channels, int32_t h, int32_t w, int32_t kernel_h, int32_t kernel_w,
                int32_t stride = 1, int32_t dilation = 1, int32_t pad = 0) {
  ConvShape s;
  s.groups = channels;
  s.in_h = h;
  s.in_w = w;
  s.kernel_h = kernel_h;
  s.kernel_w = kernel_w;
  s.stride_h = s.stride_w = stride;
  s.dilation_h = s.dilation_w = dilation;
  s.pad_top = s.pad_left = pad;
  s.out_h = (h + 2 * pad - dilation * (kernel_h - 1) - 1) / stride + 1;
  s.out_w = (w + 2 * pad - dilation * (kernel_w - 1) - 1) / stride + 1;
  s.in_pixel_stride = s.out_pixel_stride = channels;
  return s;
}

bool valid(const ConvShape& s) {
  return s.in_h + 2 * s.pad_top >= s.dilation_h * (s.kernel_h - 1) + 1 &&
         s.in_w + 2 * s.pad_left >= s.dilation_w * (s.kernel_w - 1) + 1;
}

std::string describe(const ConvShape& s) {
  std::ostringstream out;
  out << "n" << s.batch << " c" << s.groups << " in " << s.in_h << "x" << s.in_w << " out "
      << s.out_h << "x" << s.out_w << " kernel " << s.kernel_h << "x" << s.kernel_w << " stride "
      << s.stride_h << "," << s.stride_w << " dilation " << s.dilation_h << "," << s.dilation_w
      << " pad " << s.pad_top << "," << s.pad_left << " pixels " << s.in_pixel_stride << ","
      << s.out_pixel_stride;
  return out.str();
}

struct Problem {
  ConvShape s;
  uint64_t seed = 1;
  Fill fill_input = Fill::random, fill_weights = Fill::random;
  int32_t input_zero = 0;
  Clamp8 clamp = {};
  float scale_lo = 1e-4f, scale_hi = 2e-3f;
  bool with_bias = true;
  int32_t bias_range = 100000;
  std::optional<int32_t> bias = {};  // of all
  bool repeat_few = false;           // few channels have weights beyond the first time
};

constexpr Clamp8 kRelu = {-128, -128, 127};

struct Data {
  Guarded<int8_t> input, zero_row, weights, want;
  std::vector<int32_t> bias;
  std::vector<float> scale;

  explicit Data(const Problem& p)
      : input(pixels(p.s.batch, p.s.in_h, p.s.in_w) * static_cast<size_t>(p.s.in_pixel_stride)),
        zero_row(static_cast<size_t>(p.s.groups) + kernels::kReadSlack),
        weights(pixels(p.s.groups * p.s.repeat, p.s.kernel_h, p.s.kernel_w)),
        want(pixels(p.s.batch, p.s.out_h, p.s.out_w) * static_cast<size_t>(p.s.out_pixel_stride)),
        bias(static_cast<size_t>(p.s.groups)),
        scale(static_cast<size_t>(p.s.groups)) {
    fill<int8_t>(input.span(), p.fill_input, p.seed);
    fill<int8_t>(weights.span(), p.fill_weights, p.seed + 1, -127, 127);
    if (p.repeat_few) clear_repeated(weights.span(), p.s.groups, p.s.repeat);
    fill<int32_t>(bias, Fill::random, p.seed + 2, -p.bias_range, p.bias_range);
    if (p.bias) std::fill(bias.begin(), bias.end(), *p.bias);
    fill<float>(scale, Fill::random, p.seed + 3, p.scale_lo, p.scale_hi);
    std::fill(zero_row.span().begin(), zero_row.span().end(), static_cast<int8_t>(p.input_zero));
    reference(p);
  }
  static size_t pixels(int32_t n, int32_t h, int32_t w) {
    return static_cast<size_t>(n) * static_cast<size_t>(h) * static_cast<size_t>(w);
  }

  // The definition: real padding, the zero point subtracted from every input.
  void reference(const Problem& p) {
    const ConvShape& s = p.s;
    const auto at = [](int32_t n, int32_t rows, int32_t y, int32_t columns, int32_t x,
                       int32_t stride, int32_t c) {
      return static_cast<size_t>((((static_cast<int64_t>(n) * rows + y) * columns) + x) * stride +
                                 c);
    };
    bool exact = true;  // no test asks for more than int32 holds
    for (int32_t n = 0; n < s.batch; ++n)
      for (int32_t y = 0; y < s.out_h; ++y)
        for (int32_t x = 0; x < s.out_w; ++x)
          for (int32_t c = 0; c < s.groups; ++c) {
            int64_t acc = p.with_bias ? bias[static_cast<size_t>(c)] : 0;
            for (int32_t row = 0; row < s.repeat * s.kernel_h; ++row)
              for (int32_t kx = 0; kx < s.kernel_w; ++kx) {
                const int32_t ky = row % s.kernel_h;
                const int32_t iy = y * s.stride_h - s.pad_top + ky * s.dilation_h;
                const int32_t ix = x * s.stride_w - s.pad_left + kx * s.dilation_w;
                if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
                const int64_t in = input[at(n, s.in_h, iy, s.in_w, ix, s.in_pixel_stride, c)];
                acc +=
                    (in - p.input_zero) * weights[static_cast<size_t>(
                                              (c * s.repeat * s.kernel_h + row) * s.kernel_w + kx)];
              }
            exact = exact && acc == static_cast<int32_t>(acc);
            const float real = static_cast<float>(acc) * scale[static_cast<size_t>(c)];
            const auto lo = static_cast<float>(p.clamp.lo - p.clamp.zero);
            const auto hi = static_cast<float>(p.clamp.hi - p.clamp.zero);
            const float rounded = std::nearbyint(std::clamp(real, lo, hi));
            want[at(n, s.out_h, y, s.out_w, x, s.out_pixel_stride, c)] =
                static_cast<int8_t>(static_cast<int32_t>(rounded) + p.clamp.zero);
          }
    REQUIRE(exact);
  }
};

// The same values as uint8.
void add_128(std::span<int8_t> values) {
  for (int8_t& value : values) value = static_cast<int8_t>(value + 128);
}

// Runs one variant, the units in pieces of `grain`, last piece first; unsigned: the data's bytes
// are values + 128.
void check(const DwConvS8& kernel, const Problem& p, Data& data, size_t grain,
           bool unsigned_input = false, bool unsigned_output = false) {
  const ConvShape& s = p.s;
  CAPTURE(std::string(kernel.name));
  CAPTURE(describe(s));
  CAPTURE(p.seed);
  CAPTURE(grain);
  CAPTURE(unsigned_input);
  CAPTURE(unsigned_output);
  Guarded<uint8_t> packed(kernel.packed_bytes(s));
  kernel.pack(s, data.weights.data(), p.with_bias ? data.bias.data() : nullptr, p.input_zero,
              packed.data());
  CHECK(packed.intact());
  Guarded<int8_t> unpacked(data.weights.size());
  kernel.unpack(s, packed.data(), unpacked.data());
  CHECK(unpacked.intact());
  CHECK(difference<int8_t>(unpacked.span(), data.weights.span(), 16) == "");
  Guarded<int8_t> output(data.want.size());
  Guarded<uint8_t> found(kernel.float_sums_bytes(s));
  const bool float_sums =
      kernel.float_sums(s, packed.data(), data.scale.data(), p.clamp, found.data());
  CHECK(found.intact());
  CAPTURE(float_sums);
  const ConvS8Args args = {.input = data.input.data(),
                           .zero_row = data.zero_row.data(),
                           .packed = packed.data(),
                           .scale = data.scale.data(),
                           // Whose output is no other.
                           .float_sums = float_sums && grain != 1 ? found.data() : nullptr,
                           .clamp = p.clamp,
                           .output = output.data(),
                           .unsigned_input = unsigned_input,
                           .unsigned_output = unsigned_output};
  Backwards units(kernel.units(s), grain);
  kernel.run(s, args, nullptr, units);
  CHECK(output.intact());
  CHECK(difference<int8_t>(output.span(), data.want.span(),
                           static_cast<size_t>(s.out_pixel_stride)) == "");
}

void check_all(const Problem& p) {
  Data data(p);
  const auto table = kernels::dwconv_s8_table();
  for (const DwConvS8& kernel : table)
    if ((kernels::supported_isas() & bit(kernel.isa)) != 0)
      for (const size_t grain : {size_t{1} << 30, size_t{1}, size_t{3}})
        check(kernel, p, data, grain);
  // The output unsigned, and then the input as well, with variants that take that.
  for (int32_t y = 0; y < p.s.batch * p.s.out_h * p.s.out_w; ++y)
    add_128(data.want.span().subspan(static_cast<size_t>(y * p.s.out_pixel_stride),
                                     static_cast<size_t>(p.s.groups)));
  for (const bool input : {false, true}) {
    if (input) {
      add_128(data.input.span());
      add_128(data.zero_row.span());
    }
    for (const DwConvS8& kernel : table)
      if ((kernels::supported_isas() & bit(kernel.isa)) != 0 && kernel.writes_unsigned &&
          (!input || kernel.reads_unsigned(p.s)))
        check(kernel, p, data, 3, input, true);
  }
}

TEST_CASE("dwconv_s8: rungs this machine cannot run") {
  for (const DwConvS8& kernel : kernels::dwconv_s8_table())
    if ((kernels::supported_isas() & bit(kernel.isa)) == 0)
      MESSAGE("skipped, no such instructions here: ", std::string(kernel.name));
  CHECK(kernels::dwconv_s8_table()[0].isa == kernels::Isa::scalar);
}

TEST_CASE("dwconv_s8: every count of channels") {
  for (int32_t c = 1; c <= 130; ++c)
    for (const int32_t kernel : {3, 5})
      for (const int32_t stride : {1, 2})
        check_all({.s = shape(c, 6, 5, kernel, kernel, stride, 1, kernel / 2),
                   .seed = static_cast<uint64_t>(c),
                   .clamp = c % 2 == 0 ? kRelu : Clamp8{}});
  for (int32_t c = 1; c <= 130; c += 3)
    check_all({.s = shape(c, 3, 4, 2, 3), .seed = static_cast<uint64_t>(c)});
}

TEST_CASE("dwconv_s8: every kernel from 1x1 to 7x7, strides, dilations, padding") {
  uint64_t seed = 100;
  for (int32_t kh = 1; kh <= 7; ++kh)
    for (int32_t kw = 1; kw <= 7; ++kw)
      for (int32_t stride = 1; stride <= 3; ++stride)
        for (int32_t dilation = 1; dilation <= 2; ++dilation)
          for (const int32_t pad : {0, 1, 3}) {
            const ConvShape s = shape(19, 8, 9, kh, kw, stride, dilation, pad);
            if (!valid(s)) continue;
            check_all({.s = s,
                       .seed = ++seed,
                       .input_zero = static_cast<int32_t>(seed % 256) - 128,
                       .clamp = seed % 2 == 0 ? kRelu : Clamp8{}});
          }
}

TEST_CASE("dwconv_s8: every size of the picture up to a power of two and past it") {
  for (const int32_t kernel : {3, 5})
    for (const int32_t stride : {1, 2})
      for (int32_t size = 1; size <= 17; ++size) {
        ConvShape s = shape(33, size, 18 - size, kernel, kernel, stride, 1, kernel / 2);
        check_all({.s = s, .seed = static_cast<uint64_t>(size), .input_zero = -7});
        // Padding only before, outputs only as far as they touch the picture.
        s.out_h = (size + s.pad_top - 1) / stride + 1;
        s.out_w = (18 - size + s.pad_left - 1) / stride + 1;
        check_all({.s = s, .seed = static_cast<uint64_t>(size), .input_zero = 11});
      }
}

TEST_CASE("dwconv_s8: rows longer than the columns that a kernel keeps") {
  for (const int32_t kernel : {3, 5, 7})
    for (const int32_t width : {26, 27, 28, 29, 31, 64, 97})
      check_all({.s = shape(40, 6, width, kernel, kernel, 1, 1, kernel / 2), .input_zero = 5});
}

TEST_CASE("dwconv_s8: uneven strides, dilations and padding, batches, pixels inside wider ones") {
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    ConvShape s = shape(
        static_cast<int32_t>(random.integer(1, 70)), static_cast<int32_t>(random.integer(1, 12)),
        static_cast<int32_t>(random.integer(1, 12)), static_cast<int32_t>(random.integer(1, 5)),
        static_cast<int32_t>(random.integer(1, 5)));
    s.batch = static_cast<int32_t>(random.integer(1, 3));
    s.stride_h = static_cast<int32_t>(random.integer(1, 2));
    s.stride_w = static_cast<int32_t>(random.integer(1, 2));
    s.dilation_h = static_cast<int32_t>(random.integer(1, 2));
    s.dilation_w = static_cast<int32_t>(random.integer(1, 2));
    s.pad_top = static_cast<int32_t>(random.integer(0, 6));
    s.pad_left = static_cast<int32_t>(random.integer(0, 6));
    // More padding behind than any tap needs: whole windows of padding are legal.
    s.out_h = static_cast<int32_t>(random.integer(1, 9));
    s.out_w = static_cast<int32_t>(random.integer(1, 9));
    s.in_pixel_stride = s.groups + static_cast<int32_t>(random.integer(0, 9));
    s.out_pixel_stride = s.groups + static_cast<int32_t>(random.integer(0, 9));
    check_all({.s = s, .seed = static_cast<uint64_t>(i), .input_zero = 3});
  }
}

TEST_CASE("dwconv_s8: taps that are read several times") {
  for (const int32_t repeat : {2, 3})
    for (const int32_t kernel : {1, 3, 5})
      for (const int32_t channels : {1, 19, 64, 130})
        for (const int32_t stride : {1, 2}) {
          ConvShape s = shape(channels, 7, 6, kernel, kernel, stride, 1, kernel / 2);
          s.repeat = repeat;
          for (const bool few : {false, true})
            check_all({.s = s, .input_zero = 11, .repeat_few = few});
        }
  for (const int32_t channels : {40, 100}) {
    ConvShape s = shape(channels, 12, 13, 11, 12, 1, 1, 5);
    s.repeat = 2;
    for (const bool few : {false, true}) check_all({.s = s, .input_zero = -5, .repeat_few = few});
  }
}

TEST_CASE("dwconv_s8: more taps than any table of pointers holds") {
  check_all({.s = shape(40, 12, 13, 11, 12, 1, 1, 5)});
  check_all({.s = shape(5, 33, 31, 31, 31, 1, 1, 2)});
}

TEST_CASE("dwconv_s8: adversarial contents, zero points and limits") {
  uint64_t seed = 1000;
  for (const int32_t kernel : {2, 3, 5})
    for (const Fill input : kFills)
      for (const Fill weights : kFills)
        for (const int32_t zero : {-128, -1, 0, 127})
          for (const Clamp8 clamp : {Clamp8{}, Clamp8{-128, -128, 127}, Clamp8{127, -128, 127},
                                     Clamp8{-20, -20, 30}, Clamp8{5, 5, 5}})
            check_all({.s = shape(37, 4, 4, kernel, kernel, 1, 1, 1),
                       .seed = ++seed,
                       .fill_input = input,
                       .fill_weights = weights,
                       .input_zero = zero,
                       .clamp = clamp,
                       .with_bias = seed % 3 != 0});
}

TEST_CASE("dwconv_s8: scales and biases at the ends of their types") {
  const auto with = [](float lo, float hi, int32_t bias_range) {
    for (const int32_t kernel : {2, 3, 5})
      for (const Clamp8 clamp : {Clamp8{}, Clamp8{-128, -128, 127}, Clamp8{100, -100, 120}})
        check_all({.s = shape(50, 5, 5, kernel, kernel, 1, 1, 1),
                   .clamp = clamp,
                   .scale_lo = lo,
                   .scale_hi = hi,
                   .bias_range = bias_range});
  };
  // Behind ReLU, where sums may be made as floats, about the largest of these and the smallest.
  for (const int32_t end : {kernels::kLargestFloatSum, INT32_MIN + 9 * 127 * 128})
    for (const int32_t past : {0, 1, 1 << 18, 1 << 20})
      for (const float scale : {0x1.0001p-17f, -0x1.0001p-17f})
        for (const Fill how : {Fill::lowest, Fill::highest})
          check_all({.s = shape(50, 5, 5, 3, 3),
                     .fill_input = how,
                     .fill_weights = Fill::highest,
                     .input_zero = -128,
                     .clamp = kRelu,
                     .scale_lo = scale,
                     .scale_hi = scale,
                     .bias = end + past - (end > 0 ? 9 * 127 * 255 : 0)});
  for (const float scale : {-2.0f, -0.5f})
    check_all({.s = shape(50, 5, 5, 3, 3),
               .fill_input = Fill::unit,
               .fill_weights = Fill::unit,
               .clamp = kRelu,
               .scale_lo = scale,
               .scale_hi = scale,
               .with_bias = false});
  with(0.f, 0.f, 1000);
  with(0.5f, 0.5f, 10);  // every other result is a tie
  with(0x1p-149f, 0x1p-140f, 1000);
  with(1e-9f, 1e-7f, 2140000000);
  with(0.9f, 1.1f, 2140000000);
  with(1e3f, 1e9f, 100000);
  with(1e38f, 3e38f, 2140000000);
}

}  // namespace
}  // namespace firn::test
