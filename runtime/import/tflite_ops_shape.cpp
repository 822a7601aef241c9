// SPDX-License-Identifier: Apache-2.0
// Shapes: given, asked for, filled.
#include <algorithm>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

// The numbers of a target shape; one -1 takes the rest.
Result<ValueId> reshape_to(Context& c, ValueId x, const std::vector<int64_t>& dims) {
  std::vector<TargetDim> to;
  for (const int64_t dim : dims) {
    if (dim < -1 || dim > INT32_MAX) {
      return c.malformed("it asks for a dimension of " + std::to_string(dim));
    }
    to.push_back(dim < 0 ? TargetDim::rest() : TargetDim::of(dim));
  }
  if (std::ranges::count(dims, -1) > 1) return c.malformed("two dimensions are to be inferred");
  return c.reshape("", x, to);
}

// The shape is an input, or an option in old files.
Status reshape(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::ReshapeOptions>(wire::BuiltinOptions::Reshape));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (!c.has(1)) {
    if (options == nullptr || options->new_shape() == nullptr) {
      return c.malformed("no shape is given");
    }
    return c.bind(reshape_to(c, x, {options->new_shape()->begin(), options->new_shape()->end()}));
  }
  FIRN_ASSIGN(const ValueId target, c.input(1));
  if (!c.builder.is_constant(target)) {
    return c.bind(c.move("", Reshape{{}, true}, {x, target}));
  }
  FIRN_ASSIGN(const std::vector<int64_t> dims, c.ints(1));
  return c.bind(reshape_to(c, x, dims));
}

// x without those of its dimensions that are marked.
Result<ValueId> without(Context& c, ValueId x, const std::vector<bool>& dropped) {
  std::vector<TargetDim> to;
  for (int d = 0; d < c.rank(x); ++d) {
    if (!dropped[static_cast<size_t>(d)]) to.push_back(TargetDim::copy(d));
  }
  return c.reshape("", x, to);
}

Status squeeze(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::SqueezeOptions>(wire::BuiltinOptions::Squeeze));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const Shape& shape = c.shape(x);
  std::vector<bool> dropped(shape.rank);
  const auto* dims = options == nullptr ? nullptr : options->squeeze_dims();
  if (dims == nullptr || dims->size() == 0) {
    for (int d = 0; d < shape.rank; ++d) dropped[static_cast<size_t>(d)] = shape[d] == 1;
    return c.bind(without(c, x, dropped));
  }
  for (const int32_t number : *dims) {
    FIRN_ASSIGN(const int32_t axis, c.axis(number, shape.rank));
    if (shape[axis] != 1) {
      return c.malformed("dimension " + std::to_string(axis) + " of " + to_string(shape) +
                         " is not 1");
    }
    dropped[static_cast<size_t>(axis)] = true;
  }
  return c.bind(without(c, x, dropped));
}

Status expand_dims(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (!c.is_known(1)) {
    FIRN_ASSIGN(const ValueId computed, c.input(1));
    FIRN_ASSIGN(const ValueId axes, c.reshape("axes", computed, {TargetDim::of(1)}));
    return c.bind(c.move("", Squeeze{true}, {x, axes}));
  }
  FIRN_ASSIGN(const int32_t axis, c.axis_input(1, c.rank(x) + 1));
  std::vector<TargetDim> to;
  for (int d = 0; d < c.rank(x); ++d) to.push_back(TargetDim::copy(d));
  to.insert(to.begin() + axis, TargetDim::of(1));
  return c.bind(c.reshape("", x, to));
}

Status shape(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(c.emit("", ShapeOf{}, {x}));
}

Status rank(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(c.scalar("", DType::i32, c.rank(x)));
}

// Shapes are int64 in canonical operators.
Result<ValueId> shape_input(Context& c, size_t i) {
  FIRN_ASSIGN(const ValueId id, c.input(i));
  if (c.type(id) == DType::i64) return id;
  if (c.type(id) != DType::i32) {
    return c.malformed(std::string("its shape is ") + dtype_name(c.type(id)));
  }
  return c.convert("shape", id, DType::i64);
}

Status broadcast_to(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  FIRN_ASSIGN(const ValueId to, shape_input(c, 1));
  return c.bind(c.emit("", Expand{}, {x, to}));
}

Status fill(Context& c) {
  FIRN_ASSIGN(const ValueId to, shape_input(c, 0));
  FIRN_ASSIGN(const ValueId value, c.number(1));
  if (c.shape(value).elements() != 1) {
    return c.malformed("its value is " + to_string(c.shape(value)));
  }
  return c.bind(c.emit("", Expand{}, {value, to}));
}

Status zeros_like(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  FIRN_ASSIGN(const ValueId of, c.emit("shape", ShapeOf{}, {x}));
  return c.bind(c.emit("", Fill{c.type(x), 0}, {of}));
}

Status range(Context& c) {
  std::vector<ValueId> in;
  for (size_t i = 0; i < 3; ++i) {
    FIRN_ASSIGN(const ValueId id, c.number(i));
    in.push_back(id);
  }
  return c.bind(c.emit("", Range{}, std::move(in)));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::BROADCAST_TO, broadcast_to},
    {wire::BuiltinOperator::EXPAND_DIMS, expand_dims},
    {wire::BuiltinOperator::FILL, fill},
    {wire::BuiltinOperator::RANGE, range},
    {wire::BuiltinOperator::RANK, rank},
    {wire::BuiltinOperator::RESHAPE, reshape},
    {wire::BuiltinOperator::SHAPE, shape},
    {wire::BuiltinOperator::SQUEEZE, squeeze},
    {wire::BuiltinOperator::ZEROS_LIKE, zeros_like},
};

}  // namespace

std::span<const Operator> shape_operators() {
  return kOperators;
}

}  // namespace firn::tflite
