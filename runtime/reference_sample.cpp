// SPDX-License-Identifier: Apache-2.0
// The reference of GridSample.
#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/reference_call.h"

namespace firn {
namespace {

using Kind = GridSample::Kind;
using Padding = GridSample::Padding;

// The coordinate folded back and forth between lo and hi.
double reflected(double x, double lo, double hi) {
  const double span = hi - lo;
  if (span <= 0) return lo;
  const double at = std::abs(std::fmod(x - lo, 2 * span));
  return at <= span ? lo + at : hi - (at - span);
}

// One spatial axis of an image.
struct Axis {
  const GridSample& op;
  int64_t size;

  double lo() const { return op.align_corners ? 0.0 : -0.5; }
  double hi() const { return static_cast<double>(size) - (op.align_corners ? 1.0 : 0.5); }
  // From [-1, 1] to pixels; NaN is no place, taken for the first.
  double pixel(double grid) const {
    if (std::isnan(grid)) return -1;
    // Far outside, all paddings have settled; and the arithmetic below stays exact enough.
    grid = std::clamp(grid, -1e6, 1e6);
    const double n = static_cast<double>(size);
    double at = op.align_corners ? (grid + 1) / 2 * (n - 1) : ((grid + 1) * n - 1) / 2;
    const bool outside = at < lo() || at > hi();
    if (outside && op.padding == Padding::border) at = std::clamp(at, 0.0, n - 1);
    if (outside && op.padding == Padding::reflection) at = reflected(at, lo(), hi());
    return at;
  }
  // The pixel to read; -1 where there is none.
  int64_t inside(int64_t i) const {
    if (i >= 0 && i < size) return i;
    if (op.padding == Padding::zeros) return -1;
    if (op.padding == Padding::border) return std::clamp<int64_t>(i, 0, size - 1);
    const double at = reflected(static_cast<double>(i), lo(), hi());
    return std::clamp<int64_t>(static_cast<int64_t>(std::nearbyint(at)), 0, size - 1);
  }
};

struct Taps {
  int count = 0;
  std::array<int64_t, 4> pixel{};
  std::array<double, 4> weight{};

  void add(int64_t p, double w) {
    pixel[static_cast<size_t>(count)] = p;
    weight[static_cast<size_t>(count++)] = w;
  }
};

Taps taps_at(const Axis& axis, double grid) {
  const double at = axis.pixel(grid);
  Taps taps;
  if (axis.op.kind == Kind::nearest) {
    taps.add(axis.inside(static_cast<int64_t>(std::nearbyint(at))), 1);
    return taps;
  }
  const double floor = std::floor(at), t = at - floor;
  const int64_t first = static_cast<int64_t>(floor);
  if (axis.op.kind == Kind::linear) {
    taps.add(axis.inside(first), 1 - t);
    taps.add(axis.inside(first + 1), t);
    return taps;
  }
  constexpr double kA = -0.75;
  const auto near = [&](double x) { return ((kA + 2) * x - (kA + 3)) * x * x + 1; };
  const auto far = [&](double x) { return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA; };
  taps.add(axis.inside(first - 1), far(t + 1));
  taps.add(axis.inside(first), near(t));
  taps.add(axis.inside(first + 1), near(1 - t));
  taps.add(axis.inside(first + 2), far(2 - t));
  return taps;
}

}  // namespace

Status compute(const Call& c, const GridSample& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand grid, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape& xs = c.in[0].shape;
  const int spatial = xs.rank - 2;
  // A plain image is a volume of depth 1.
  const std::array<int64_t, 3> size{spatial == 3 ? xs[1] : 1, xs[xs.rank - 3], xs[xs.rank - 2]};
  const int64_t channels = xs[xs.rank - 1];
  const int64_t places = static_cast<int64_t>(grid.f32().size()) / spatial;
  Taps whole;
  whole.add(0, 1);
  for (int64_t place = 0; place < places; ++place) {
    const float* at = grid.f32().data() + place * spatial;
    const auto along = [&](int from_last) {
      return taps_at({op, size[static_cast<size_t>(2 - from_last)]},
                     static_cast<double>(at[from_last]));
    };
    const std::array<Taps, 3> taps{spatial == 3 ? along(2) : whole, along(1), along(0)};
    const int64_t batch = place / (places / xs[0]);
    for (int64_t channel = 0; channel < channels; ++channel) {
      double sum = 0;
      for (int i = 0; i < taps[0].count; ++i)
        for (int j = 0; j < taps[1].count; ++j)
          for (int k = 0; k < taps[2].count; ++k) {
            const size_t a = static_cast<size_t>(i), b = static_cast<size_t>(j),
                         d = static_cast<size_t>(k);
            const int64_t z = taps[0].pixel[a], r = taps[1].pixel[b], q = taps[2].pixel[d];
            if (z < 0 || r < 0 || q < 0) continue;
            const int64_t pixel = ((batch * size[0] + z) * size[1] + r) * size[2] + q;
            sum += taps[0].weight[a] * taps[1].weight[b] * taps[2].weight[d] *
                   static_cast<double>(x.f32()[static_cast<size_t>(pixel * channels + channel)]);
          }
      y.f32()[static_cast<size_t>(place * channels + channel)] = static_cast<float>(sum);
    }
  }
  c.store(y);
  return {};
}

}  // namespace firn
