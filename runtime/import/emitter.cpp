// SPDX-License-Identifier: Apache-2.0
// Emits canonical nodes in the name of one node of a model.
#include "runtime/import/emitter.h"

#include <algorithm>
#include <limits>

namespace firn::imports {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

bool is_small_integer(DType type) {
  return type == DType::i8 || type == DType::u8 || type == DType::i16;
}

}  // namespace

Status Emitter::fail(Code code, const std::string& what) const {
  return {code, where_ + ": " + what};
}

std::string Emitter::part(std::string_view suffix) const {
  return suffix.empty() ? name_ : name_ + "/" + std::string(suffix);
}

Result<int32_t> Emitter::axis(int64_t axis, int rank) const {
  const int64_t positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    return malformed("axis " + std::to_string(axis) + " of a tensor of rank " +
                     std::to_string(rank));
  }
  return static_cast<int32_t>(positive);
}

Result<ValueId> Emitter::emit(std::string_view suffix, Op op, std::vector<ValueId> in,
                              std::optional<Quant> quant) {
  Result<ValueId> id =
      builder.add_node(part(suffix), std::move(op), std::move(in), std::move(quant));
  if (id.ok()) return id;
  return fail(id.status().code(), id.status().message());
}

Result<ValueId> Emitter::move(std::string_view suffix, Op op, std::vector<ValueId> in) {
  std::optional<Quant> quant = builder.value(in[0]).quant;
  if (quant && !quant->per_tensor()) quant.reset();
  return emit(suffix, std::move(op), std::move(in), std::move(quant));
}

Result<std::vector<ValueId>> Emitter::emit_all(std::string_view suffix, Op op,
                                               std::vector<ValueId> in, size_t outputs) {
  Result<std::vector<ValueId>> ids =
      builder.add_node(part(suffix), std::move(op), std::move(in), outputs);
  if (ids.ok()) return ids;
  return fail(ids.status().code(), ids.status().message());
}

Status Emitter::too_large(size_t bytes) const {
  return unsupported("it needs a constant of " + std::to_string(bytes) +
                     " bytes, too many for a model of this size");
}

Result<ValueId> Emitter::constant_bytes(std::string_view suffix, DType type, const Shape& shape,
                                        std::span<const std::byte> bytes) {
  if (!builder.spend(bytes.size())) return too_large(bytes.size());
  FIRN_ASSIGN(auto memory, Buffer::allocate(bytes.size()));
  std::ranges::copy(bytes, memory.second.begin());
  Value value;
  value.name = builder.unique_name(part(suffix));
  value.type = type;
  value.shape = shape;
  value.constant = std::move(memory.first);
  return builder.add_constant(std::move(value));
}

Result<ValueId> Emitter::scalar(std::string_view suffix, DType type, double value) {
  switch (type) {
    case DType::f32:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<float>(value)));
    case DType::i8:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<int8_t>(value)));
    case DType::u8:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<uint8_t>(value)));
    case DType::i16:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<int16_t>(value)));
    case DType::i32:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<int32_t>(value)));
    case DType::i64:
      return constant_bytes(suffix, type, {}, bytes_of(static_cast<int64_t>(value)));
    default:
      return unsupported(std::string("type ") + dtype_name(type));
  }
}

// The target as a computed vector: pieces of x's shape between numbers.
Result<ValueId> Emitter::dynamic_shape(std::string_view suffix, ValueId x,
                                       const std::vector<TargetDim>& to) {
  const std::string prefix = std::string(suffix) + (suffix.empty() ? "shape" : "_shape");
  std::vector<ValueId> pieces;
  for (const TargetDim& dim : to) {
    if (dim.source >= 0 && shape(x)[dim.source] < 0) {
      FIRN_ASSIGN(const ValueId piece,
                  emit(prefix + "_of", ShapeOf{dim.source, dim.source + 1}, {x}));
      pieces.push_back(piece);
    } else {
      const int64_t number = dim.source >= 0 ? shape(x)[dim.source] : dim.number;
      FIRN_ASSIGN(const ValueId piece,
                  constant<int64_t>(prefix + "_number", {1}, std::span(&number, 1)));
      pieces.push_back(piece);
    }
  }
  return emit(prefix, Concat{0}, std::move(pieces));
}

