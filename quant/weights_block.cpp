// SPDX-License-Identifier: Apache-2.0
// Fits scales and zero points to blocks of weights.
#include "quant/weights_block.h"

#include <algorithm>
#include <cmath>

#include "quant/weights_fit.h"
#include "quant/weights_hqq.h"
#include "runtime/half.h"

namespace firn {
namespace {

// The range in use goes over all levels; of asymmetric ones it holds 0.
Block full_range(std::span<const float> weights, const Levels& levels, bool symmetric) {
  float lo = 0, hi = 0;
  for (const float w : weights) {
    lo = std::min(lo, w);
    hi = std::max(hi, w);
  }
  if (symmetric) {
    return {safe_scale(std::max(-lo, hi) / static_cast<float>(levels.hi)), 0};
  }
  const float scale = safe_scale((hi - lo) / static_cast<float>(levels.hi - levels.lo));
  const auto zero =
      static_cast<int32_t>(std::nearbyint(static_cast<float>(levels.lo) - lo / scale));
  return {scale, std::clamp(zero, levels.lo, levels.hi)};
}

double squared_error(std::span<const float> weights, const Levels& levels, const Block& block) {
  double sum = 0;
  for (const float w : weights) {
    const int32_t q = round_to(block, levels, w);
    const double error =
        static_cast<double>(w) - static_cast<double>(block.scale) * (q - block.zero);
    sum += error * error;
  }
  return sum;
}

Block least_squares(std::span<const float> weights, const Levels& levels, bool symmetric,
                    const Block& full) {
  Block best = full;
  double least = squared_error(weights, levels, full);
  const auto offer = [&](const Block& block) {
    const double error = squared_error(weights, levels, block);
    if (error >= least) return;
    least = error;
    best = block;
  };
  for (int percent = 110; percent >= 50; percent -= 4) {
    Block block = full;
    block.scale = safe_scale(full.scale * static_cast<float>(percent) / 100);
    offer(block);
    for (int i = 0; i < 2; ++i) {
      block = refit(weights, weights, levels, symmetric, block);
      offer(block);
    }
  }
  return best;
}

// Whether f16 holds the scales to about a thousandth.
bool fit_halves(std::span<const float> scales) {
  return std::ranges::all_of(scales, [](float s) { return s >= 0x1p-14f && s <= 65504.0f; });
}

// A weight that may be rounded the other way.
struct Flip {
  size_t at;    // in the row
  double cost;  // how much farther it is then, in steps: from 0 on
};

}  // namespace

Levels levels_of(const BlockFormat& format) {
  const int32_t half = 1 << (format.bits - 1);
  return {format.symmetric && format.bits == 8 ? 1 - half : -half, half - 1};
}

int8_t round_to(const Block& block, const Levels& levels, float weight) {
  const float q = std::nearbyint(weight / block.scale) + static_cast<float>(block.zero);
  return static_cast<int8_t>(
      std::clamp(q, static_cast<float>(levels.lo), static_cast<float>(levels.hi)));
}

float safe_scale(float scale) {
  return std::isnormal(scale) && scale > 0 ? std::min(scale, 0x1p60f) : 0x1p-60f;
}

Block refit(std::span<const float> weights, std::span<const float> targets, const Levels& levels,
            bool symmetric, const Block& block) {
  double q_sum = 0, qq = 0, t_sum = 0, qt = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double q = round_to(block, levels, weights[i]), t = targets[i];
    q_sum += q;
    qq += q * q;
    t_sum += t;
    qt += q * t;
  }
  const auto n = static_cast<double>(weights.size());
  double zero = block.zero;
  if (!symmetric) {
    const double spread = n * qq - q_sum * q_sum;
    const double slope = spread > 0 ? (n * qt - q_sum * t_sum) / spread : 0;
    if (slope > 0) zero = std::nearbyint((q_sum - t_sum / slope) / n);
    zero = std::clamp<double>(zero, levels.lo, levels.hi);
  }
  const double shared = qt - zero * t_sum, own = qq - 2 * zero * q_sum + n * zero * zero;
  if (!(shared > 0 && own > 0)) return block;
  return {safe_scale(static_cast<float>(shared / own)), static_cast<int32_t>(zero)};
}

Block fit_block(std::span<const float> weights, const BlockFormat& format) {
  if (std::ranges::all_of(weights, [](float w) { return w == 0; })) return {};
  const Levels levels = levels_of(format);
  const Block full = full_range(weights, levels, format.symmetric);
  switch (format.rounding) {
    case WeightRounding::max_abs:
      return full;
    case WeightRounding::mse:
      return least_squares(weights, levels, format.symmetric, full);
    case WeightRounding::hqq:
      return fit_hqq(weights, levels, format.symmetric, full);
  }
  return full;
}

Result<BlockWeights> quantize_blocks(const std::string& name, std::span<const float> weights,
                                     size_t row, size_t block, const BlockFormat& format) {
  const auto bad = std::ranges::find_if_not(weights, [](float v) { return std::isfinite(v); });
  if (bad != weights.end())
    return Status(Code::malformed, name + ": weight " + std::to_string(bad - weights.begin()) +
                                       " is " + std::to_string(*bad));
  const Levels levels = levels_of(format);
  BlockWeights out;
  const auto each = [&](auto visit) {
    for (size_t first = 0; first < weights.size(); first += row)
      for (size_t at = 0; at < row; at += block)
        visit(weights.subspan(first + at, std::min(block, row - at)));
  };
  each([&](std::span<const float> values) {
    const Block fitted = fit_block(values, format);
    out.scale.push_back(fitted.scale);
    out.zero.push_back(fitted.zero);
  });
  if (fit_halves(out.scale))
    for (float& scale : out.scale) scale = half_to_float(float_to_half(scale));
  out.q.reserve(weights.size());
  size_t b = 0;
  each([&](std::span<const float> values) {
    const Block rounded{out.scale[b], out.zero[b]};
    for (const float w : values) out.q.push_back(round_to(rounded, levels, w));
    ++b;
  });
  return out;
}

void balance_rows(std::span<const float> weights, size_t row, size_t block,
                  const BlockFormat& format, BlockWeights& made) {
  const Levels levels = levels_of(format);
  const size_t blocks = (row + block - 1) / block;
  std::vector<Flip> flips;
  for (size_t first = 0; first < weights.size(); first += row) {
    const auto step = [&](size_t i) {
      return static_cast<double>(made.scale[first / row * blocks + i / block]);
    };
    const auto error = [&](size_t i) {
      const int32_t zero = made.zero[first / row * blocks + i / block];
      return step(i) * (made.q[first + i] - zero) - static_cast<double>(weights[first + i]);
    };
    double sum = 0;
    for (size_t i = 0; i < row; ++i) sum += error(i);
    const int direction = sum > 0 ? -1 : 1;
    flips.clear();
    for (size_t i = 0; i < row; ++i) {
      const int32_t to = made.q[first + i] + direction;
      const double off = error(i) * direction / step(i);  // below 0: it is rounded against the flip
      if (off < 0 && to >= levels.lo && to <= levels.hi) flips.push_back({i, 1 + 2 * off});
    }
    std::ranges::stable_sort(flips, {}, &Flip::cost);
    for (const Flip& flip : flips) {
      const double change = direction * step(flip.at);
      if (std::fabs(sum + change) >= std::fabs(sum)) break;
      made.q[first + flip.at] = static_cast<int8_t>(made.q[first + flip.at] + direction);
      sum += change;
    }
  }
}

}  // namespace firn
