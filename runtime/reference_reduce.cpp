// SPDX-License-Identifier: Apache-2.0
// The reference operators that reduce, compare or normalize along axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

// The axes of a shape that are reduced, and those that are not, each with the input's strides.
struct Split {
  Shape kept, reduced;
  Strides kept_strides{}, reduced_strides{};
};

Split split(const Shape& shape, const std::vector<int32_t>& axes) {
  Split s;
  const Strides strides = dense_strides(shape);
  for (int i = 0; i < shape.rank; ++i) {
    const bool reduced = std::ranges::find(axes, i) != axes.end();
    Shape& part = reduced ? s.reduced : s.kept;
    (reduced ? s.reduced_strides : s.kept_strides)[part.rank] = strides[static_cast<size_t>(i)];
    part[part.rank++] = shape[i];
  }
  return s;
}

// One element of the result, from the inputs that `walk` visits.
double reduce(Reduce::Kind kind, const float* x, Walk walk) {
  using Kind = Reduce::Kind;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double sum = 0, product = 1, squares = 0, absolutes = 0, count = 0;
  double largest = -kInfinity, smallest = kInfinity;
  Walk again = walk;
  for (; !walk.done(); walk.next()) {
    const double v = static_cast<double>(x[walk[0]]);
    sum += v;
    product *= v;
    squares += v * v;
    absolutes += std::abs(v);
    count += 1;
    if (!(v <= largest) && !std::isnan(largest)) largest = v;  // NaN wins, as in NumPy
    if (!(v >= smallest) && !std::isnan(smallest)) smallest = v;
  }
  switch (kind) {
    case Kind::mean:
      return sum / count;
    case Kind::sum:
      return sum;
    case Kind::max:
      return largest;
    case Kind::min:
      return smallest;
    case Kind::prod:
      return product;
    case Kind::sum_square:
      return squares;
    case Kind::l1:
      return absolutes;
    case Kind::l2:
      return std::sqrt(squares);
    case Kind::log_sum_exp: {
      if (!std::isfinite(largest)) return largest;
      double exponentials = 0;  // relative to the largest, so that none overflows
      for (; !again.done(); again.next())
        exponentials += std::exp(static_cast<double>(x[again[0]]) - largest);
      return largest + std::log(exponentials);
    }
  }
  return 0;
}

// The kinds that inference lets pass on integers; sums and products wrap.
int64_t reduce_integers(Reduce::Kind kind, const int64_t* x, Walk walk) {
  using Kind = Reduce::Kind;
  uint64_t sum = 0, product = 1, squares = 0, absolutes = 0;
  int64_t largest = INT64_MIN, smallest = INT64_MAX;
  for (; !walk.done(); walk.next()) {
    const int64_t v = x[walk[0]];
    const uint64_t u = static_cast<uint64_t>(v);
    sum += u;
    product *= u;
    squares += u * u;
    absolutes += v < 0 ? 0 - u : u;
    largest = std::max(largest, v);
    smallest = std::min(smallest, v);
  }
  switch (kind) {
    case Kind::max:
      return largest;
    case Kind::min:
      return smallest;
    case Kind::prod:
      return static_cast<int64_t>(product);
    case Kind::sum_square:
      return static_cast<int64_t>(squares);
    case Kind::l1:
      return static_cast<int64_t>(absolutes);
    default:
      return static_cast<int64_t>(sum);
  }
}

}  // namespace

Status compute(const Call& c, const Reduce& op) {
  const Split s = split(c.in[0].shape, op.axes);
  const bool integers = c.on_integers(0);
  const DType type = integers ? DType::i64 : DType::f32;
  FIRN_ASSIGN(const Operand x, c.load(0, type));
  FIRN_ASSIGN(const Operand y, c.open(type));
  size_t to = 0;
  for (Walk walk(s.kept, {s.kept_strides}); !walk.done(); walk.next(), ++to) {
    const Walk inner(s.reduced, {s.reduced_strides});
    if (integers)
      y.i64()[to] = reduce_integers(op.kind, x.i64().data() + walk[0], inner);
    else
      y.f32()[to] = static_cast<float>(reduce(op.kind, x.f32().data() + walk[0], inner));
  }
  c.store(y);
  return {};
}

Status compute(const Call& c, const Softmax& op) {
  const int axis = *normalize_axis(op.axis, c.in[0].shape.rank);
  const Split s = split(c.in[0].shape, {axis});
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  for (Walk walk(s.kept, {s.kept_strides}); !walk.done(); walk.next()) {
    const float* from = x.f32().data() + walk[0];
    float* to = y.f32().data() + walk[0];
    const Walk line(s.reduced, {s.reduced_strides});
    const double total = reduce(Reduce::Kind::log_sum_exp, from, line);
    for (Walk i = line; !i.done(); i.next()) {
      const double log = static_cast<double>(from[i[0]]) - total;
      to[i[0]] = static_cast<float>(op.log ? log : std::exp(log));
    }
  }
  c.store(y);
  return {};
}

namespace {

// Position of the first largest or smallest of `count` elements.
template <typename T>
int64_t arg_max(const T* x, int64_t count, int64_t stride, bool min) {
  int64_t best = 0;
  for (int64_t i = 1; i < count; ++i) {
    const T v = x[i * stride], b = x[best * stride];
    if (min ? v < b : v > b) best = i;
  }
  return best;
}

}  // namespace

Status compute(const Call& c, const ArgMax& op) {
  const Shape& shape = c.in[0].shape;
  const int axis = *normalize_axis(op.axis, shape.rank);
  const Split s = split(shape, {axis});
  const bool integers = c.on_integers(0);
  FIRN_ASSIGN(const Operand x, c.load(0, integers ? DType::i64 : DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::i64));
  const int64_t count = shape[axis], stride = s.reduced_strides[0];
  size_t to = 0;
  for (Walk walk(s.kept, {s.kept_strides}); !walk.done(); walk.next())
    y.i64()[to++] = integers ? arg_max(x.i64().data() + walk[0], count, stride, op.min)
                             : arg_max(x.f32().data() + walk[0], count, stride, op.min);
  c.store(y);
  return {};
}

}  // namespace firn
