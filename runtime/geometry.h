// SPDX-License-Identifier: Apache-2.0
// Index arithmetic that inference, the reference and the lowering agree on: axes, strides,
// broadcasting, windows, slices and the coordinates of a resize. 64-bit throughout, so that no
// attribute can overflow it.
#ifndef FIRN_RUNTIME_GEOMETRY_H_
#define FIRN_RUNTIME_GEOMETRY_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include "firn/tensor.h"
#include "runtime/ops.h"

namespace firn {

// `axis` counted from the front; nullopt outside [-rank, rank).
std::optional<int> normalize_axis(int32_t axis, int rank);

// The common shape as in NumPy; nullopt where there is none.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

// The number of elements of some of a shape's dimensions.
int64_t product(std::span<const int32_t> dims);

// Distance, in elements, of neighbours along each axis.
using Strides = std::array<int64_t, kMaxRank>;
Strides dense_strides(const Shape& shape);
// The strides that read a tensor of shape `from` as if it had been broadcast to `to`.
Strides broadcast_strides(const Shape& from, const Shape& to);

// Output size of a window along rows (axis 0) or columns (1) of `in`; below 1 where it does not
// fit.
int64_t window_output(int64_t in, const Window& window, int axis, bool ceil);
// The taps of a pool's window along one axis, for output row or column `out`: tap k is at input
// first + k * dilation; [begin, end) are inside the input, `counted` of all before the end of the
// padding. What a rounded-up output reads behind that never counts.
struct WindowTaps {
  int64_t first = 0, begin = 0, end = 0, counted = 0;
};
WindowTaps window_taps(const Window& window, int axis, int64_t out, int64_t in);
// Output size of a transposed convolution along rows or columns.
int64_t transposed_output(int64_t in, const ConvTranspose2d& op, int axis);

// One axis of a Slice, clipped to the input: elements begin, begin + step, ...
struct SliceAxis {
  int64_t begin = 0, step = 1, count = 0;
};
SliceAxis slice_axis(int32_t begin, int32_t end, int32_t step, int32_t dim);

// The input coordinate behind output coordinate `i` of a padded axis; -1 for the pad value.
int64_t pad_source(Pad::Mode mode, int64_t i, int64_t before, int64_t dim);

// Output size of a resize along rows or columns.
int64_t resize_output(int64_t in, const Resize2d& op, int axis);
// The input coordinate that output pixel `x` reads, not clipped to the input.
double resize_source(const Resize2d& op, int axis, int64_t x, int64_t in, int64_t out);
// Axis number i of those that a resize has, of an input of that shape.
struct ResizeAxis {
  int64_t in = 1, out = 1;
  double numerator = 1, denominator = 1;  // of the scale: exact where it comes from sizes
  double begin = 0, end = 1;              // of what is cropped
  double scale() const { return numerator / denominator; }
};
ResizeAxis resize_axis(const Resize& op, const Shape& in, size_t i);
// The input coordinate that output position `x` reads, not clipped to the input.
double resize_source(const Resize& op, const ResizeAxis& axis, int64_t x);
// The input pixel that a nearest resize takes for a source coordinate.
int64_t resize_nearest(Resize2d::Nearest mode, double source, int64_t in);

// Visits the indices of a shape in row-major order and keeps the offsets of up to kOperands
// tensors, each by its own strides: for (Walk w(shape, {a, b}); !w.done(); w.next()) use(w[0],
// w[1]);
class Walk {
 public:
  static constexpr size_t kOperands = 4;

  Walk(const Shape& shape, std::initializer_list<Strides> strides);
  bool done() const { return done_; }
  void next();
  int64_t operator[](size_t operand) const { return offset_[operand]; }

 private:
  Shape shape_;
  size_t operands_;
  bool done_;
  std::array<int32_t, kMaxRank> index_{};
  std::array<int64_t, kOperands> offset_{};
  std::array<Strides, kOperands> stride_{};
};

}  // namespace firn

#endif  // FIRN_RUNTIME_GEOMETRY_H_
