// SPDX-License-Identifier: Apache-2.0
// The reference of Resize: one axis after the other, each output position a weighted sum of a few
// input positions.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

struct Tap {
  int64_t position;
  double weight;
};
// What one output position reads. None: it lies outside of what is cropped.
using Taps = std::vector<Tap>;

// Keys' kernel with the coefficient a.
double cubic(double a, double x) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

double kernel(const Resize& op, double x) {
  if (op.kind == Resize::Kind::cubic) return cubic(static_cast<double>(op.cubic), x);
  return std::max(0.0, 1 - std::abs(x));
}

// Positions outside the input repeat its edge, or do not count where op.exclude_outside.
Taps taps_at(const Resize& op, const ResizeAxis& axis, double source) {
  const double last = static_cast<double>(axis.in - 1);
  if (op.coordinates == Resize::Coordinates::crop && (source < 0 || source > last)) return {};
  if (op.kind == Resize::Kind::nearest) return {{resize_nearest(op.nearest, source, axis.in), 1.0}};
  const double shrink = op.antialias ? std::min(axis.scale(), 1.0) : 1.0;
  const double reach = (op.kind == Resize::Kind::cubic ? 2 : 1) / shrink;
  // Far outside all taps are one edge.
  source = std::clamp(source, -reach - 1, last + reach + 1);
  const int64_t floor = static_cast<int64_t>(std::floor(source));
  const int64_t half = static_cast<int64_t>(std::ceil(reach));
  Taps taps;
  double sum = 0;
  for (int64_t at = floor - half + 1; at <= floor + half; ++at) {
    double weight = kernel(op, (static_cast<double>(at) - source) * shrink);
    if (op.exclude_outside && (at < 0 || at >= axis.in)) weight = 0;
    sum += weight;
    const int64_t position = std::clamp<int64_t>(at, 0, axis.in - 1);
    if (!taps.empty() && taps.back().position == position)
      taps.back().weight += weight;
    else
      taps.push_back({position, weight});
  }
  if ((op.exclude_outside || op.antialias) && sum != 0)
    for (Tap& tap : taps) tap.weight /= sum;
  return taps;
}

std::vector<Taps> all_taps(const Resize& op, const ResizeAxis& axis) {
  std::vector<Taps> taps;
  for (int64_t i = 0; i < axis.out; ++i)
    taps.push_back(taps_at(op, axis, resize_source(op, axis, i)));
  return taps;
}

// Moves elements: a nearest resize is one of any type.
Status move_nearest(const Call& c, const Resize& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  const Strides strides = dense_strides(xs);
  std::array<std::vector<int64_t>, kMaxRank> offset;  // by axis and position; -1: outside
  for (int d = 0; d < ys.rank; ++d)
    for (int64_t i = 0; i < ys[d]; ++i)
      offset[static_cast<size_t>(d)].push_back(i * strides[static_cast<size_t>(d)]);
  for (size_t i = 0; i < op.axes.size(); ++i) {
    const size_t d = static_cast<size_t>(op.axes[i]);
    const std::vector<Taps> taps = all_taps(op, resize_axis(op, xs, i));
    for (size_t j = 0; j < taps.size(); ++j)
      offset[d][j] = taps[j].empty() ? -1 : taps[j][0].position * strides[d];
  }
  alignas(8) std::array<std::byte, 8> fill{};
  float extrapolation = op.extrapolation;
  const Tensor one{c.out.type, Shape{}, fill.data()};
  convert({DType::f32, Shape{}, &extrapolation}, std::nullopt, one, c.out_quant());
  const Mover mover(x.tensor, c.out), filler(one, c.out);
  for (int64_t to = 0; to < static_cast<int64_t>(ys.elements()); ++to) {
    int64_t rest = to, from = 0;
    bool inside = true;
    for (int d = ys.rank - 1; d >= 0; --d) {
      const int64_t part = offset[static_cast<size_t>(d)][static_cast<size_t>(rest % ys[d])];
      inside = inside && part >= 0;
      from += part;
      rest /= ys[d];
    }
    if (inside)
      mover.move(to, from);
    else
      filler.move(to, 0);
  }
  return {};
}

}  // namespace

Status compute(const Call& c, const Resize& op) {
  if (op.kind == Resize::Kind::nearest) return move_nearest(c, op);
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  Shape shape = c.in[0].shape;
  std::vector<double> from(x.f32().begin(), x.f32().end()), to;
  for (size_t i = 0; i < op.axes.size(); ++i) {
    const ResizeAxis axis = resize_axis(op, c.in[0].shape, i);
    const std::vector<Taps> taps = all_taps(op, axis);
    const size_t d = static_cast<size_t>(op.axes[i]);
    const int64_t outer = product(shape.dims().first(d));
    const int64_t inner = product(shape.dims().subspan(d + 1));
    to.assign(static_cast<size_t>(outer * axis.out * inner), 0);
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t j = 0; j < axis.out; ++j) {
        double* row = to.data() + (o * axis.out + j) * inner;
        if (taps[static_cast<size_t>(j)].empty())
          std::fill_n(row, inner, static_cast<double>(op.extrapolation));
        for (const Tap& tap : taps[static_cast<size_t>(j)]) {
          const double* source = from.data() + (o * axis.in + tap.position) * inner;
          for (int64_t e = 0; e < inner; ++e) row[e] += tap.weight * source[e];
        }
      }
    shape[op.axes[i]] = static_cast<int32_t>(axis.out);
    from.swap(to);
  }
  std::ranges::transform(from, y.f32().begin(), [](double v) { return static_cast<float>(v); });
  c.store(y);
  return {};
}

}  // namespace firn
