// SPDX-License-Identifier: Apache-2.0
// Rounding for a layer's output: against every choice of integers, against nearest, and the
// covariances it goes by.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/isa.h"
#include "quant/input_moments.h"
#include "quant/round_weights.h"
#include "quant/weights.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::GraphBuilder;

// Of rows whose values follow a few hidden ones, as activations of a network do.
std::vector<float> covariance(size_t n, size_t hidden, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> mix(n * hidden), matrix(n * n);
  for (float& m : mix) m = normal(random);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      for (size_t h = 0; h < hidden; ++h)
        matrix[i * n + j] += mix[i * hidden + h] * mix[j * hidden + h];
      if (i == j) matrix[i * n + j] += 0.1f;
    }
  return matrix;
}

double error(const std::vector<float>& w, float scale, const std::vector<int8_t>& q,
             const std::vector<float>& matrix) {
  double sum = 0;
  const size_t n = w.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      sum += (static_cast<double>(scale) * q[i] - w[i]) * matrix[i * n + j] *
             (static_cast<double>(scale) * q[j] - w[j]);
  return sum;
}

TEST_CASE("rounding: never worse than nearest, and near the best of all choices") {
  constexpr size_t n = 6;
  double nearest = 0, found = 0, best = 0;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    GraphBuilder numbers(seed);
    const std::vector<float> w = numbers.floats(n), matrix = covariance(n, 2, seed);
    RoundedWeights rounded = nearest_weights(1, w, WeightScale::max_abs, true);
    const float scale = rounded.scale[0];
    const double before = error(w, scale, rounded.weights, matrix);
    round_rows(w, rounded.scale, matrix, 20, 127, rounded.weights, kernels::gemm_f32_table()[0]);
    const double after = error(w, scale, rounded.weights, matrix);
    CHECK(after <= before);
    double least = before;
    for (unsigned choice = 0; choice < 1u << n; ++choice) {
      std::vector<int8_t> q;
      for (size_t i = 0; i < n; ++i)
        q.push_back(static_cast<int8_t>(
            std::min(127.0f, std::floor(w[i] / scale) + static_cast<float>(choice >> i & 1))));
      least = std::min(least, error(w, scale, q, matrix));
    }
    nearest += before;
    found += after;
    best += least;
  }
  CHECK(found < 0.6 * nearest);
  CHECK(best < found);
}

TEST_CASE("rounding: integers stay in their range, inputs that never vary change nothing") {
  const std::vector<float> w{1, 1, 1, -1};
  RoundedWeights rounded = nearest_weights(1, w, WeightScale::max_abs, true);
  const std::vector<int8_t> nearest = rounded.weights;
  const kernels::GemmF32Kernel& kernel = kernels::gemm_f32_table()[0];
  round_rows(w, rounded.scale, std::vector<float>(16), 4, 127, rounded.weights, kernel);
  CHECK(rounded.weights == nearest);
  // Half the scale asks for more than there is.
  const float half = rounded.scale[0] / 2;
  round_rows(w, {&half, 1}, covariance(4, 1, 1), 4, 127, rounded.weights, kernel);
  for (const int8_t q : rounded.weights) CHECK(std::abs(q) <= 127);
}

TEST_CASE("rounding: rows side by side become what each becomes alone") {
  constexpr size_t n = 70, rows = 9;
  GraphBuilder numbers(3);
  const std::vector<float> w = numbers.floats(rows * n), matrix = covariance(n, 5, 3);
  for (const kernels::GemmF32Kernel& kernel : kernels::gemm_f32_table()) {
    if ((kernels::supported_isas() & kernels::bit(kernel.isa)) == 0) continue;
    CAPTURE(kernel.name);
    RoundedWeights together = nearest_weights(rows, w, WeightScale::max_abs, true);
    const std::vector<int8_t> nearest = together.weights;
    std::vector<int8_t> alone = nearest;
    round_rows(w, together.scale, matrix, 4, 127, together.weights, kernel);
    for (size_t r = 0; r < rows; ++r)
      round_rows(std::span(w).subspan(r * n, n), std::span(together.scale).subspan(r, 1), matrix, 4,
                 127, std::span(alone).subspan(r * n, n), kernel);
    CHECK(together.weights != nearest);
    CHECK(together.weights == alone);
  }
}

TEST_CASE("moments: covariances of what the rows see, padding and groups among it") {
  for (const int32_t groups : {1, 2, 4}) {
    CAPTURE(groups);
    GraphBuilder b(static_cast<uint32_t>(groups));
    const ValueId x = b.input("x", {2, 5, 4, 4});
    Conv2d op;
    op.window = {{3, 2}, {2, 1}, {1, 2}, {1, 1, 0, 1}};
    op.groups = groups;
    b.output(b.add("conv", op, {x, b.random({4, 3, 2, 4 / groups})}));
    const std::vector<float> data = b.floats(b.shape(x).elements());
    const Shape y = b.shape(b.graph.outputs[0]);
    for (const kernels::GemmF32Kernel& kernel : kernels::gemm_f32_table()) {
      if ((kernels::supported_isas() & kernels::bit(kernel.isa)) == 0) continue;
      CAPTURE(kernel.name);
      InputMoments moments(b.graph, b.graph.nodes[0]);
      std::vector<float> rows;
      moments.add(data, 1000, 0, kernel, rows);
      const size_t per_group = static_cast<size_t>(4 / groups), row = 6 * per_group;
      REQUIRE(moments.row() == row);
      REQUIRE(moments.samples() == static_cast<size_t>(y[0] * y[1] * y[2]));
      for (size_t g = 0; g < static_cast<size_t>(groups); ++g) {
        std::vector<std::vector<double>> rows;
        for (int32_t n = 0; n < y[0]; ++n)
          for (int32_t oy = 0; oy < y[1]; ++oy)
            for (int32_t ox = 0; ox < y[2]; ++ox) {
              std::vector<double>& seen = rows.emplace_back();
              for (int32_t ky = 0; ky < 3; ++ky)
                for (int32_t kx = 0; kx < 2; ++kx)
                  for (size_t c = 0; c < per_group; ++c) {
                    const int32_t iy = oy * 2 + ky - 1, ix = ox + kx * 2 - 1;
                    const bool inside = iy >= 0 && iy < 5 && ix >= 0 && ix < 4;
                    const auto at = static_cast<size_t>((n * 5 + iy) * 4 + ix) * 4;
                    seen.push_back(inside ? static_cast<double>(data[at + g * per_group + c]) : 0);
                  }
            }
        const double count = static_cast<double>(rows.size());
        const double kept = count / (count + static_cast<double>(row));
        const std::vector<float> got = moments.covariance(g), noisy = moments.covariance(g, 0.25);
        for (size_t i = 0; i < row; ++i)
          for (size_t j = 0; j < row; ++j) {
            double a = 0, c = 0, both = 0;
            for (const auto& seen : rows) {
              a += seen[i] / count;
              c += seen[j] / count;
              both += seen[i] * seen[j] / count;
            }
            const double want = (both - a * c) * (i == j ? 1 : kept);
            REQUIRE(std::fabs(static_cast<double>(got[i * row + j]) - want) < 1e-5);
            const double noise = i == j ? 0.25 : 0;
            REQUIRE(std::fabs(static_cast<double>(noisy[i * row + j]) - want - noise) < 1e-5);
          }
      }
    }
  }
}

}  // namespace
}  // namespace firn
