// SPDX-License-Identifier: Apache-2.0
// What 16-bit activations take of the elementwise kernels, on every rung of this machine against
// plain references, bit by bit.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/vec_s8.h"
#include "test/kernels/fill.h"
#include "test/kernels/vec_s8_variants.h"

namespace firn::test {
namespace {

using kernels::Clamp8;
using kernels::ConvShape;
using kernels::VecS8;
using kernels::WideDwConv;
using kernels::WideOutput;
using Type = WideOutput::Type;

constexpr float kInf = std::numeric_limits<float>::infinity();

const WideOutput kOutputs[] = {{Type::f32, -kInf, kInf, {}},   {Type::f32, 0, 6, {}},
                               {Type::i16, -32768, 32767, {}}, {Type::i16, 0, 12345, {}},
                               {Type::i8, 0, 0, {}},           {Type::i8, 0, 0, {-128, -128, 127}},
                               {Type::i8, 0, 0, {5, -3, 100}}};

size_t size_of(Type type) {
  return type == Type::f32 ? 4 : type == Type::i16 ? 2 : 1;
}

// The output's bytes of y.
void store(const WideOutput& output, float y, uint8_t* to) {
  if (output.type == Type::i8) {
    const Clamp8& c = output.clamp;
    const float clamped = std::fmin(std::fmax(y, static_cast<float>(c.lo - c.zero)),
                                    static_cast<float>(c.hi - c.zero));
    const auto q = static_cast<int8_t>(std::nearbyint(clamped) + c.zero);
    std::memcpy(to, &q, 1);
    return;
  }
  const float clamped = std::fmin(std::fmax(y, output.lo), output.hi);
  if (output.type == Type::f32) {
    std::memcpy(to, &clamped, 4);
    return;
  }
  const auto q = static_cast<int16_t>(std::nearbyint(clamped));
  std::memcpy(to, &q, 2);
}

TEST_CASE("vec_s8 16 bits: halves of every number, and their positions") {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{7}, size_t{15}, size_t{16}, size_t{17},
                         size_t{31}, size_t{32}, size_t{33}, size_t{63}, size_t{64}, size_t{65},
                         size_t{127}, size_t{128}, size_t{129}, size_t{65536}}) {
    Guarded<int16_t> x(n);
    for (size_t i = 0; i < n; ++i) x[i] = static_cast<int16_t>(n < 65536 ? 40503 * i + n : i);
    for_kernels([&](const VecS8& kernel) {
      CAPTURE(n);
      Guarded<int8_t> high(n), low(n);
      kernel.split16(n, x.data(), high.data(), low.data());
      CHECK(high.intact());
      CHECK(low.intact());
      size_t wrong = 0;
      for (size_t i = 0; i < n; ++i) wrong += 256 * high[i] + low[i] + 128 != x[i];
      CHECK(wrong == 0);
    });
  }
}

TEST_CASE("vec_s8 16 bits: sums of halves to outputs") {
  uint64_t seed = 0;
  for (const size_t c : {1, 2, 3, 8, 15, 16, 17, 24, 32, 63, 64, 65, 100, 144, 257})
    for (const size_t rows : {1, 2, 5, 9}) {
      const size_t n = rows * c;
      Guarded<float> high(n), low(n), bias(c + kernels::kWideSlack);
      fill<float>(high.span(), Fill::random, ++seed, -1, 1);
      fill<float>(low.span(), Fill::random, ++seed, -100, 100);
      fill<float>(bias.span(), Fill::random, ++seed, -50, 50);
      // Ties, and what is far outside.
      for (size_t i = 0; i < n; i += 3) {
        high[i] = static_cast<float>(i % 7) - 3;
        low[i] = 0.5f;
      }
      for (size_t i = 1; i < n; i += 11) high[i] = i % 2 == 0 ? 1e30f : -1e30f;
      for (size_t i = 0; i < c; i += 2) bias[i] = std::nearbyint(bias[i]);
      for (size_t i = c; i < bias.size(); ++i) bias[i] = bias[i - c];
      for (const WideOutput& output : kOutputs) {
        const size_t size = size_of(output.type);
        Guarded<uint8_t> want(n * size);
        for (size_t i = 0; i < n; ++i) {
          volatile float sum = high[i] * 256 + low[i];
          volatile float y = sum + bias[i % c];
          store(output, y, want.data() + i * size);
        }
        for_kernels([&](const VecS8& kernel) {
          CAPTURE(c);
          CAPTURE(rows);
          CAPTURE(static_cast<int>(output.type));
          Guarded<uint8_t> y(n * size);
          kernel.join16(n, c, high.data(), low.data(), bias.data(), output, y.data());
          CHECK(y.intact());
          CHECK(difference<uint8_t>(y.span(), want.span(), c * size) == "");
        });
      }
    }
}

