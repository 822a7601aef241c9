// SPDX-License-Identifier: Apache-2.0
// Every variant of the product with weights of few bits against a plain reference made of the
// unpacked numbers, bit by bit: all widths, blocks and tails, adversarial contents.
#include "kernels/gemm_wn.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "test/kernels/fill.h"

namespace {

using namespace firn;
using namespace firn::kernels;
using namespace firn::test;

struct Case {
  size_t rows = 5;
  WeightShape shape;
  Fill fill = Fill::random;
  bool bias = true;
  float lo = -std::numeric_limits<float>::infinity(), hi = std::numeric_limits<float>::infinity();
  size_t gap = 0;  // of y's rows
  uint64_t seed = 1;
};

std::string describe(const Case& c) {
  std::ostringstream out;
  out << c.rows << " rows, " << c.shape.n << " x " << c.shape.k << ", " << c.shape.bits
      << " bits, block " << c.shape.block << (c.shape.zeros ? ", zeros, " : ", ")
      << fill_name(c.fill) << ", seed " << c.seed;
  return out.str();
}

// What the rows become, in arrays with guards.
struct Rows {
  Guarded<int8_t> q;
  Guarded<int32_t> sums;
  Guarded<float> scale;

  Rows(const GemmWN& kernel, const WeightShape& s, std::span<const float> x, size_t rows)
      : q(rows * wn_row_bytes(s)), sums(rows * wn_blocks(s)), scale(rows) {
    for (size_t r = 0; r < rows; ++r)
      kernel.quantize_row(
          s, x.data() + r * s.k,
          {q.data() + r * wn_row_bytes(s), sums.data() + r * wn_blocks(s), scale.data() + r});
  }
};

struct Problem {
  Case c;
  Guarded<float> x;
  std::vector<int8_t> q;
  std::vector<float> scale, bias;
  std::vector<int32_t> zero;
  Guarded<uint8_t> packed;

  explicit Problem(const Case& from)
      : c(from),
        x(c.rows * c.shape.k),
        q(c.shape.n * c.shape.k),
        scale(c.shape.n * wn_blocks(c.shape)),
        bias(c.shape.n),
        zero(scale.size()),
        packed(wn_panels(c.shape) * wn_panel_bytes(c.shape)) {
    const int half = 1 << (c.shape.bits - 1);
    fill<float>(x.span(), c.fill, c.seed, -3, 3);
    fill<int8_t>(std::span(q), c.fill, c.seed + 1, int8_t(-half), int8_t(half - 1));
    if (c.fill == Fill::unit)  // of 2 bits there is no 1 beside 1 that both fit
      fill<int8_t>(std::span(q), Fill::random, c.seed + 1, -1, 1);
    fill<float>(std::span(scale), Fill::random, c.seed + 2, 0.001f, 0.1f);
    fill<float>(std::span(bias), Fill::random, c.seed + 3, -1, 1);
    fill<int32_t>(std::span(zero), c.fill == Fill::unit ? Fill::random : c.fill, c.seed + 4, -half,
                  half - 1);
    pack_wn(c.shape, q.data(), scale.data(), c.shape.zeros ? zero.data() : nullptr, packed.data());
  }

  // From the definition, of what the scalar variant makes of the rows.
  std::vector<float> reference(const Rows& rows) const {
    const WeightShape& s = c.shape;
    std::vector<float> y;
    for (size_t r = 0; r < c.rows; ++r)
      for (size_t n = 0; n < s.n; ++n) {
        float sum = 0;
        for (size_t b = 0; b < wn_blocks(s); ++b) {
          int64_t d = 0;
          for (size_t k = b * s.block; k < std::min(s.k, (b + 1) * s.block); ++k)
            d += rows.q[r * wn_row_bytes(s) + k] *
                 (q[n * s.k + k] - (s.zeros ? zero[n * wn_blocks(s) + b] : 0));
          const volatile float product = float(d) * scale[n * wn_blocks(s) + b];
          sum = sum + product;
        }
        const volatile float scaled = sum * rows.scale[r];
        const float biased = scaled + (c.bias ? bias[n] : 0.0f);
        y.push_back(std::min(std::max(biased, c.lo), c.hi));
      }
    return y;
  }

