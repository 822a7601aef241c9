// SPDX-License-Identifier: Apache-2.0
// Every elementwise kernel, pool and conversion of this machine against plain references, bit by
// bit.
#include "kernels/vec_s8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "test/kernels/fill.h"
#include "test/kernels/vec_s8_variants.h"

namespace firn::test {
namespace {

using kernels::AddS8;
using kernels::Clamp8;
using kernels::ConvShape;
using kernels::MulS8;
using kernels::PoolS8;
using kernels::VecS8;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Clamp8 kClamps[] = {{}, {-128, -128, 127}, {127, -128, 127}, {3, 3, 90}, {-60, -90, -90}};

// Every size up to a few vectors, then powers of two and their neighbours.
std::vector<size_t> sizes() {
  std::vector<size_t> out;
  for (size_t n = 0; n <= 140; ++n) out.push_back(n);
  for (size_t n = 256; n <= 1024; n *= 2)
    for (const size_t m : {n - 1, n, n + 1}) out.push_back(m);
  return out;
}

// One rounding to float, wherever the compiler would keep or fuse more.
float once(double x) {
  volatile float y = static_cast<float>(x);
  return y;
}

int8_t clamped(float x, const Clamp8& c) {
  if (std::isnan(x)) return static_cast<int8_t>(c.lo);
  const auto lo = static_cast<double>(c.lo - c.zero), hi = static_cast<double>(c.hi - c.zero);
  const double y = x < lo ? lo : x > hi ? hi : static_cast<double>(x);
  return static_cast<int8_t>(std::nearbyint(y) + c.zero);
}

int8_t add_one(int8_t a, int8_t b, const AddS8& p) {
  // Products of two floats are exact in double; so is their sum once each is rounded.
  const float from_a = once(static_cast<double>(a - p.a_zero) * p.a_scale);
  const float from_b = once(static_cast<double>(b - p.b_zero) * p.b_scale);
  volatile float sum = from_a + from_b;
  return clamped(sum, p.clamp);
}

int8_t mul_one(int8_t a, int8_t b, const MulS8& p) {
  return clamped(once(static_cast<double>((a - p.a_zero) * (b - p.b_zero)) * p.scale), p.clamp);
}

template <typename T>
Guarded<T> filled(size_t n, Fill how, uint64_t seed, T lo = std::numeric_limits<T>::lowest(),
                  T hi = std::numeric_limits<T>::max()) {
  Guarded<T> out(n);
  fill<T>(out.span(), how, seed, lo, hi);
  return out;
}

template <typename T>
void check(Guarded<T>& got, const Guarded<T>& want, size_t row) {
  CHECK(got.intact());
  CHECK(difference<T>(got.span(), want.span(), row > 0 ? row : 1) == "");
}

TEST_CASE("vec_s8: rungs this machine cannot run") {
  for (const VecS8& kernel : kernels::vec_s8_table())
    if ((kernels::supported_isas() & bit(kernel.isa)) == 0)
      MESSAGE("skipped, no such instructions here: ", std::string(kernel.name));
  CHECK(kernels::vec_s8_table()[0].isa == kernels::Isa::scalar);
}

// Checks add, add_row, mul and mul_row over n = rows * c elements.
void check_binary(size_t rows, size_t c, Fill how, uint64_t seed, const AddS8& add,
                  const MulS8& mul) {
  CAPTURE(rows);
  CAPTURE(c);
  CAPTURE(fill_name(how));
  CAPTURE(seed);
  const size_t n = rows * c;
  const auto a = filled<int8_t>(n, how, seed), b = filled<int8_t>(n, how, seed + 1);
  Guarded<int8_t> sum(n), sum_row(n), product(n), product_row(n);
  for (size_t i = 0; i < n; ++i) {
    sum[i] = add_one(a[i], b[i], add);
    sum_row[i] = add_one(a[i], b[i % c], add);
    product[i] = mul_one(a[i], b[i], mul);
    product_row[i] = mul_one(a[i], b[i % c], mul);
  }
  for_kernels([&](const VecS8& kernel) {
    Guarded<int8_t> y(n);
    kernel.add(n, a.data(), b.data(), y.data(), add);
    check(y, sum, c);
    kernel.add_row(rows, c, a.data(), b.data(), y.data(), add);
    check(y, sum_row, c);
    kernel.mul(n, a.data(), b.data(), y.data(), mul);
    check(y, product, c);
    kernel.mul_row(rows, c, a.data(), b.data(), y.data(), mul);
    check(y, product_row, c);
    // In place.
    auto in_place = filled<int8_t>(n, how, seed);
    kernel.add(n, in_place.data(), b.data(), in_place.data(), add);
    check(in_place, sum, c);
  });
}

TEST_CASE("vec_s8: add and mul, every size and row") {
  const AddS8 add = {-3, 17, 0.71f, -0.36f, {-5, -128, 127}};
  const MulS8 mul = {5, -128, 0.0091f, {12, -100, 127}};
  for (const size_t c : sizes())
    for (const size_t rows : {1, 2, 5}) check_binary(rows, c, Fill::random, c, add, mul);
  for (const size_t c : {4095, 4096, 4097, 5000}) check_binary(3, c, Fill::random, c, add, mul);
  // Rows enough for what follows from b alone to be kept.
  for (const size_t c : {1,  3,   7,   8,   24,  31,  32,  33,   48,   63,   64,  65,
                         96, 100, 144, 160, 240, 480, 672, 1152, 2048, 2080, 4096})
    for (const size_t rows : {2, 3, 40, 131}) check_binary(rows, c, Fill::random, c, add, mul);
}

TEST_CASE("vec_s8: add and mul, adversarial contents, zero points, limits, scales") {
  uint64_t seed = 0;
  for (const Fill how : kFills)
    for (const int32_t zero : {-128, 0, 127})
      for (const Clamp8& clamp : kClamps)
        for (const float scale :
             {0.f, 0.5f, 0.123f, -1.5f, 0x1p15f, 0x1p22f, 0x1p25f, 3e38f, -3e38f, 0x1p-149f}) {
          // The sum of infinities of both signs is NaN and becomes the lower limit.
          const AddS8 add = {zero, -zero - 1, scale, seed % 2 == 0 ? -scale : 0.25f, clamp};
          check_binary(3, 45, how, ++seed, add, {zero, zero / 2, scale, clamp});
        }
}

TEST_CASE("vec_s8: every pair of bytes") {
  Guarded<int8_t> a(65536), b(65536), sum(65536), product(65536);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<int8_t>(i & 255);
    b[i] = static_cast<int8_t>(i >> 8);
  }
  // Many ties; zero points of what no activation leaves below zero, on either side; scales about as
  // small and as large as those that kernels treat like others.
  for (const AddS8& p :
       {AddS8{-7, 9, 0.5f, 1.5f, {1, -128, 127}}, AddS8{5, -128, 0.5f, 1.5f, {-128, -128, 127}},
        AddS8{-128, 11, 0.371f, 0.613f, {-128, -128, 100}},
        AddS8{-128, -128, 0.25f, -0.75f, {3, -90, 127}},
        AddS8{-128, 127, 0x1p-63f, 0x1p-65f, {0, -128, 127}},
        AddS8{127, -128, 0x1p22f, 0x1p21f, {0, -128, 127}}}) {
    const MulS8 m = {p.a_zero, p.b_zero, p.a_scale * p.b_scale, p.clamp};
    CAPTURE(p.a_zero);
    CAPTURE(p.b_zero);
    CAPTURE(p.a_scale);
    for (size_t i = 0; i < a.size(); ++i) {
      sum[i] = add_one(a[i], b[i], p);
      product[i] = mul_one(a[i], b[i], m);
    }
    for_kernels([&](const VecS8& kernel) {
      Guarded<int8_t> y(a.size());
      kernel.add(a.size(), a.data(), b.data(), y.data(), p);
      check(y, sum, 256);
      kernel.mul(a.size(), a.data(), b.data(), y.data(), m);
      check(y, product, 256);
    });
  }
}

TEST_CASE("vec_s8: the lesser and the greater, every size and row, in place, too") {
  for (const size_t c : sizes()) {
    for (const size_t rows : {size_t{1}, size_t{3}, size_t{130}}) {
      CAPTURE(c);
      CAPTURE(rows);
      const auto a = filled<int8_t>(rows * c, Fill::random, c);
      const auto b = filled<int8_t>(c, Fill::random, c + 7);
      Guarded<int8_t> least(rows * c), most(rows * c), y(rows * c);
      for (size_t i = 0; i < rows * c; ++i) {
        least[i] = std::min(a[i], b[i % c]);
        most[i] = std::max(a[i], b[i % c]);
      }
      Guarded<int8_t> in_place(rows * c);
      for (size_t i = 0; i < rows * c; ++i) in_place[i] = std::min(most[i], a[i % c]);
      for_kernels([&](const VecS8& kernel) {
        kernel.min_row(rows, c, a.data(), b.data(), y.data());
        check(y, least, c);
        kernel.max_row(rows, c, a.data(), b.data(), y.data());
        check(y, most, c);
        kernel.min_row(rows, c, y.data(), a.data(), y.data());
        check(y, in_place, c);
      });
    }
  }
}

TEST_CASE("vec_s8: lut") {
  for (const size_t n : sizes()) {
    const auto table = filled<int8_t>(256, Fill::random, n);
    auto x = filled<int8_t>(n, Fill::random, n + 1);
    if (n >= 256)
      for (size_t i = 0; i < 256; ++i) x[i] = static_cast<int8_t>(i);
    Guarded<int8_t> want(n);
    for (size_t i = 0; i < n; ++i) want[i] = table[static_cast<size_t>(x[i] + 128)];
    for_kernels([&](const VecS8& kernel) {
      CAPTURE(n);
      Guarded<int8_t> y(n);
      kernel.lut(n, x.data(), y.data(), table.data());
      check(y, want, 256);
      kernel.lut(n, x.data(), x.data(), table.data());
      check(x, want, 256);
      fill<int8_t>(x.span(), Fill::random, n + 1);
      if (n >= 256)
        for (size_t i = 0; i < 256; ++i) x[i] = static_cast<int8_t>(i);
    });
  }
}

struct PoolCase {
  ConvShape s;
  uint64_t seed;
  Fill how = Fill::random;
  int32_t zero = 0;
  bool count_pad = false;
  Clamp8 clamp = {};
};

void check_pools(const PoolCase& p) {
  const ConvShape& s = p.s;
  CAPTURE(s.groups);
  CAPTURE(s.in_h);
  CAPTURE(s.in_w);
  CAPTURE(s.kernel_h);
  CAPTURE(s.kernel_w);
  CAPTURE(s.pad_top);
  CAPTURE(s.pad_left);
  CAPTURE(p.seed);
  const auto at = [&](int32_t n, int32_t h, int32_t y, int32_t w, int32_t x, int32_t stride) {
    return static_cast<size_t>(((n * h + y) * w + x) * stride);
  };
  const auto in =
      filled<int8_t>(at(s.batch, s.in_h, 0, s.in_w, 0, s.in_pixel_stride), p.how, p.seed);
  const size_t out_size = at(s.batch, s.out_h, 0, s.out_w, 0, s.out_pixel_stride);
  const auto out_row = static_cast<size_t>(s.out_pixel_stride);
  std::vector<float> scale(static_cast<size_t>(s.kernel_h * s.kernel_w));
  for (size_t i = 0; i < scale.size(); ++i) scale[i] = 1.3f / static_cast<float>(i + 1);
  Guarded<int8_t> max(out_size), average(out_size);
  for (int32_t n = 0; n < s.batch; ++n)
    for (int32_t y = 0; y < s.out_h; ++y)
      for (int32_t x = 0; x < s.out_w; ++x)
        for (int32_t c = 0; c < s.groups; ++c) {
          int32_t best = -128, sum = 0, count = 0;
          for (int32_t ky = 0; ky < s.kernel_h; ++ky)
            for (int32_t kx = 0; kx < s.kernel_w; ++kx) {
              const int32_t iy = y * s.stride_h - s.pad_top + ky * s.dilation_h;
              const int32_t ix = x * s.stride_w - s.pad_left + kx * s.dilation_w;
              if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
              const int32_t v =
                  in[at(n, s.in_h, iy, s.in_w, ix, s.in_pixel_stride) + static_cast<size_t>(c)];
              best = std::max(best, v);
              sum += v - p.zero;
              ++count;
            }
          if (p.count_pad) count = s.kernel_h * s.kernel_w;
          const size_t to =
              at(n, s.out_h, y, s.out_w, x, s.out_pixel_stride) + static_cast<size_t>(c);
          max[to] = static_cast<int8_t>(std::clamp(best, p.clamp.lo, p.clamp.hi));
          average[to] = clamped(
              once(static_cast<double>(sum) * scale[static_cast<size_t>(std::max(count, 1) - 1)]),
              p.clamp);
        }
  const PoolS8 pool = {s, p.zero, scale.data(), p.count_pad, p.clamp};
  for_kernels([&](const VecS8& kernel) {
    const auto rows = static_cast<size_t>(s.batch * s.out_h);
    for (const size_t grain : {rows, size_t{1}}) {
      Guarded<int8_t> y(out_size), z(out_size);
      for (size_t i = 0; i < rows; i += grain) {
        kernel.max_pool(pool, in.data(), y.data(), i, std::min(rows, i + grain));
        kernel.average_pool(pool, in.data(), z.data(), i, std::min(rows, i + grain));
      }
      check(y, max, out_row);
      check(z, average, out_row);
    }
  });
}

TEST_CASE("vec_s8: pools") {
  Random random(11);
  for (int32_t i = 0; i < 600; ++i) {
    const auto pick = [&](int64_t lo, int64_t hi) {
      return static_cast<int32_t>(random.integer(lo, hi));
    };
    ConvShape s;
    s.groups = i < 150 ? i + 1 : pick(1, 70);
    s.batch = pick(1, 2);
    s.in_h = pick(1, 9);
    s.in_w = pick(1, 9);
    s.kernel_h = pick(1, 7);
    s.kernel_w = pick(1, 7);
    s.stride_h = pick(1, 3);
    s.stride_w = pick(1, 3);
    s.dilation_h = pick(1, 2);
    s.dilation_w = pick(1, 2);
    s.pad_top = pick(0, 3);
    s.pad_left = pick(0, 3);
    s.out_h = pick(1, 6);  // some windows hold padding only
    s.out_w = pick(1, 6);
    s.in_pixel_stride = s.groups + pick(0, 5);
    s.out_pixel_stride = s.groups + pick(0, 5);
    check_pools({s, static_cast<uint64_t>(i), kFills[static_cast<size_t>(i % 5)], pick(-128, 127),
                 i % 2 == 0, kClamps[i / 5 % 5]});
  }
}

TEST_CASE("vec_s8: average over more pixels than 16 bits hold") {
  ConvShape s;
  s.groups = s.in_pixel_stride = s.out_pixel_stride = 37;
  s.in_h = s.kernel_h = 40;
  s.in_w = s.kernel_w = 30;
  for (const Fill how : kFills) check_pools({s, 3, how, 127});
}

TEST_CASE("vec_s8: mean") {
  uint64_t seed = 0;
  for (const size_t rows : {1, 2, 49, 256, 257, 258, 1000})
    for (const size_t c : {1, 3, 31, 32, 33, 63, 64, 65, 130})
      for (const Fill how : kFills) {
        const size_t stride = c + seed % 3;
        const auto x = filled<int8_t>(rows * stride, how, ++seed);
        const auto zero = static_cast<int32_t>(seed % 256) - 128;
        const float scale = 0.7f / static_cast<float>(rows);
        const Clamp8& clamp = kClamps[seed % 5];
        Guarded<int8_t> want(c);
        for (size_t i = 0; i < c; ++i) {
          int32_t sum = 0;
          for (size_t r = 0; r < rows; ++r) sum += x[r * stride + i] - zero;
          want[i] = clamped(once(static_cast<double>(sum) * scale), clamp);
        }
        for_kernels([&](const VecS8& kernel) {
          CAPTURE(rows);
          CAPTURE(c);
          Guarded<int8_t> y(c);
          kernel.mean(rows, c, stride, x.data(), y.data(), zero, scale, clamp);
          check(y, want, c);
        });
      }
}

// Random floats, with what is special strewn in.
Guarded<float> floats(size_t n, uint64_t seed) {
  auto x = filled<float>(n, Fill::random, seed, -40.f, 40.f);
  constexpr float kSpecial[] = {kNaN, kInf,  -kInf,        0.f,  -0.f, 3e38f,    -3e38f,
                                0.5f, -0.5f, 2147483648.f, 1.5f, 2.5f, 0x1p-149f};
  for (size_t i = 0; i < n; i += 3) x[i] = kSpecial[(i / 3 + seed) % std::size(kSpecial)];
  return x;
}

TEST_CASE("vec_s8: quantize and dequantize") {
  for (const size_t n : sizes())
    for (const Clamp8& clamp : kClamps) {
      const float inverse = n % 3 == 0 ? 1.f : n % 3 == 1 ? 7.3f : 1e20f;
      const auto x = floats(n, n);
      const auto bytes = filled<int8_t>(n, Fill::random, n);
      Guarded<int8_t> want(n);
      Guarded<float> back(n);
      for (size_t i = 0; i < n; ++i) {
        want[i] = clamped(once(static_cast<double>(x[i]) * inverse), clamp);
        back[i] = once(static_cast<double>(bytes[i] - clamp.zero) * inverse);
      }
      for_kernels([&](const VecS8& kernel) {
        CAPTURE(n);
        Guarded<int8_t> y(n);
        kernel.quantize(n, x.data(), y.data(), inverse, clamp);
        check(y, want, 64);
        Guarded<float> z(n);
        kernel.dequantize(n, bytes.data(), z.data(), inverse, clamp.zero);
        check(z, back, 64);
      });
    }
}

TEST_CASE("vec_s8: planes to pixels") {
  for (size_t c = 1; c <= 13; ++c)
    for (const size_t pixels : sizes()) {
      if (c > 5 && pixels % 7 > 1) continue;
      const Clamp8& clamp = kClamps[(c + pixels) % 5];
      const size_t plane = pixels + c % 3;
      const auto x = floats(plane * c, pixels);
      Guarded<int8_t> want(pixels * c);
      for (size_t i = 0; i < pixels; ++i)
        for (size_t j = 0; j < c; ++j)
          want[i * c + j] = clamped(once(static_cast<double>(x[j * plane + i]) * 3.1f), clamp);
      for_kernels([&](const VecS8& kernel) {
        CAPTURE(c);
        CAPTURE(pixels);
        Guarded<int8_t> y(pixels * c);
        kernel.quantize_planar(c, pixels, plane, x.data(), y.data(), 3.1f, clamp);
        check(y, want, c);
      });
    }
}

}  // namespace
}  // namespace firn::test
