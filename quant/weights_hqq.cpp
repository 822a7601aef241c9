// SPDX-License-Identifier: Apache-2.0
// The half-quadratic solver.
#include "quant/weights_hqq.h"

#include <cmath>
#include <vector>

#include "quant/weights_fit.h"

namespace firn {
namespace {

constexpr int kIterations = 20;
// Errors count in steps of the start's scale, so that the solver does not depend on how large
// weights are. An error becomes an outlier where it passes beta^(-1 / (2 - p)) steps: at first only
// what is clipped, in the end more than a third of a step.
constexpr double kNorm = 0.7, kBeta = 2, kBetaGrowth = 1.05;

// The proximal step of |x|^p (generalized soft thresholding, one iteration); 0 up to `threshold`.
double shrunk(double x, double beta, double threshold) {
  const double magnitude = std::fabs(x);
  if (magnitude <= threshold) return 0;
  return std::copysign(magnitude - std::pow(magnitude, kNorm - 1) / beta, x);
}

}  // namespace

Block fit_hqq(std::span<const float> weights, const Levels& levels, bool symmetric, Block start) {
  const double step = start.scale;
  const auto error_of = [&](const Block& block, float w) {
    const int32_t q = round_to(block, levels, w);
    return (static_cast<double>(w) - static_cast<double>(block.scale) * (q - block.zero)) / step;
  };
  const auto norm = [&](const Block& block) {
    double sum = 0;
    for (const float w : weights) sum += std::fabs(error_of(block, w));
    return sum;
  };
  Block best = start, block = start;
  double least = norm(start);
  std::vector<float> inlier(weights.size());
  double beta = kBeta;
  for (int i = 0; i < kIterations; ++i, beta *= kBetaGrowth) {
    const double threshold = std::pow(beta, -1 / (2 - kNorm));
    for (size_t j = 0; j < weights.size(); ++j)
      inlier[j] = weights[j] -
                  static_cast<float>(step * shrunk(error_of(block, weights[j]), beta, threshold));
    const Block next = refit(weights, inlier, levels, symmetric, block);
    if (next.scale == block.scale && next.zero == block.zero) break;
    block = next;
    const double sum = norm(block);
    if (sum >= least) continue;
    least = sum;
    best = block;
  }
  return best;
}

}  // namespace firn
