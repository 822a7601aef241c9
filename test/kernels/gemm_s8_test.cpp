// SPDX-License-Identifier: Apache-2.0
// Every variant of the int8 convolution against a plain reference, over shapes chosen by rule and
// adversarial contents.
#include "kernels/gemm_s8.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <utility>

#include "kernels/parallel.h"
#include "test/kernels/conv_problem.h"

namespace {

using namespace firn;
using namespace firn::test;

void check(const Case& c) {
  const Problem problem(c);
  for (const GemmS8& variant : gemm_s8_table()) {
    if ((supported_isas() & bit(variant.isa)) == 0) continue;
    Guarded<uint8_t> workspace(variant.workspace_bytes(c.shape));
    CHECK(workspace.size() % 64 == 0);
    problem.check(variant, [&](const ConvS8Args& args, Units& units) {
      variant.run(c.shape, args, workspace.data(), units);
    });
    CHECK(workspace.intact());
  }
}

}  // namespace

TEST_CASE("gemm_s8: the table begins with scalar and names what this CPU cannot run") {
  REQUIRE(!gemm_s8_table().empty());
  CHECK(gemm_s8_table()[0].isa == Isa::scalar);
  for (const GemmS8& variant : gemm_s8_table()) {
    CHECK(std::string(variant.name) == std::string("gemm_s8_") + isa_name(variant.isa));
    if ((supported_isas() & bit(variant.isa)) == 0)
      MESSAGE("skipped: " << std::string(variant.name));
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
    Guarded<uint8_t> workspace(variant.workspace_bytes(s));
    CHECK(workspace.size() % 64 == 0);
    Units all(0, variant.units(s));
    variant.run(s, args, workspace.data(), all);
    CHECK(difference<int8_t>(got.span(), want.span(), 16) == "");
  }
}

