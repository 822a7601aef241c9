// SPDX-License-Identifier: Apache-2.0
// Index arithmetic of axes, strides, windows, slices and resizes.
#include "runtime/geometry.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace firn {

std::optional<int> normalize_axis(int32_t axis, int rank) {
  if (axis < -rank || axis >= rank) return std::nullopt;
  return axis < 0 ? axis + rank : axis;
}

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  Shape common;
  common.rank = std::max(a.rank, b.rank);
  for (int i = 1; i <= common.rank; ++i) {
    const int32_t da = i <= a.rank ? a[a.rank - i] : 1;
    const int32_t db = i <= b.rank ? b[b.rank - i] : 1;
    if (da != db && da != 1 && db != 1) return std::nullopt;
    common[common.rank - i] = da == 1 ? db : da;
  }
  return common;
}

int64_t product(std::span<const int32_t> dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

Strides dense_strides(const Shape& shape) {
  Strides strides{};
  int64_t stride = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = stride;
    stride *= std::max(shape[i], 1);
  }
  return strides;
}

Strides broadcast_strides(const Shape& from, const Shape& to) {
  const Strides dense = dense_strides(from);
  const int lead = to.rank - from.rank;
  Strides strides{};
  for (int i = 0; i < from.rank; ++i)
    if (from[i] != 1) strides[static_cast<size_t>(lead + i)] = dense[static_cast<size_t>(i)];
  return strides;
}

int64_t window_output(int64_t in, const Window& window, int axis, bool ceil) {
  const size_t a = static_cast<size_t>(axis);
  const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
  const int64_t stride = window.stride[a];
  const int64_t room = in + window.pad[a] + window.pad[a + 2] - reach;
  if (room < 0) return 0;
  int64_t out = (room + (ceil ? stride - 1 : 0)) / stride + 1;
  // A window that would start behind input and left pad sees nothing.
  if (ceil && (out - 1) * stride >= in + window.pad[a]) --out;
  return out;
}

WindowTaps window_taps(const Window& window, int axis, int64_t out, int64_t in) {
  const size_t a = static_cast<size_t>(axis);
  const int64_t dilation = window.dilation[a], kernel = window.kernel[a];
  const int64_t first = out * window.stride[a] - window.pad[a];
  const auto taps_before = [&](int64_t position) {  // taps at less than `position`
    const int64_t room = std::max<int64_t>(position - first, 0);
    return std::min(kernel, (room + dilation - 1) / dilation);
  };
  return {first, taps_before(0), taps_before(in), taps_before(in + window.pad[a + 2])};
}

int64_t transposed_output(int64_t in, const ConvTranspose2d& op, int axis) {
  const size_t a = static_cast<size_t>(axis);
  const Window& w = op.window;
  const int64_t reach = int64_t{w.dilation[a]} * (w.kernel[a] - int64_t{1}) + 1;
  return (in - 1) * w.stride[a] + reach - w.pad[a] - w.pad[a + 2] + op.output_pad[a];
}

SliceAxis slice_axis(int32_t begin, int32_t end, int32_t step, int32_t dim) {
  const int64_t d = dim;
  int64_t b = begin < 0 ? begin + d : begin;
  int64_t e = end < 0 ? end + d : end;
  if (step > 0) {
    b = std::clamp<int64_t>(b, 0, d);
    e = std::clamp<int64_t>(e, 0, d);
    return {b, step, std::max<int64_t>(0, (e - b + step - 1) / step)};
  }
  b = std::clamp<int64_t>(b, -1, d - 1);
  e = std::clamp<int64_t>(e, -1, d - 1);
  const int64_t back = -int64_t{step};
  return {b, step, std::max<int64_t>(0, (b - e + back - 1) / back)};
}

int64_t pad_source(Pad::Mode mode, int64_t i, int64_t before, int64_t dim) {
  const int64_t at = i - before;
  if (at >= 0 && at < dim) return at;
  switch (mode) {
    case Pad::Mode::constant:
      return -1;
    case Pad::Mode::edge:
      return std::clamp<int64_t>(at, 0, dim - 1);
    case Pad::Mode::reflect:
      return at < 0 ? -at : 2 * (dim - 1) - at;
    case Pad::Mode::symmetric:
      return at < 0 ? -at - 1 : 2 * dim - 1 - at;
    case Pad::Mode::wrap:
      return (at % dim + dim) % dim;
  }
  return -1;
}

int64_t resize_output(int64_t in, const Resize2d& op, int axis) {
  const size_t a = static_cast<size_t>(axis);
  if (op.size[a] != 0) return op.size[a];
  // In float, as the models' exporters have it: 10 * 0.7f is 7.
  const float out = std::floor(static_cast<float>(in) * op.scale[a]);
  return out < 2147483648.0f ? static_cast<int64_t>(out) : INT64_MAX;
}

