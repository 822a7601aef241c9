// SPDX-License-Identifier: Apache-2.0
// The reference operators that sort, search and add up along axes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/geometry.h"
#include "runtime/positions.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

// A shape seen from one axis.
struct Lines {
  int64_t outer, length, stride;

  Lines(const Shape& shape, int axis)
      : outer(product(shape.dims().first(static_cast<size_t>(axis)))),
        length(shape[axis]),
        stride(product(shape.dims().subspan(static_cast<size_t>(axis) + 1))) {}
  // Calls visit(first element, of a dense line of `to` elements in the same place) for each line.
  template <typename Visit>
  void each(int64_t to, Visit visit) const {
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < stride; ++i) visit(o * length * stride + i, o * to * stride + i);
  }
};

// Orders as numbers do, NaN above all.
template <typename T>
bool is_above(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  }
  return a > b;
}

// Of each line of x, which k elements come first: positions in `order` lines of k.
template <typename T>
void select(const T* x, const Lines& lines, int64_t k, bool largest, int64_t* order) {
  std::vector<int64_t> line(static_cast<size_t>(lines.length));
  lines.each(k, [&](int64_t from, int64_t to) {
    std::iota(line.begin(), line.end(), int64_t{0});
    std::partial_sort(line.begin(), line.begin() + k, line.end(), [&](int64_t i, int64_t j) {
      const T a = x[from + i * lines.stride], b = x[from + j * lines.stride];
      if (largest ? is_above(a, b) : is_above(b, a)) return true;
      if (largest ? is_above(b, a) : is_above(a, b)) return false;
      return i < j;
    });
    for (int64_t i = 0; i < k; ++i) order[to + i * lines.stride] = line[static_cast<size_t>(i)];
  });
}

// Sums along lines; unsigned, so that integers wrap.
template <typename T, typename Sum>
void add_up(const T* x, const Lines& lines, const CumSum& op, T* y) {
  lines.each(lines.length, [&](int64_t first, int64_t) {
    Sum sum = 0;
    for (int64_t i = 0; i < lines.length; ++i) {
      const int64_t at = first + (op.reverse ? lines.length - 1 - i : i) * lines.stride;
      const Sum with = sum + static_cast<Sum>(x[at]);
      y[at] = static_cast<T>(op.exclusive ? sum : with);
      sum = with;
    }
  });
}

}  // namespace

bool is_nonzero(const Tensor& x, size_t i) {
  std::byte* element = static_cast<std::byte*>(x.data) + i * dtype_bytes(x.type);
  if (x.type == DType::f32 || x.type == DType::f16) {
    float number = 0;  // -0 is zero, too
    convert({x.type, Shape{}, element}, std::nullopt, {DType::f32, Shape{}, &number}, std::nullopt);
    return number != 0;
  }
  return std::any_of(element, element + dtype_bytes(x.type),
                     [](std::byte b) { return b != std::byte{0}; });
}

int64_t count_nonzero(const Tensor& x) {
  int64_t count = 0;
  for (size_t i = 0; i < x.shape.elements(); ++i) count += is_nonzero(x, i) ? 1 : 0;
  return count;
}

Status compute(const Call& c, const NonZero&) {
  const Tensor& x = c.in[0];
  FIRN_ASSIGN(const Operand y, c.open(DType::i64));
  const int64_t found = c.out.shape[1];
  int64_t to = 0;
  for (size_t i = 0; i < x.shape.elements(); ++i) {
    if (!is_nonzero(x, i)) continue;
    if (to == found)
      return c.invalid("input has more than " + std::to_string(found) + " elements not zero");
    int64_t rest = static_cast<int64_t>(i);
    for (int axis = x.shape.rank - 1; axis >= 0; --axis) {
      y.i64()[static_cast<size_t>(axis * found + to)] = rest % x.shape[axis];
      rest /= x.shape[axis];
    }
    ++to;
  }
  if (to < found)
    return c.invalid("input has " + std::to_string(to) + " elements not zero, expected " +
                     std::to_string(found));
  c.store(y);
  return {};
}

Status compute(const Call& c, const CumSum& op) {
  int32_t axis = op.axis;
  if (c.in.size() > 1) {
    FIRN_ASSIGN(const Operand given, c.load(1, DType::i64));
    axis = static_cast<int32_t>(std::clamp<int64_t>(given.i64()[0], INT32_MIN, INT32_MAX));
  }
  const std::optional<int> normal = normalize_axis(axis, c.out.shape.rank);
  if (!normal)
    return c.invalid("axis " + std::to_string(axis) + ", input is " + to_string(c.out.shape));
  const Lines lines(c.out.shape, *normal);
  const DType type = c.on_integers(0) ? DType::i64 : DType::f32;
  FIRN_ASSIGN(const Operand x, c.load(0, type));
  FIRN_ASSIGN(const Operand y, c.open(type));
  if (type == DType::i64)
    add_up<int64_t, uint64_t>(x.i64().data(), lines, op, y.i64().data());
  else
    add_up<float, double>(x.f32().data(), lines, op, y.f32().data());
  c.store(y);
  return {};
}

Status compute(const Call& c, const TopK& op) {
  const Shape& xs = c.in[0].shape;
  const Lines lines(xs, *normalize_axis(op.axis, xs.rank));
  const int64_t k = c.out.shape[*normalize_axis(op.axis, xs.rank)];
  const DType type = c.on_integers(0) ? DType::i64 : DType::f32;
  FIRN_ASSIGN(const Operand keys, c.load(0, type));
  FIRN_ASSIGN(const Operand order, c.open_output(1, DType::i64));
  if (type == DType::i64)
    select(keys.i64().data(), lines, k, op.largest, order.i64().data());
  else
    select(keys.f32().data(), lines, k, op.largest, order.i64().data());
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Mover mover(x.tensor, c.out);
  lines.each(k, [&](int64_t from, int64_t to) {
    for (int64_t i = 0; i < k; ++i) {
      const int64_t at = to + i * lines.stride;
      mover.move(at, from + order.i64()[static_cast<size_t>(at)] * lines.stride);
    }
  });
  c.store(order, 1);
  return {};
}

}  // namespace firn
