// SPDX-License-Identifier: Apache-2.0
// Reads a node's attributes and inputs; emits canonical nodes in its name.
#include "runtime/import/onnx_context.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace firn::onnx {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T>(&value, 1));
}

bool is_small_integer(DType type) {
  return type == DType::i8 || type == DType::u8 || type == DType::i16;
}

}  // namespace

Status Context::fail(Code code, const std::string& what) const {
  return {code, "onnx: node '" + name_ + "' (" + std::string(proto_.op_type) + "): " + what};
}

std::string Context::part(std::string_view suffix) const {
  return suffix.empty() ? name_ : name_ + "/" + std::string(suffix);
}

Result<ValueId> Context::input(size_t i) const {
  if (!has(i)) return malformed("input " + std::to_string(i) + " is missing");
  return names_.at(proto_.inputs[i]);
}

ValueId Context::optional_input(size_t i) const {
  return has(i) ? names_.at(proto_.inputs[i]) : ValueId::none;
}

const AttributeProto* Context::find(std::string_view name) {
  for (size_t i = 0; i < proto_.attributes.size(); ++i) {
    if (proto_.attributes[i].name != name) continue;
    attribute_read_[i] = true;
    return &proto_.attributes[i];
  }
  return nullptr;
}

Result<const AttributeProto*> Context::typed(std::string_view name, AttributeProto::Type type) {
  const AttributeProto* attribute = find(name);
  if (attribute != nullptr && attribute->type != type) {
    return malformed("attribute '" + std::string(name) + "' has type " +
                     std::to_string(static_cast<int>(attribute->type)) + ", expected " +
                     std::to_string(static_cast<int>(type)));
  }
  return attribute;
}

Result<int64_t> Context::attr(std::string_view name, int64_t missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::i));
  return found == nullptr ? missing : found->i;
}

Result<float> Context::attr(std::string_view name, float missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::f));
  return found == nullptr ? missing : found->f;
}

Result<std::string> Context::attr(std::string_view name, const char* missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::s));
  return found == nullptr ? std::string(missing) : std::string(found->s);
}

Result<std::vector<int64_t>> Context::attr_ints(std::string_view name) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::ints));
  return found == nullptr ? std::vector<int64_t>() : found->ints;
}

Result<std::vector<float>> Context::attr_floats(std::string_view name) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::floats));
  return found == nullptr ? std::vector<float>() : found->floats;
}

Status Context::all_attributes_read() const {
  for (size_t i = 0; i < attribute_read_.size(); ++i) {
    if (!attribute_read_[i]) {
      return unsupported("attribute '" + std::string(proto_.attributes[i].name) +
                         "' is not supported in opset " + std::to_string(opset));
    }
  }
  return {};
}

Result<int32_t> Context::axis(int64_t axis, int rank) const {
  const int64_t positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    return malformed("axis " + std::to_string(axis) + " of a tensor of rank " +
                     std::to_string(rank));
  }
  return static_cast<int32_t>(positive);
}

Status Context::not_constant(size_t i, ValueId id) const {
  return unsupported("input " + std::to_string(i) + " ('" + builder.value(id).name +
                     "') is computed at run time, only constants are supported there");
}

Result<std::vector<std::optional<int64_t>>> Context::known_ints(size_t i) const {
  FIRN_ASSIGN(const ValueId id, input(i));
  if (type(id) != DType::i64 && type(id) != DType::i32) {
    return malformed("input " + std::to_string(i) + " has type " + dtype_name(type(id)) +
                     ", expected i64 or i32");
  }
  std::optional<std::vector<std::optional<int64_t>>> ints = builder.known_ints(id);
  if (!ints) return not_constant(i, id);
  return *std::move(ints);
}

Result<std::vector<int64_t>> Context::constant_ints(size_t i) const {
  FIRN_ASSIGN(const std::vector<std::optional<int64_t>> known, known_ints(i));
  std::vector<int64_t> ints;
  for (const std::optional<int64_t>& number : known) {
    if (!number) return not_constant(i, optional_input(i));
    ints.push_back(*number);
  }
  return ints;
}

Result<std::vector<float>> Context::constant_floats(size_t i) const {
  FIRN_ASSIGN(const ValueId id, input(i));
  const Value& value = builder.value(id);
  if (value.constant == nullptr) return not_constant(i, id);
  if (value.type != DType::f32) {
    return malformed("input " + std::to_string(i) + " has type " + dtype_name(value.type) +
                     ", expected f32");
  }
  return std::vector<float>(value.as<float>().begin(), value.as<float>().end());
}

