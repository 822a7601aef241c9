// SPDX-License-Identifier: Apache-2.0
// Coordinate descent over the integers of rows of weights.
#include "quant/round_weights.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace firn {
namespace {

// y += a x
void add_scaled(size_t n, float a, const float* x, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

struct Row {
  float scale;
  int8_t* q;
  float* gradient;
  bool moved = false;

  // Moves weight i, if that is for the better; `covariance` is its row.
  void descend(size_t i, size_t n, const float* covariance, int most) {
    const float curvature = covariance[i] * scale;
    if (!(curvature > 0)) return;
    const auto now = static_cast<float>(q[i]), limit = static_cast<float>(most);
    const float best = now - gradient[i] / curvature;
    const float rounded = std::nearbyint(std::clamp(best, -limit, limit));
    // A tie moves nothing, or two weights could push each other for ever.
    if (rounded == now || std::fabs(best - now) <= 0.5001f) return;
    q[i] = static_cast<int8_t>(rounded);
    add_scaled(n, (rounded - now) * scale, covariance, gradient);
    moved = true;
  }
};

}  // namespace

void round_rows(std::span<const float> weights, std::span<const float> scale,
                std::span<const float> covariance, int sweeps, int most, std::span<int8_t> q,
                const kernels::GemmF32Kernel& kernel) {
  const size_t n = weights.size() / scale.size();
  std::vector<float> error(weights.size()), gradient(weights.size());
  for (size_t i = 0; i < error.size(); ++i)
    error[i] = scale[i / n] * static_cast<float>(q[i]) - weights[i];
  kernels::GemmF32 product;
  product.m = scale.size();
  product.n = product.k = n;
  product.a_row = product.b_k = product.c_row = static_cast<ptrdiff_t>(n);
  for (size_t panel = 0; panel * kernel.columns < n; ++panel)
    kernel.run(product, error.data(), covariance.data(), gradient.data(), panel, 0, product.m);
  std::vector<Row> rows;
  for (size_t r = 0; r < scale.size(); ++r)
    rows.push_back({scale[r], q.data() + r * n, gradient.data() + r * n});
  // All rows take a step before any takes the next one: they share the covariances' row while the
  // cache has it.
  for (int sweep = 0; sweep < sweeps && !rows.empty(); ++sweep) {
    for (Row& row : rows) row.moved = false;
    for (size_t i = 0; i < n; ++i)
      for (Row& row : rows) row.descend(i, n, covariance.data() + i * n, most);
    std::erase_if(rows, [](const Row& row) { return !row.moved; });
  }
}

}  // namespace firn