void check_depthwise(const ConvShape& s, Fill how, const WideOutput& output, uint64_t seed) {
  const auto channels = static_cast<size_t>(s.groups);
  const size_t taps = static_cast<size_t>(s.kernel_h) * static_cast<size_t>(s.kernel_w);
  const auto in_pixels = static_cast<size_t>(s.batch) * static_cast<size_t>(s.in_h * s.in_w);
  const auto rows = static_cast<size_t>(s.batch) * static_cast<size_t>(s.out_h);
  Guarded<int16_t> x(in_pixels * channels), w((taps + taps % 2) * channels),
      zeros(channels * static_cast<size_t>(std::min((s.kernel_w - 1) * s.dilation_w + 1, s.in_w)));
  fill<int16_t>(x.span(), how, seed);
  fill<int16_t>(w.span().first(taps * channels), how, seed + 1, -127, 127);
  std::ranges::fill(w.span().subspan(taps * channels), int16_t{0});
  std::ranges::fill(zeros.span(), int16_t{0});
  Guarded<float> scale(channels), bias(channels + kernels::kWideSlack);
  fill<float>(scale.span(), Fill::random, seed + 2, 1e-6f, 1e-5f);
  fill<float>(bias.span(), Fill::random, seed + 3, -10, 10);
  const size_t size = size_of(output.type), out_w = static_cast<size_t>(s.out_w);
  Guarded<uint8_t> want(rows * out_w * channels * size);
  for (size_t row = 0; row < rows; ++row)
    for (int32_t ox = 0; ox < s.out_w; ++ox)
      for (size_t c = 0; c < channels; ++c) {
        int64_t acc = 0;
        for (int32_t ky = 0; ky < s.kernel_h; ++ky)
          for (int32_t kx = 0; kx < s.kernel_w; ++kx) {
            const int32_t iy =
                static_cast<int32_t>(row) % s.out_h * s.stride_h - s.pad_top + ky * s.dilation_h;
            const int32_t ix = ox * s.stride_w - s.pad_left + kx * s.dilation_w;
            if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
            const auto pixel = static_cast<size_t>(
                (static_cast<int32_t>(row) / s.out_h * s.in_h + iy) * s.in_w + ix);
            const auto tap = static_cast<size_t>(ky * s.kernel_w + kx);
            acc += int64_t{x[pixel * channels + c]} * w[tap * channels + c];
          }
        REQUIRE(std::abs(acc) <= INT32_MAX);
        volatile float product = static_cast<float>(acc) * scale[c];
        volatile float y = product + bias[c];
        store(output, y,
              want.data() + ((row * out_w + static_cast<size_t>(ox)) * channels + c) * size);
      }
  const WideDwConv conv{s, w.data(), zeros.data(), scale.data(), bias.data(), output};
  for_kernels([&](const VecS8& kernel) {
    CAPTURE(s.groups);
    CAPTURE(s.kernel_h);
    CAPTURE(s.kernel_w);
    CAPTURE(s.out_w);
    CAPTURE(seed);
    for (const size_t grain : {rows, size_t{1}}) {
      Guarded<uint8_t> y(want.size());
      for (size_t i = 0; i < rows; i += grain)
        kernel.dwconv16(conv, x.data(), y.data(), i, std::min(rows, i + grain));
      CHECK(y.intact());
      CHECK(difference<uint8_t>(y.span(), want.span(), channels * size) == "");
    }
  });
}