Result<ValueId> Context::emit(std::string_view suffix, Op op, std::vector<ValueId> in,
                              std::optional<Quant> quant) {
  Result<ValueId> id =
      builder.add_node(part(suffix), std::move(op), std::move(in), std::move(quant));
  if (id.ok()) return id;
  return fail(id.status().code(), id.status().message());
}

Status Context::too_large(size_t bytes) const {
  return unsupported("it needs a constant of " + std::to_string(bytes) +
                     " bytes, too many for a model of this size");
}

Result<ValueId> Context::constant_bytes(std::string_view suffix, DType type, const Shape& shape,
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

Result<ValueId> Context::scalar(std::string_view suffix, DType type, double value) {
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
Result<ValueId> Context::dynamic_shape(std::string_view suffix, ValueId x,
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

Result<ValueId> Context::reshape(std::string_view suffix, ValueId x,
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
  if (open <= 1) return emit(suffix, std::move(op), {x});
  FIRN_ASSIGN(const ValueId target, dynamic_shape(suffix, x, to));
  return emit(suffix, Reshape{{}, true}, {x, target});
}

Result<ValueId> Context::restore(std::string_view suffix, ValueId y, ValueId x, int kept) {
  const Shape& to = shape(x);
  Reshape op;
  for (int d = 0; d < to.rank; ++d) op.shape.push_back(d < kept && to[d] < 0 ? 0 : to[d]);
  if (std::ranges::count(op.shape, -1) <= 1) return emit(suffix, std::move(op), {y});
  FIRN_ASSIGN(const ValueId target, emit(std::string(suffix) + "_of", ShapeOf{}, {x}));
  return emit(suffix, Reshape{{}, true}, {y, target});
}

Result<ValueId> Context::transpose(std::string_view suffix, ValueId x, std::vector<int32_t> perm) {
  return emit(suffix, Transpose{std::move(perm)}, {x});
}

// Integers of 8 and 16 bits are computed with in 32; going back wraps around, as theirs would.
Result<ValueId> Context::widened(std::string_view suffix, ValueId x) {
  if (!is_small_integer(type(x))) return x;
  return convert(std::string(suffix) + "_wide", x, DType::i32);
}

Result<ValueId> Context::binary(std::string_view suffix, Binary::Kind kind, ValueId a, ValueId b) {
  const DType narrow = type(a);
  if (!is_small_integer(narrow)) return emit(suffix, Binary{kind, {}}, {a, b});
  if (type(b) != narrow) return malformed("its inputs differ in type");
  FIRN_ASSIGN(a, widened(suffix, a));
  FIRN_ASSIGN(b, widened(suffix, b));
  FIRN_ASSIGN(const ValueId y, emit(suffix, Binary{kind, {}}, {a, b}));
  if (type(y) == DType::boolean) return y;
  return convert(std::string(suffix) + "_narrow", y, narrow);
}

Result<ValueId> Context::unary(std::string_view suffix, Unary::Kind kind, ValueId x, float alpha,
                               float beta) {
  const DType narrow = type(x);
  FIRN_ASSIGN(x, widened(suffix, x));
  FIRN_ASSIGN(const ValueId y, emit(suffix, Unary{kind, alpha, beta}, {x}));
  if (!is_small_integer(narrow)) return y;
  return convert(std::string(suffix) + "_narrow", y, narrow);
}

Result<ValueId> Context::reduce(std::string_view suffix, Reduce::Kind kind, ValueId x,
                                std::vector<int32_t> axes, bool keep) {
  const DType given = type(x);
  const bool narrow = is_small_integer(given) || given == DType::boolean;
  if (narrow) {
    FIRN_ASSIGN(x, convert(std::string(suffix) + "_wide", x, DType::i32));
  }
  std::ranges::sort(axes);
  FIRN_ASSIGN(const ValueId y, emit(suffix, Reduce{kind, std::move(axes), keep}, {x}));
  if (!narrow) return y;
  return convert(std::string(suffix) + "_narrow", y, given);
}

Result<ValueId> Context::slice(std::string_view suffix, ValueId x, int32_t axis, int32_t begin,
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
  return emit(suffix, std::move(op), {x});
}

Result<ValueId> Context::convert(std::string_view suffix, ValueId x, DType to) {
  return emit(suffix, Convert{to}, {x});
}

Status Context::bind(ValueId id, size_t output) {
  if (!wanted(output) || id == ValueId::none) return {};
  names_[proto_.outputs[output]] = id;
  return {};
}

Status Context::bind(const Result<ValueId>& id, size_t output) {
  FIRN_TRY(id.status());
  return bind(*id, output);
}

}  // namespace firn::onnx