  std::vector<float> run(const GemmWN& kernel, const Rows& rows) const {
    const WeightShape& s = c.shape;
    const size_t stride = s.n + c.gap;
    Guarded<float> y(c.rows * stride);
    const std::vector<float> untouched(y.data(), y.data() + y.size());
    GemmWNArgs args;
    args.packed = packed.data();
    args.q = rows.q.data();
    args.sums = rows.sums.data();
    args.scale = rows.scale.data();
    args.rows = c.rows;
    args.bias = c.bias ? bias.data() : nullptr;
    args.lo = c.lo;
    args.hi = c.hi;
    args.y = y.data();
    args.y_stride = ptrdiff_t(stride);
    const size_t middle = wn_panels(s) / 2;
    kernel.run(s, args, 0, middle);
    kernel.run(s, args, middle, wn_panels(s));
    CHECK(y.intact());
    std::vector<float> dense;
    for (size_t r = 0; r < c.rows; ++r) {
      dense.insert(dense.end(), y.data() + r * stride, y.data() + r * stride + s.n);
      CHECK(std::memcmp(y.data() + r * stride + s.n, untouched.data(), c.gap * sizeof(float)) == 0);
    }
    return dense;
  }
};

void check_all(const Case& c) {
  CAPTURE(describe(c));
  const Problem problem(c);
  const Rows oracle(gemm_wn_table()[0], c.shape, problem.x.span(), c.rows);
  const std::vector<float> want = problem.reference(oracle);
  for (const GemmWN& kernel : gemm_wn_table()) {
    if ((supported_isas() & bit(kernel.isa)) == 0) continue;
    CAPTURE(kernel.name);
    const Rows rows(kernel, c.shape, problem.x.span(), c.rows);
    CHECK(rows.q.intact());
    CHECK(rows.sums.intact());
    CHECK(rows.scale.intact());
    CHECK(difference(rows.q.span(), oracle.q.span(), wn_row_bytes(c.shape)) == "");
    CHECK(difference(rows.sums.span(), oracle.sums.span(), wn_blocks(c.shape)) == "");
    CHECK(difference(rows.scale.span(), oracle.scale.span(), 1) == "");
    CHECK(difference<float>(problem.run(kernel, rows), want, c.shape.n) == "");
  }
}

TEST_CASE("gemm_wn: all widths, blocks, zero points and contents") {
  for (int bits = 2; bits <= 8; ++bits)
    for (const size_t block : {32, 64, 128, 256})
      for (const bool zeros : {false, true})
        for (const Fill how : kFills) check_all({3, {33, 300, bits, block, zeros}, how});
}

TEST_CASE("gemm_wn: sizes around panels, groups, tiles and chunks") {
  for (const size_t n : {1, 15, 16, 17, 48})
    for (const size_t k : {1, 31, 32, 33, 257, 1024, 1025, 2100})
      check_all({4, {n, k, 4, 32, true}});
  for (size_t rows = 1; rows <= 26; ++rows) check_all({rows, {20, 70, 5, 64, false}});
  for (const size_t rows : {47, 48, 49, 100}) check_all({rows, {18, 1100, 3, 128, true}});
}

TEST_CASE("gemm_wn: clamps, no bias, rows of y apart") {
  check_all({.rows = 7, .shape = {40, 96, 8, 32, true}, .bias = false});
  check_all({.rows = 7, .shape = {40, 96, 6, 32, true}, .lo = 0, .hi = 1});
  check_all({.rows = 7, .shape = {40, 96, 4, 32, false}, .gap = 3});
}

TEST_CASE("gemm_wn: rows of zeros, tiny, huge, not finite") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {0,     1e-40f,    1e-31f,     2e-30f,
                           1e38f, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};
  const WeightShape shape{1, 70, 8, 32, false};
  for (const float value : special) {
    std::vector<float> x(shape.k, 0.5f * value);
    x[40] = value;
    x[69] = -value;
    const Rows oracle(gemm_wn_table()[0], shape, x, 1);
    CAPTURE(value);
    if (std::fabs(value) < 1e-30f) {
      CHECK(oracle.scale[0] == 0);
      CHECK(oracle.q[40] == 0);
    } else if (std::isfinite(value)) {
      CHECK(oracle.q[40] == 127);
      CHECK(oracle.q[69] == -127);
      CHECK(oracle.q[0] == 64);  // 63.5 to even
    }
    for (const GemmWN& kernel : gemm_wn_table()) {
      if ((supported_isas() & bit(kernel.isa)) == 0) continue;
      CAPTURE(kernel.name);
      const Rows rows(kernel, shape, x, 1);
      CHECK(difference(rows.q.span(), oracle.q.span(), wn_row_bytes(shape)) == "");
      CHECK(difference(rows.sums.span(), oracle.sums.span(), 1) == "");
      if (std::isnan(oracle.scale[0]))  // with any sign and bits
        CHECK(std::isnan(rows.scale[0]));
      else
        CHECK(rows.scale[0] == oracle.scale[0]);
    }
  }
}

}  // namespace
