// SPDX-License-Identifier: Apache-2.0
// Every float matrix product of this machine against sums in double, for all ways that operands may
// lie in memory.
#include "kernels/gemm_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace firn::test {
namespace {

using kernels::GemmF32;
using kernels::GemmF32Kernel;

struct Case {
  size_t m, n, k;
};
// Around the tiles, panels and blocks of all variants.
constexpr Case kCases[] = {{1, 1, 1},    {1, 64, 5},   {6, 64, 192}, {7, 65, 193}, {5, 63, 385},
                           {12, 16, 64}, {13, 17, 31}, {3, 8, 2},    {4, 7, 200},  {20, 130, 9},
                           {2, 3, 0},    {25, 5, 33},  {1, 128, 400}};

std::vector<float> noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> data(n);
  for (float& v : data) v = static_cast<float>(random() % 2001) / 1000 - 1;
  return data;
}

void check(const GemmF32Kernel& kernel, const Case& s, bool a_turned, bool b_turned, bool bounded,
           bool onto) {
  CAPTURE(std::string(kernel.name));
  CAPTURE(s.m);
  CAPTURE(s.n);
  CAPTURE(s.k);
  CAPTURE(a_turned);
  CAPTURE(b_turned);
  CAPTURE(onto);
  const size_t wide = s.n + 3;                    // rows of c lie apart
  const size_t depth = std::max<size_t>(s.k, 1);  // pointers into nothing move, too
  const std::vector<float> a = noise(s.m * depth, 1), b = noise(depth * s.n, 2);
  const std::vector<float> bias = noise(s.n, 3);
  const auto signed_of = [](size_t x) { return static_cast<ptrdiff_t>(x); };
  GemmF32 g;
  g.m = s.m;
  g.n = s.n;
  g.k = s.k;
  g.a_row = a_turned ? 1 : signed_of(s.k);
  g.a_k = a_turned ? signed_of(s.m) : 1;
  g.b_k = b_turned ? 1 : signed_of(s.n);
  g.b_column = b_turned ? signed_of(s.k) : 1;
  g.c_row = signed_of(wide);
  g.accumulate = onto;
  if (bounded) {
    g.bias = bias.data();
    g.lo = -0.5f;
    g.hi = 2;
  }
  constexpr float kGuard = 12345;
  std::vector<float> c(s.m * wide + 64, kGuard);
  const std::vector<float> before = noise(s.m * s.n, 4);
  if (onto)
    for (size_t i = 0; i < s.m; ++i)
      for (size_t j = 0; j < s.n; ++j) c[i * wide + j] = before[i * s.n + j];
  // Rows in two pieces, which is how threads share them.
  for (size_t panel = 0; panel * kernel.columns < s.n; ++panel) {
    kernel.run(g, a.data(), b.data(), c.data(), panel, 0, s.m / 2);
    kernel.run(g, a.data(), b.data(), c.data(), panel, s.m / 2, s.m);
  }
  for (size_t at = 0; at < c.size(); ++at) {
    const size_t i = at / wide, j = at % wide;
    if (i >= s.m || j >= s.n) {
      CHECK(c[at] == kGuard);
      continue;
    }
    double sum = bounded ? static_cast<double>(bias[j]) : 0;
    if (onto) sum += static_cast<double>(before[i * s.n + j]);
    for (size_t l = 0; l < s.k; ++l)
      sum += static_cast<double>(a[a_turned ? l * s.m + i : i * s.k + l]) *
             static_cast<double>(b[b_turned ? j * s.k + l : l * s.n + j]);
    if (bounded) sum = std::clamp(sum, -0.5, 2.0);
    const double error = std::abs(static_cast<double>(c[at]) - sum);
    if (error > 1e-6 * static_cast<double>(s.k + 1)) CHECK(static_cast<double>(c[at]) == sum);
  }
}

TEST_CASE("float matrix products equal sums in double and stay inside their matrices") {
  for (const GemmF32Kernel& kernel : kernels::gemm_f32_table()) {
    if ((kernels::supported_isas() & kernels::bit(kernel.isa)) == 0) continue;
    for (const Case& s : kCases)
      for (int way = 0; way < 16; ++way) check(kernel, s, way & 1, way & 2, way & 4, way & 8);
  }
}

TEST_CASE("NaN and infinity pass through a product that clamps") {
  for (const GemmF32Kernel& kernel : kernels::gemm_f32_table()) {
    if ((kernels::supported_isas() & kernels::bit(kernel.isa)) == 0) continue;
    const float a[] = {1, 1}, b[] = {NAN, INFINITY, 1, 1};
    float c[2] = {};
    GemmF32 g;
    g.m = 1;
    g.n = g.k = 2;
    g.a_row = g.b_k = g.c_row = 2;
    g.hi = 6;
    kernel.run(g, a, b, c, 0, 0, 1);
    CHECK(std::isnan(c[0]));
    CHECK(c[1] == 6);
  }
}

}  // namespace
}  // namespace firn::test