double resize_source(const Resize2d& op, int axis, int64_t x, int64_t in, int64_t out) {
  using Coordinates = Resize2d::Coordinates;
  const size_t a = static_cast<size_t>(axis);
  const auto unscale = [&](double v) {
    return op.size[a] != 0 ? v * static_cast<double>(in) / static_cast<double>(out)
                           : v / static_cast<double>(op.scale[a]);
  };
  const double at = static_cast<double>(x);
  switch (op.coordinates) {
    case Coordinates::half_pixel:
      return unscale(at + 0.5) - 0.5;
    case Coordinates::pytorch_half_pixel:
      return out > 1 ? unscale(at + 0.5) - 0.5 : 0.0;
    case Coordinates::asymmetric:
      return unscale(at);
    case Coordinates::align_corners:
      return out > 1 ? at * static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
  }
  return 0.0;
}

ResizeAxis resize_axis(const Resize& op, const Shape& in, size_t i) {
  ResizeAxis axis;
  axis.in = in[op.axes[i]];
  if (!op.begin.empty()) axis.begin = static_cast<double>(op.begin[i]);
  if (!op.end.empty()) axis.end = static_cast<double>(op.end[i]);
  if (op.size.empty() || op.size[i] == 0) {
    const float out = std::floor(static_cast<float>(axis.in) * op.scale[i]);  // as resize_output()
    axis.out = out < 2147483648.0f ? static_cast<int64_t>(out) : INT64_MAX;
    axis.numerator = static_cast<double>(op.scale[i]);
    return axis;
  }
  axis.out = op.size[i];
  axis.numerator = op.size[i];
  axis.denominator = static_cast<double>(axis.in);
  if (op.aspect == Resize::Aspect::stretch) return axis;
  // One scale for all axes: the least that a size asks for, or the largest.
  for (size_t j = 0; j < op.axes.size(); ++j) {
    const double size = op.size[j], dim = in[op.axes[j]];
    const bool less = size * axis.denominator < axis.numerator * dim;
    if (less == (op.aspect == Resize::Aspect::not_larger)) {
      axis.numerator = size;
      axis.denominator = dim;
    }
  }
  axis.out = static_cast<int64_t>(
      std::floor(static_cast<double>(axis.in) * axis.numerator / axis.denominator + 0.5));
  return axis;
}

double resize_source(const Resize& op, const ResizeAxis& axis, int64_t x) {
  using Coordinates = Resize::Coordinates;
  const double in = static_cast<double>(axis.in), at = static_cast<double>(x);
  const double length = in * axis.numerator / axis.denominator;  // the output's, may be fractional
  const auto unscale = [&](double v) { return v * axis.denominator / axis.numerator; };
  switch (op.coordinates) {
    case Coordinates::half_pixel:
      return unscale(at + 0.5) - 0.5;
    case Coordinates::pytorch_half_pixel:
      return length > 1 ? unscale(at + 0.5) - 0.5 : 0.0;
    case Coordinates::asymmetric:
      return unscale(at);
    case Coordinates::align_corners:
      return length > 1 ? at * (in - 1) / (length - 1) : 0.0;
    case Coordinates::half_pixel_symmetric: {
      const double adjustment = static_cast<double>(axis.out) / length;
      return in / 2 * (1 - adjustment) + unscale(at + 0.5) - 0.5;
    }
    case Coordinates::crop: {
      const double part = axis.end - axis.begin;
      if (axis.out == 1) return (axis.begin + axis.end) / 2 * (in - 1);
      return axis.begin * (in - 1) + at * part * (in - 1) / (length - 1);
    }
  }
  return 0.0;
}

int64_t resize_nearest(Resize2d::Nearest mode, double source, int64_t in) {
  using Nearest = Resize2d::Nearest;
  double pixel = 0;
  switch (mode) {
    case Nearest::round_prefer_floor:
      pixel = std::ceil(source - 0.5);
      break;
    case Nearest::round_prefer_ceil:
      pixel = std::floor(source + 0.5);
      break;
    case Nearest::floor:
      pixel = std::floor(source);
      break;
    case Nearest::ceil:
      pixel = std::ceil(source);
      break;
  }
  return static_cast<int64_t>(std::clamp(pixel, 0.0, static_cast<double>(in - 1)));
}

Walk::Walk(const Shape& shape, std::initializer_list<Strides> strides)
    : shape_(shape), operands_(strides.size()), done_(shape.elements() == 0) {
  if (operands_ > kOperands) fatal(__FILE__, __LINE__, "a Walk over more than kOperands tensors");
  std::copy(strides.begin(), strides.end(), stride_.begin());
}

void Walk::next() {
  for (size_t axis = shape_.rank; axis-- > 0;) {
    for (size_t k = 0; k < operands_; ++k) offset_[k] += stride_[k][axis];
    if (++index_[axis] < shape_.dim[axis]) return;
    for (size_t k = 0; k < operands_; ++k) offset_[k] -= stride_[k][axis] * shape_.dim[axis];
    index_[axis] = 0;
  }
  done_ = true;
}

}  // namespace firn