Result<ValueId> Emitter::reshape(std::string_view suffix, ValueId x,
                                 const std::vector<TargetDim>& to) {
  if (to.size() > kMaxRank) {
    return unsupported("a tensor of rank " + std::to_string(to.size()) + ", at most " +
                       std::to_string(kMaxRank) + " is supported");
  }
  const Shape& from = shape(x);
  Reshape op;
  int open = 0;
  for (size_t i = 0; i < to.size(); ++i) {
    const TargetDim& dim = to[i];
    const int32_t number = dim.source >= 0 ? from[dim.source] : dim.number;
    const bool in_place =
        static_cast<int>(i) < from.rank &&
        (dim.source == static_cast<int>(i) || (number == 0 && from[static_cast<int>(i)] == 0));
    if (dim.source >= 0 && number < 0 && in_place) {
      op.shape.push_back(0);  // copies, whatever it is
    } else if (number == 0 && !in_place) {
      return unsupported("an empty tensor is given another shape");
    } else {
      op.shape.push_back(number);
      if (number < 0) ++open;
    }
  }
  if (open <= 1) return move(suffix, std::move(op), {x});
  FIRN_ASSIGN(const ValueId target, dynamic_shape(suffix, x, to));
  return move(suffix, Reshape{{}, true}, {x, target});
}

Result<ValueId> Emitter::restore(std::string_view suffix, ValueId y, ValueId x, int kept) {
  const Shape& to = shape(x);
  Reshape op;
  for (int d = 0; d < to.rank; ++d) op.shape.push_back(d < kept && to[d] < 0 ? 0 : to[d]);
  if (std::ranges::count(op.shape, -1) <= 1) return move(suffix, std::move(op), {y});
  FIRN_ASSIGN(const ValueId target, emit(std::string(suffix) + "_of", ShapeOf{}, {x}));
  return move(suffix, Reshape{{}, true}, {y, target});
}

Result<ValueId> Emitter::transpose(std::string_view suffix, ValueId x, std::vector<int32_t> perm) {
  return move(suffix, Transpose{std::move(perm)}, {x});
}

// Integers of 8 and 16 bits are computed with in 32; going back wraps around, as theirs would.
Result<ValueId> Emitter::widened(std::string_view suffix, ValueId x) {
  if (!is_small_integer(type(x))) return x;
  return convert(std::string(suffix) + "_wide", x, DType::i32);
}

Result<ValueId> Emitter::binary(std::string_view suffix, Binary::Kind kind, ValueId a, ValueId b) {
  const DType narrow = type(a);
  if (!is_small_integer(narrow)) return emit(suffix, Binary{kind, {}}, {a, b});
  if (type(b) != narrow) return malformed("its inputs differ in type");
  FIRN_ASSIGN(a, widened(suffix, a));
  FIRN_ASSIGN(b, widened(suffix, b));
  FIRN_ASSIGN(const ValueId y, emit(suffix, Binary{kind, {}}, {a, b}));
  if (type(y) == DType::boolean) return y;
  return convert(std::string(suffix) + "_narrow", y, narrow);
}

Result<ValueId> Emitter::unary(std::string_view suffix, Unary::Kind kind, ValueId x, float alpha,
                               float beta) {
  const DType narrow = type(x);
  FIRN_ASSIGN(x, widened(suffix, x));
  FIRN_ASSIGN(const ValueId y, emit(suffix, Unary{kind, alpha, beta}, {x}));
  if (!is_small_integer(narrow)) return y;
  return convert(std::string(suffix) + "_narrow", y, narrow);
}

Result<ValueId> Emitter::reduce(std::string_view suffix, Reduce::Kind kind, ValueId x,
                                std::vector<int32_t> axes, bool keep) {
  std::ranges::sort(axes);
  return reduce(suffix, Reduce{kind, std::move(axes), keep}, x, ValueId::none);
}

Result<ValueId> Emitter::reduce(std::string_view suffix, Reduce op, ValueId x, ValueId axes) {
  const DType given = type(x);
  const bool narrow = is_small_integer(given) || given == DType::boolean;
  if (narrow) {
    FIRN_ASSIGN(x, convert(std::string(suffix) + "_wide", x, DType::i32));
  }
  FIRN_ASSIGN(const ValueId y, emit(suffix, std::move(op), {x, axes}));
  if (!narrow) return y;
  return convert(std::string(suffix) + "_narrow", y, given);
}

Result<ValueId> Emitter::slice(std::string_view suffix, ValueId x, int32_t axis, int32_t begin,
                               int32_t end, int32_t step) {
  const size_t rank = shape(x).rank;
  if (axis >= static_cast<int32_t>(rank)) {
    return malformed("axis " + std::to_string(axis) + " of " + to_string(shape(x)));
  }
  Slice op;
  op.begin.assign(rank, 0);
  op.end.assign(rank, std::numeric_limits<int32_t>::max());
  op.step.assign(rank, 1);
  const size_t at = static_cast<size_t>(axis);
  op.begin[at] = begin;
  op.end[at] = end;
  op.step[at] = step;
  return move(suffix, std::move(op), {x});
}

Result<ValueId> Emitter::convert(std::string_view suffix, ValueId x, DType to) {
  return emit(suffix, Convert{to}, {x});
}

}  // namespace firn::imports
