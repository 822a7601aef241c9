// SPDX-License-Identifier: Apache-2.0
// Coordinate descent over the integers of a row of weights.
#include "quant/round_weights.h"

#include <algorithm>
#include <cmath>

namespace firn {
namespace {

// y += a x
void add_scaled(size_t n, float a, const float* x, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

}  // namespace

void round_row(std::span<const float> weights, float scale, std::span<const float> covariance,
               int sweeps, int most, std::span<int8_t> q, std::span<float> gradient) {
  const size_t n = weights.size();
  const auto row = [&](size_t i) { return covariance.data() + i * n; };
  std::ranges::fill(gradient, 0.0f);
  for (size_t i = 0; i < n; ++i)
    add_scaled(n, scale * static_cast<float>(q[i]) - weights[i], row(i), gradient.data());
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    bool moved = false;
    for (size_t i = 0; i < n; ++i) {
      const float curvature = row(i)[i] * scale;
      if (!(curvature > 0)) continue;
      const float best = static_cast<float>(q[i]) - gradient[i] / curvature;
      const auto limit = static_cast<float>(most);
      const float rounded = std::nearbyint(std::clamp(best, -limit, limit));
      const float step = rounded - static_cast<float>(q[i]);
      // A tie moves nothing, or two weights could push each other for ever.
      if (step == 0 || std::fabs(best - static_cast<float>(q[i])) <= 0.5001f) continue;
      q[i] = static_cast<int8_t>(rounded);
      add_scaled(n, step * scale, row(i), gradient.data());
      moved = true;
    }
    if (!moved) break;
  }
}

}  // namespace firn