// Behind ReLU, where sums may be made as floats.
TEST_CASE("gemm_s8: sums at the largest that is exact as a float, and at the smallest") {
  const ConvShape s = product(27, 3, 20);
  for (const Clamp8 clamp : {Clamp8{-128, -128, 127}, Clamp8{-7, -7, 100}}) {
    for (const int32_t end : {kLargestFloatSum, INT32_MIN + 100}) {
      for (const int32_t past : {-1, 0, 1, 1 << 20}) {
        for (const float sign : {1.0f, -1.0f}) {
          Problem problem({.shape = s, .seed = 7, .input_zero = -128, .clamp = clamp});
          const size_t last = s.out_c - 1;
          std::fill_n(problem.weights.data() + last * 3, 3, int8_t(127));
          // The largest sum there is of these weights, or the smallest, is as far past the end.
          problem.bias[last] = end + past - (end > 0 ? 3 * 127 * 255 : 0);
          std::fill_n(problem.input.data(), 3, int8_t(end > 0 ? 127 : -128));
          problem.scale[last] = sign * 0x1.0001p-17f;
          problem.make_unsigned();
          problem.acc.clear();
          problem.reference();
          CHECK(problem.acc[last] == end + past);
          for (const GemmS8& variant : gemm_s8_table()) {
            if ((supported_isas() & bit(variant.isa)) == 0) continue;
            Guarded<uint8_t> workspace(variant.workspace_bytes(s));
            CHECK(workspace.size() % 64 == 0);
            problem.check(variant, [&](const ConvS8Args& args, Units& units) {
              variant.run(s, args, workspace.data(), units);
            });
          }
        }
      }
    }
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

// The same, of lines so long that a filter's rows are taps.
TEST_CASE("gemm_s8: windows of few channels on long lines") {
  uint64_t seed = 500;
  for (const int kernel : {2, 3, 7})
    for (const int stride : {1, 2, 3})
      for (const int pad : {0, 1, 3})
        for (const int in_c : {1, 3, 8}) {
          ConvShape s = convolution(9, in_c, in_c == 3 ? 70 : 18, kernel, stride, pad);
          s.in_w = 201 * stride + 1;
          s.out_w = (s.in_w + 2 * pad - kernel) / stride + 1;
          s.batch = kernel == 3 ? 2 : 1;
          check({.shape = s, .seed = seed++, .input_zero = 7, .to_float = pad == 3});
        }
  ConvShape s = convolution(150, 3, 20, 3, 2, 1);
  check({.shape = s, .seed = seed++, .input_zero = -128});
  s = convolution(100, 2, 20, 3, 1, 1);
  s.dilation_h = 2;
  s.out_h -= 2;
  s.repeat = 2;
  check({.shape = s, .seed = seed++, .input_zero = 127});
  // What whole steps leave of filter rows, on lines of any length.
  for (const auto& [kernel, stride] : {std::pair{5, 1}, {5, 2}, {11, 4}, {13, 11}})
    for (const int in : {1, 4, 12, 40, 230})
      check({.shape = convolution(in, 3, 18, kernel, stride, kernel / 2),
             .seed = seed++,
             .input_zero = -5});
  // Outputs of whole vectors, side by side, and some more.
  for (const int out_c : {16, 32, 33}) {
    s = convolution(100, 3, out_c, 3, 2, 1);
    s.dilation_h = 2;
    s.out_h -= 1;
    check({.shape = s, .seed = seed++, .input_zero = 9});
  }
}

// Outputs are the same without, so that nothing else would tell.
TEST_CASE("gemm_s8: what whole steps leave of filter rows shares steps, for images of any size") {
  for (const GemmS8& variant : gemm_s8_table()) {
    if (variant.isa != Isa::avxvnni && variant.isa != Isa::avx512vnni) continue;
    CAPTURE(std::string(variant.name));
    for (const int in : {8, 224}) {
      CAPTURE(in);
      // 147 values and 27 are 37 steps of four and 7, as of one row.
      CHECK(variant.packed_bytes(convolution(in, 3, 64, 7, 2, 3)) ==
            variant.packed_bytes(product(1, 148, 64)));
      for (const int stride : {1, 2})
        CHECK(variant.packed_bytes(convolution(in, 3, 32, 3, stride, 1)) ==
              variant.packed_bytes(product(1, 28, 32)));
    }
  }
}

// Where a variant may copy lines of pixels together with their padding.
TEST_CASE("gemm_s8: windows of many channels") {
  uint64_t seed = 300;
  for (const int kernel : {1, 2, 3, 5})
    for (const int stride : {1, 2, 3})
      for (const int pad : {0, 1, 2})
        for (const int size : {7, 21})
          check({.shape = convolution(size, 64, size == 7 ? 130 : 18, kernel, stride, pad),
                 .seed = seed++,
                 .input_zero = 7});
  for (const int dilation : {2, 3})
    check({.shape = convolution(23, 64, 40, 3, 1, dilation, 1, dilation), .input_zero = -128});
  check({.shape = convolution(23, 64, 8, 3, 2, 2, 1, 2)});
  // Lines next to nothing but padding; one pixel a line; long lines, too long ones.
  check({.shape = convolution(2, 64, 8, 3, 1, 5), .input_zero = 4});
  for (const int width : {1, 120, 400}) {
    ConvShape s = convolution(5, 64, 20, 3, 1, 1);
    s.in_w = s.out_w = width;
    check({.shape = s, .input_zero = 4});
  }
  ConvShape s = convolution(9, 128, 40, 3, 2, 1, 2);
  s.batch = 3;
  s.in_w = 30;
  s.out_w = 15;
  check({.shape = s, .input_zero = 5});
  s.in_pixel_stride += 5;
  s.out_pixel_stride += 7;
  check({.shape = s, .input_zero = 5});
  check({.shape = s, .input_zero = 5, .to_float = true});
  check({.shape = s, .input_zero = 5, .huge_scale = true});
}

// Work may be cut another way where they do not fit a cache.
TEST_CASE("gemm_s8: many weights") {
  for (const int n : {600, 1090}) check({.shape = product(70, 1024, n), .input_zero = 3});
  check({.shape = convolution(7, 320, 400, 3, 1, 1), .input_zero = 3});
  for (const ConvShape& s : {product(96, 2701, 100), product(6, 50001, 20)}) {
    check({.shape = s, .input_zero = 3});
    check({.shape = s, .fill = Fill::lowest, .to_float = true});
  }
  check({.shape = convolution(9, 128, 70, 3, 1, 1, 8), .input_zero = 3});
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
    for (ConvShape s : {product(49, 19, 33), product(7, 64, 17), product(60, 70, 150),
                        product(60, 600, 150), convolution(11, 3, 18, 3, 2, 1),
                        convolution(9, 24, 40, 3, 1, 1), convolution(7, 5, 20, 1, 2, 0),
                        convolution(9, 2, 17, 5, 1, 2), convolution(33, 2, 17, 31, 1, 3)}) {
      s.repeat = repeat;
      check({.shape = s, .input_zero = -9, .clamp = {4}});
      check({.shape = s, .input_zero = -9, .clamp = {4}, .repeat_few = true});
      check({.shape = s, .fill = Fill::lowest, .input_zero = 3, .to_float = true});
    }
  }
}

TEST_CASE("gemm_s8: threads share a layer") {
  const auto pool = Pool::create(3);
  REQUIRE(pool != nullptr);
  for (const ConvShape& s : {product(196, 300, 130), product(3, 64, 1000),
                             convolution(30, 3, 32, 3, 2, 1), convolution(14, 64, 64, 3, 1, 1)}) {
    const Problem problem({.shape = s, .input_zero = 3});
    for (const GemmS8& variant : gemm_s8_table()) {
      if ((supported_isas() & bit(variant.isa)) == 0) continue;
      const size_t bytes = variant.workspace_bytes(s);
      Guarded<uint8_t> workspace(3 * bytes);
      problem.check(variant, [&](const ConvS8Args& args, Units&) {
        pool->parallel_for(variant.units(s), 1, [&](Units& share, size_t thread) {
          variant.run(s, args, workspace.data() + thread * bytes, share);
        });
      });
      CHECK(workspace.intact());
    }
  }
}

TEST_CASE("gemm_s8: many taps") {
  check({.shape = convolution(70, 1, 3, 65, 3, 1), .input_zero = 17, .clamp = {1}});
  check({.shape = convolution(70, 1, 3, 65, 5, 1), .input_zero = 17, .to_float = true});
  check({.shape = convolution(33, 2, 17, 31, 1, 3), .input_zero = -1});
}

// The least weight there is: with the least input, two products do not add up in 16 bits.
TEST_CASE("gemm_s8: weights of -128") {
  for (const Fill fill : {Fill::lowest, Fill::random}) {
    for (const ConvShape& s : {product(13, 64, 40), product(5, 52, 17), product(70, 300, 33),
                               convolution(9, 24, 40, 3, 1, 1), convolution(11, 3, 18, 3, 2, 1)}) {
      check({.shape = s, .fill = fill, .input_zero = 3, .to_float = true, .least_weight = -128});
    }
  }
}

TEST_CASE("gemm_s8: float output") {
  uint64_t seed = 200;
  for (const int n : {1, 8, 9, 16, 17, 30, 47, 64, 75, 100})
    check({.shape = product(26, 33, n), .seed = seed++, .input_zero = 3, .to_float = true});
  check({.shape = convolution(9, 3, 20, 3, 2, 1), .input_zero = 3, .to_float = true});
  check({.shape = product(7, 3000, 70), .to_float = true, .bias = false});
}
