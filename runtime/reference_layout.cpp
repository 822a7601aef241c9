// SPDX-License-Identifier: Apache-2.0
// The reference operators that move or make elements without computing with them.
#include <algorithm>
#include <array>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

// y = x read with the given strides from `first` on.
Status move_strided(const Call& c, const Strides& strides, int64_t first) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Mover mover(x.tensor, c.out);
  int64_t to = 0;
  for (Walk walk(c.out.shape, {strides}); !walk.done(); walk.next())
    mover.move(to++, first + walk[0]);
  return {};
}

// Every element of the output becomes a copy of the first.
void repeat_first(const Tensor& out) {
  const Mover mover(out, out);
  for (int64_t i = 1; i < static_cast<int64_t>(out.shape.elements()); ++i) mover.move(i, 0);
}

}  // namespace

Status compute(const Call& c, const Concat& op) {
  const Shape& ys = c.out.shape;
  const int axis = *normalize_axis(op.axis, ys.rank);
  const int64_t outer = product(ys.dims().first(static_cast<size_t>(axis)));
  const int64_t row = product(ys.dims().subspan(static_cast<size_t>(axis)));
  int64_t at = 0;
  for (size_t i = 0; i < c.in.size(); ++i) {
    FIRN_ASSIGN(const Operand x, c.load_as_output(i));
    const Mover mover(x.tensor, c.out);
    const int64_t part = product(c.in[i].shape.dims().subspan(static_cast<size_t>(axis)));
    for (int64_t o = 0; o < outer; ++o) mover.move(o * row + at, o * part, part);
    at += part;
  }
  return {};
}

Status compute(const Call& c, const Slice& op) {
  const Shape& xs = c.in[0].shape;
  Strides strides = dense_strides(xs);
  int64_t first = 0;
  for (int i = 0; i < xs.rank; ++i) {
    const size_t a = static_cast<size_t>(i);
    const SliceAxis axis = slice_axis(op.begin[a], op.end[a], op.step[a], xs[i]);
    first += axis.begin * strides[a];
    // A step that is never taken may be too large to multiply with.
    strides[a] = axis.count > 1 ? strides[a] * axis.step : 0;
  }
  return move_strided(c, strides, first);
}

Status compute(const Call& c, const Pad& op) {
  if (c.out_quant() && !c.out_quant()->per_tensor())
    return {Code::unsupported, describe(c.node) + ": pads a tensor quantized by channel"};
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  const Strides strides = dense_strides(xs);
  alignas(8) std::array<std::byte, 8> fill{};
  float value = op.value;
  const Tensor one{c.out.type, Shape{}, fill.data()};
  convert({DType::f32, Shape{}, &value}, std::nullopt, one, c.out_quant());
  const Mover mover(x.tensor, c.out), filler(one, c.out);
  for (int64_t to = 0; to < static_cast<int64_t>(ys.elements()); ++to) {
    int64_t rest = to, from = 0;
    bool inside = true;
    for (int i = ys.rank - 1; i >= 0; --i) {
      const size_t a = static_cast<size_t>(i);
      const int64_t at = pad_source(op.mode, rest % ys[i], op.before[a], xs[i]);
      rest /= ys[i];
      inside = inside && at >= 0;
      from += at * strides[a];
    }
    if (inside)
      mover.move(to, from);
    else
      filler.move(to, 0);
  }
  return {};
}

Status compute(const Call& c, const Reshape&) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  Mover(x.tensor, c.out).move(0, 0, static_cast<int64_t>(c.out.shape.elements()));
  return {};
}

Status compute(const Call& c, const Transpose& op) {
  const Strides from = dense_strides(c.in[0].shape);
  Strides strides{};
  for (size_t i = 0; i < op.perm.size(); ++i) strides[i] = from[static_cast<size_t>(op.perm[i])];
  return move_strided(c, strides, 0);
}

Status compute(const Call& c, const Expand&) {
  return move_strided(c, broadcast_strides(c.in[0].shape, c.out.shape), 0);
}

Status compute(const Call& c, const Tile&) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  const Shape& xs = c.in[0].shape;
  const Shape& ys = c.out.shape;
  const Strides strides = dense_strides(xs);
  const Mover mover(x.tensor, c.out);
  for (int64_t to = 0; to < static_cast<int64_t>(ys.elements()); ++to) {
    int64_t rest = to, from = 0;
    for (int i = ys.rank - 1; i >= 0; --i) {
      from += rest % ys[i] % xs[i] * strides[static_cast<size_t>(i)];
      rest /= ys[i];
    }
    mover.move(to, from);
  }
  return {};
}

Status compute(const Call& c, const Squeeze&) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  Mover(x.tensor, c.out).move(0, 0, static_cast<int64_t>(c.out.shape.elements()));
  return {};
}

Status compute(const Call& c, const Gather& op) {
  FIRN_ASSIGN(const Operand x, c.load_as_output(0));
  FIRN_ASSIGN(const Operand indices, c.load(1, DType::i64));
  const Shape& xs = c.in[0].shape;
  const int axis = *normalize_axis(op.axis, xs.rank);
  const int64_t dim = xs[axis];
  const int64_t outer = product(xs.dims().first(static_cast<size_t>(axis)));
  const int64_t inner = product(xs.dims().subspan(static_cast<size_t>(axis) + 1));
  const Mover mover(x.tensor, c.out);
  int64_t to = 0;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i : indices.i64()) {
      if (i < -dim || i >= dim)
        return c.invalid("index " + std::to_string(i) + ", axis " + std::to_string(axis) +
                         " of the input has " + std::to_string(dim));
      mover.move(to, (o * dim + (i < 0 ? i + dim : i)) * inner, inner);
      to += inner;
    }
  return {};
}

Status compute(const Call& c, const ShapeOf& op) {
  FIRN_ASSIGN(const Operand y, c.open(DType::i64));
  const int64_t rank = c.in[0].shape.rank;
  const int64_t begin = std::clamp<int64_t>(op.begin < 0 ? op.begin + rank : op.begin, 0, rank);
  for (size_t i = 0; i < y.i64().size(); ++i)
    y.i64()[i] = c.in[0].shape[static_cast<int>(begin) + static_cast<int>(i)];
  c.store(y);
  return {};
}

Status compute(const Call& c, const Fill& op) {
  write_number(c.out, 0, op.value);
  repeat_first(c.out);
  return {};
}

Status compute(const Call& c, const Range&) {
  const DType type = c.on_integers(0) ? DType::i64 : DType::f32;
  FIRN_ASSIGN(const Operand start, c.load(0, type));
  FIRN_ASSIGN(const Operand delta, c.load(2, type));
  FIRN_ASSIGN(const Operand y, c.open(type));
  const size_t n = c.out.shape.elements();
  for (size_t i = 0; i < n; ++i) {
    if (type == DType::i64) {
      const uint64_t offset = static_cast<uint64_t>(delta.i64()[0]) * i;
      y.i64()[i] = static_cast<int64_t>(static_cast<uint64_t>(start.i64()[0]) + offset);
    } else {
      y.f32()[i] = static_cast<float>(static_cast<double>(start.f32()[0]) +
                                      static_cast<double>(i) * static_cast<double>(delta.f32()[0]));
    }
  }
  c.store(y);
  return {};
}

}  // namespace firn