TEST_CASE("vec_s8 16 bits: depthwise") {
  Random random(5);
  const auto pick = [&](int64_t lo, int64_t hi) {
    return static_cast<int32_t>(random.integer(lo, hi));
  };
  for (int32_t i = 0; i < 400; ++i) {
    ConvShape s;
    s.groups = i < 100 ? i + 1 : pick(1, 160);
    s.batch = pick(1, 2);
    s.in_h = pick(1, 9);
    s.in_w = pick(1, 9);
    s.kernel_h = i % 3 == 0 ? 3 : i % 3 == 1 ? 5 : pick(1, 7);
    s.kernel_w = i % 3 == 0 ? 3 : i % 3 == 1 ? 5 : pick(1, 7);
    s.stride_h = pick(1, 2);
    s.stride_w = pick(1, 2);
    s.dilation_h = pick(1, 2);
    s.dilation_w = pick(1, 2);
    s.pad_top = pick(0, 3);
    s.pad_left = pick(0, 3);
    s.out_h = pick(1, 5);
    s.out_w = pick(1, 5);
    check_depthwise(s, kFills[static_cast<size_t>(i % 5)],
                    kOutputs[static_cast<size_t>(i) % std::size(kOutputs)],
                    static_cast<uint64_t>(i));
  }
  // Rows of more pixels than there are pointers for, and the most taps.
  ConvShape s;
  s.groups = 40;
  s.in_w = s.out_w = 150;
  s.kernel_h = s.kernel_w = 3;
  s.pad_top = s.pad_left = 1;
  for (const Fill how : kFills) check_depthwise(s, how, kOutputs[2], 7);
  s.in_w = s.out_w = 20;
  s.kernel_h = 1;
  s.kernel_w = kernels::kMostWideTaps;
  s.pad_left = 60;
  for (const Fill how : kFills) check_depthwise(s, how, kOutputs[0], 8);
}

TEST_CASE("vec_s8 16 bits: quantize and dequantize") {
  for (size_t n = 0; n < 140; ++n) {
    Guarded<float> x(n);
    Guarded<int16_t> q(n);
    fill<float>(x.span(), Fill::random, n, -9, 9);
    fill<int16_t>(q.span(), Fill::random, n);
    const float special[] = {kInf,  -kInf,    std::numeric_limits<float>::quiet_NaN(),
                             0.5f,  1.5f,     -2.5f,
                             3e38f, 32767.5f, -32768.5f};
    for (size_t i = 0; i < n; i += 3) x[i] = special[i / 3 % std::size(special)];
    const float inverse = n % 2 == 0 ? 1.0f : 4099.0f, scale = 0.00037f;
    Guarded<int16_t> want(n);
    Guarded<float> back(n);
    for (size_t i = 0; i < n; ++i) {
      volatile float scaled = x[i] * inverse;
      const float limited =
          std::isnan(scaled) ? -32768.0f : std::fmin(std::fmax(scaled, -32768.0f), 32767.0f);
      want[i] = static_cast<int16_t>(std::nearbyint(limited));
      back[i] = static_cast<float>(q[i]) * scale;
    }
    for_kernels([&](const VecS8& kernel) {
      CAPTURE(n);
      Guarded<int16_t> y(n);
      kernel.quantize16(n, x.data(), y.data(), inverse);
      CHECK(y.intact());
      CHECK(difference<int16_t>(y.span(), want.span(), 64) == "");
      Guarded<float> z(n);
      kernel.dequantize16(n, q.data(), z.data(), scale);
      CHECK(z.intact());
      CHECK(difference<float>(z.span(), back.span(), 64) == "");
    });
  }
}

}  // namespace
}  // namespace firn::test
