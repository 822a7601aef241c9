// SPDX-License-Identifier: Apache-2.0
// The reference operators that read and write elements at positions that the graph computes.
#include <algorithm>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

// The element along an axis of `dim` that an index means, counted from the end where negative.
Result<int64_t> wrapped(const Call& c, int64_t index, int axis, int64_t dim) {
  if (index >= -dim && index < dim) return index < 0 ? index + dim : index;
  return c.invalid("index " + std::to_string(index) + ", axis " + std::to_string(axis) +
                   " of the input has " + std::to_string(dim));
}

// Positions in x of whole rows: what the dimensions hold that an index does not name.
struct Rows {
  const Call& c;
  const Shape& x;
  Strides strides;
  int batch;   // dimensions in front of those that an index names
  int length;  // how many it names
  int64_t size;

  Rows(const Call& call, const Shape& shape, int batch_dims, int named)
      : c(call),
        x(shape),
        strides(dense_strides(shape)),
        batch(batch_dims),
        length(named),
        size(product(shape.dims().subspan(static_cast<size_t>(batch_dims + named)))) {}

  Result<int64_t> offset(const int64_t* index) const {
    int64_t at = 0;
    for (int i = 0; i < length; ++i) {
      FIRN_ASSIGN(const int64_t one, wrapped(c, index[i], batch + i, x[batch + i]));
      at += one * strides[static_cast<size_t>(batch + i)];
    }
    return at;
  }
};

// Integers wrap.
template <typename T>
T combined(Scatter::Reduction reduction, T old, T update) {
  using Wrapping = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
  const auto a = static_cast<Wrapping>(old), b = static_cast<Wrapping>(update);
  switch (reduction) {
    case Scatter::Reduction::none:
      return update;
    case Scatter::Reduction::add:
      return static_cast<T>(a + b);
    case Scatter::Reduction::mul:
      return static_cast<T>(a * b);
    case Scatter::Reduction::max:
      return std::max(old, update);
    case Scatter::Reduction::min:
      return std::min(old, update);
  }
  return update;
}

// Calls visit(position in x, position in updates, count) for each run of updates.
template <typename Visit>
Status each_update(const Call& c, const Scatter& op, Visit visit) {
  const Shape& xs = c.in[0].shape;
  const Shape& updates = c.in[2].shape;
  if (updates.elements() == 0) return {};
  FIRN_ASSIGN(const Operand indices, c.load(1, DType::i64));
  if (op.kind == Scatter::Kind::positions) {
    const int length = c.in[1].shape[c.in[1].shape.rank - 1];
    const Rows rows(c, xs, 0, length);
    const int64_t count = static_cast<int64_t>(updates.elements()) / rows.size;
    for (int64_t i = 0; i < count; ++i) {
      FIRN_ASSIGN(const int64_t at, rows.offset(indices.i64().data() + i * length));
      visit(at, i * rows.size, rows.size);
    }
    return {};
  }
  const int axis = *normalize_axis(op.axis, xs.rank);
  Strides strides = dense_strides(xs);
  const int64_t stride = strides[static_cast<size_t>(axis)];
  strides[static_cast<size_t>(axis)] = 0;
  int64_t from = 0;
  for (Walk walk(updates, {strides}); !walk.done(); walk.next(), ++from) {
    FIRN_ASSIGN(const int64_t at,
                wrapped(c, indices.i64()[static_cast<size_t>(from)], axis, xs[axis]));
    visit(walk[0] + at * stride, from, 1);
  }
  return {};
}

// x with each update combined into its place.
template <typename T>
Status reduce_updates(const Call& c, const Scatter& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DTypeOf<T>::value));
  FIRN_ASSIGN(const Operand updates, c.load(2, DTypeOf<T>::value));
  FIRN_ASSIGN(const Operand y, c.open(DTypeOf<T>::value));
  const std::span<T> to = y.tensor.as<T>(), from = updates.tensor.as<T>();
  std::ranges::copy(x.tensor.as<T>(), to.begin());
  FIRN_TRY(each_update(c, op, [&](int64_t at, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      T& element = to[static_cast<size_t>(at + i)];
      element = combined(op.reduction, element, from[static_cast<size_t>(first + i)]);
    }
  }));
  c.store(y);
  return {};
}

}  // namespace

Status compute(const Call& c, const GatherElements& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  FIRN_ASSIGN(const Operand indices, c.load(1, DType::i64));
  const Shape& xs = c.in[0].shape;
  const int axis = *normalize_axis(op.axis, xs.rank);
  Strides strides = dense_strides(xs);
  const int64_t stride = strides[static_cast<size_t>(axis)];
  strides[static_cast<size_t>(axis)] = 0;
  const Mover mover(x.tensor, c.out);
  int64_t to = 0;
  for (Walk walk(c.out.shape, {strides}); !walk.done(); walk.next(), ++to) {
    FIRN_ASSIGN(const int64_t at,
                wrapped(c, indices.i64()[static_cast<size_t>(to)], axis, xs[axis]));
    mover.move(to, walk[0] + at * stride);
  }
  return {};
}

Status compute(const Call& c, const GatherNd& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  FIRN_ASSIGN(const Operand indices, c.load(1, DType::i64));
  const Shape& xs = c.in[0].shape;
  const Shape& is = c.in[1].shape;
  const size_t batch = static_cast<size_t>(op.batch);
  const int length = is[is.rank - 1];
  const Rows rows(c, xs, op.batch, length);
  const int64_t batches = product(xs.dims().first(batch));
  const int64_t step = product(xs.dims().subspan(batch));
  const int64_t each = product(is.dims().subspan(batch, static_cast<size_t>(is.rank) - 1 - batch));
  const Mover mover(x.tensor, c.out);
  int64_t i = 0;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t e = 0; e < each; ++e, ++i) {
      FIRN_ASSIGN(const int64_t at, rows.offset(indices.i64().data() + i * length));
      mover.move(i * rows.size, b * step + at, rows.size);
    }
  return {};
}

Status compute(const Call& c, const Scatter& op) {
  if (op.reduction != Scatter::Reduction::none)
    return c.on_integers(0) ? reduce_updates<int64_t>(c, op) : reduce_updates<float>(c, op);
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  FIRN_ASSIGN(const Operand updates, c.load_as_output(2));
  Mover(x.tensor, c.out).move(0, 0, static_cast<int64_t>(c.out.shape.elements()));
  const Mover mover(updates.tensor, c.out);
  return each_update(
      c, op, [&](int64_t at, int64_t first, int64_t count) { mover.move(at, first, count); });
}

}  // namespace firn
