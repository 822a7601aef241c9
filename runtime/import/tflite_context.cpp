// SPDX-License-Identifier: Apache-2.0
// Tensors become values, values become what operators compute with and what outputs are declared
// as.
#include "runtime/import/tflite_context.h"

#include <algorithm>
#include <cstring>

#include "runtime/reference_call.h"

namespace firn::tflite {
namespace {

Tensor view_of(const Value& value) {
  return {value.type, value.shape, const_cast<std::byte*>(value.constant->bytes().data())};
}

std::string options_name(wire::BuiltinOptions type) {
  const std::string name = wire::EnumNameBuiltinOptions(type);
  return name.empty() ? "of type " + std::to_string(static_cast<int>(type)) : name;
}

}  // namespace

Tensors::Tensors(imports::GraphBuilder& builder, TensorReader reader)
    : builder_(builder),
      reader_(std::move(reader)),
      info_(reader_.count()),
      value_(reader_.count(), ValueId::none) {
  for (size_t i = 0; i < reader_.count(); ++i) {
    const std::string name = reader_.name(i);
    names_.push_back(builder_.reserve(name) ? name : builder_.unique_name(name));
  }
}

Result<const FileTensor*> Tensors::info(size_t i) {
  if (!info_[i]) {
    FIRN_ASSIGN(info_[i], reader_.read(i));
    info_[i]->name = names_[i];
  }
  return &*info_[i];
}

Result<ValueId> Tensors::value(size_t i) {
  if (made(i)) return value_[i];
  FIRN_ASSIGN(const FileTensor* const tensor, info(i));
  Value value;
  value.name = tensor->name;
  value.type = tensor->type;
  value.shape = tensor->shape;
  value.quant = tensor->quant;
  value.constant = tensor->data;
  if (value.constant == nullptr) {
    if (!tensor->shape.known() || tensor->shape.elements() > 0) {
      return Status(Code::malformed,
                    describe(i) + " is not written by any operator before it, nor given");
    }
    FIRN_ASSIGN(auto memory, Buffer::allocate(0));
    value.constant = std::move(memory.first);
  }
  builder_.raise_budget(value.constant->bytes().size());
  value_[i] = builder_.add_constant(std::move(value));
  named_.insert(index(value_[i]));
  return value_[i];
}

void Tensors::define(size_t i, ValueId id) {
  if (!named_.contains(index(id))) builder_.rename(id, name(i));
  define_unnamed(i, id);
}

void Tensors::define_unnamed(size_t i, ValueId id) {
  value_[i] = id;
  named_.insert(index(id));
}

Status Context::check_options(wire::BuiltinOptions type) const {
  const wire::BuiltinOptions given = op_.builtin_options_type();
  if (given == type || op_.builtin_options() == nullptr) return {};
  return malformed("its options are " + options_name(given) + ", expected " + options_name(type));
}

std::span<const uint8_t> Context::custom_options() const {
  if (op_.custom_options() == nullptr) return {};
  return {op_.custom_options()->data(), op_.custom_options()->size()};
}

Result<ValueId> Context::input(size_t i) {
  if (!has(i)) return malformed("input " + std::to_string(i) + " is left out");
  return named(tensors_.value(static_cast<size_t>(tensor_index(i))));
}

Result<const FileTensor*> Context::input_info(size_t i) {
  if (!has(i)) return malformed("input " + std::to_string(i) + " is left out");
  return named(tensors_.info(static_cast<size_t>(tensor_index(i))));
}

Result<const FileTensor*> Context::output_info(size_t i) {
  if (i >= output_count()) return malformed("output " + std::to_string(i) + " is left out");
  return named(tensors_.info(output_index(i)));
}

Result<ValueId> Context::real(ValueId id) {
  const Value& value = builder.value(id);
  if (value.type == DType::f32) return id;
  if (!value.quant) return convert("real", id, DType::f32);
  if (value.constant == nullptr) return emit("dequantize", Convert{DType::f32}, {id});
  // Constants with their scales are folded here: the builder leaves quantized ones alone.
  const size_t bytes = value.shape.elements() * sizeof(float);
  FIRN_TRY(allow(bytes));
  builder.spend(bytes);
  Value floats{builder.unique_name(value.name + "_real"), DType::f32, value.shape, std::nullopt,
               nullptr};
  FIRN_ASSIGN(auto memory, Buffer::allocate(bytes));
  firn::convert(view_of(value), value.quant, {DType::f32, value.shape, memory.second.data()},
                std::nullopt);
  floats.constant = std::move(memory.first);
  return builder.add_constant(std::move(floats));
}

Result<ValueId> Context::real_input(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  return real(id);
}

// real / scale is off by less than a unit in the last place: rounded, it is the integer again.
Result<ValueId> Context::bare_input(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  FIRN_ASSIGN(const FileTensor* const tensor, input_info(i));
  if (!builder.value(id).quant) return id;
  FIRN_ASSIGN(const auto by, bare_scale(*tensor));
  FIRN_ASSIGN(const ValueId numbers, real(id));
  FIRN_ASSIGN(const ValueId scale, scalar("bare_scale", DType::f32, by.first));
  FIRN_ASSIGN(const ValueId zero, scalar("bare_zero", DType::f32, by.second));
  FIRN_ASSIGN(const ValueId ratio, binary("bare_ratio", Binary::Kind::div, numbers, scale));
  FIRN_ASSIGN(const ValueId centred, unary("bare_centred", Unary::Kind::round, ratio));
  return binary("bare", Binary::Kind::add, centred, zero);
}

Status Context::bind_bare(ValueId id, size_t output) {
  FIRN_ASSIGN(const FileTensor* const tensor, output_info(output));
  if (!tensor->quant) return bind(id, output);
  FIRN_ASSIGN(const auto by, bare_scale(*tensor));
  FIRN_ASSIGN(id, type(id) == DType::f32 ? unary("whole", Unary::Kind::trunc, id)
                                         : convert("whole", id, DType::f32));
  FIRN_ASSIGN(const ValueId scale, scalar("bare_scale", DType::f32, by.first));
  FIRN_ASSIGN(const ValueId zero, scalar("bare_zero", DType::f32, by.second));
  FIRN_ASSIGN(const ValueId centred, binary("bare_centred", Binary::Kind::sub, id, zero));
  return bind(binary("bare", Binary::Kind::mul, centred, scale), output);
}

// The scale and zero point as the file states them.
Result<std::pair<float, float>> Context::bare_scale(const FileTensor& tensor) const {
  const Quant& quant = *tensor.quant;
  if (!quant.per_tensor()) return unsupported("'" + tensor.name + "' has scales by channel");
  const float shift = tensor.file_type == tensor.type ? 0.0f : 128.0f;
  return std::pair(quant.scale[0], static_cast<float>(quant.zero[0]) + shift);
}

Result<ValueId> Context::scaled_input(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  FIRN_ASSIGN(const FileTensor* const tensor, input_info(i));
  if (tensor->type != DType::i32 && tensor->type != DType::i64) return real(id);
  FIRN_ASSIGN(const ValueId numbers, convert("number", id, DType::f32));
  if (tensor->integer_scales != 1) {
    return unsupported("input " + std::to_string(i) + " '" + tensor->name + "' has " +
                       std::to_string(tensor->integer_scales) + " scales, expected one");
  }
  FIRN_ASSIGN(const ValueId scale, scalar("scale", DType::f32, double{tensor->integer_scale}));
  return binary("scaled", Binary::Kind::mul, numbers, scale);
}

Status Context::update(size_t i, ValueId id) {
  if (!has(i) || !tensors_.is_variable(static_cast<size_t>(tensor_index(i)))) {
    return malformed("its state, input " + std::to_string(i) + ", is no variable");
  }
  tensors_.update(static_cast<size_t>(tensor_index(i)), id);
  return {};
}

Result<ValueId> Context::number(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  if (builder.value(id).quant || type(id) == DType::f16) return real(id);
  return id;
}

Status Context::not_constant(size_t i, ValueId id) const {
  return unsupported("input " + std::to_string(i) + " '" + builder.value(id).name +
                     "' is computed at run time, it has to be constant");
}

Result<std::vector<std::optional<int64_t>>> Context::known_ints(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  if (type(id) != DType::i32 && type(id) != DType::i64) {
    return malformed("input " + std::to_string(i) + " is " + dtype_name(type(id)) +
                     ", expected i32 or i64");
  }
  if (const auto known = builder.known_ints(id)) return *known;
  const Shape& shape = builder.shape(id);
  const bool few = shape.known() && shape.rank <= 1 && shape.elements() <= kMaxRank;
  if (!few) return not_constant(i, id);
  return std::vector<std::optional<int64_t>>(shape.elements());
}

Result<std::vector<int64_t>> Context::ints(size_t i) {
  FIRN_ASSIGN(const ValueId id, input(i));
  FIRN_ASSIGN(const auto entries, known_ints(i));
  std::vector<int64_t> numbers;
  for (const std::optional<int64_t>& entry : entries) {
    if (!entry) return not_constant(i, id);
    numbers.push_back(*entry);
  }
  return numbers;
}

bool Context::is_known(size_t i) {
  const Result<ValueId> id = input(i);
  if (!id.ok()) return true;  // to be refused as such
  const auto known = builder.known_ints(*id);
  return known && std::ranges::all_of(*known, [](const auto& entry) { return entry.has_value(); });
}

Result<std::vector<float>> Context::floats(size_t i) {
  FIRN_ASSIGN(const ValueId id, real_input(i));
  if (!builder.is_constant(id)) return not_constant(i, id);
  const auto values = builder.value(id).as<float>();
  return std::vector<float>(values.begin(), values.end());
}

Result<int32_t> Context::axis_input(size_t i, int rank) {
  FIRN_ASSIGN(const std::vector<int64_t> numbers, ints(i));
  if (numbers.size() != 1) {
    return malformed("the axis has " + std::to_string(numbers.size()) + " entries, expected one");
  }
  return axis(numbers[0], rank);
}

std::optional<Quant> Context::int8_output(size_t i) {
  const Result<const FileTensor*> tensor = output_info(i);
  if (!tensor.ok() || (*tensor)->type != DType::i8) return std::nullopt;
  return (*tensor)->quant;
}

bool Context::is_int8(ValueId id) const {
  const Value& value = builder.value(id);
  return value.type == DType::i8 && value.quant && value.quant->per_tensor();
}

Result<ValueId> Context::compute(Op op, std::vector<ValueId> in) {
  const std::optional<Quant> out = int8_output();
  if (out && std::ranges::all_of(in, [&](ValueId id) { return is_int8(id); })) {
    return emit("", std::move(op), std::move(in), out);
  }
  for (ValueId& id : in) {
    FIRN_ASSIGN(id, real(id));
  }
  return emit("", std::move(op), std::move(in));
}

Result<Clamp> Context::clamp_of(wire::Activation activation) const {
  switch (activation) {
    case wire::Activation::none:
      return Clamp{};
    case wire::Activation::relu:
      return Clamp{0, Clamp{}.hi};
    case wire::Activation::relu_n1_to_1:
      return Clamp{-1, 1};
    case wire::Activation::relu6:
      return Clamp{0, 6};
    default:
      return unsupported("the fused activation " + std::to_string(static_cast<int>(activation)) +
                         " is not supported");
  }
}

Result<ValueId> Context::activate(ValueId x, wire::Activation activation) {
  if (activation == wire::Activation::none) return x;
  const std::optional<Quant>& quant = builder.value(x).quant;
  if (activation == wire::Activation::tanh) {
    return emit("activation", Unary{Unary::Kind::tanh}, {x}, quant);
  }
  FIRN_ASSIGN(const Clamp clamp, clamp_of(activation));
  return emit("activation", Unary{Unary::Kind::clamp, clamp.lo, clamp.hi}, {x}, quant);
}

Status Context::bind(ValueId id, size_t output) {
  if (output >= output_count()) return {};
  FIRN_ASSIGN(const FileTensor* const tensor, output_info(output));
  const Value& value = builder.value(id);
  const std::string suffix = output == 0 ? "" : std::to_string(output);
  if (tensor->quant && (value.quant || value.type == DType::f32)) {
    if (value.type != tensor->type || value.quant != tensor->quant) {
      FIRN_ASSIGN(id, emit(suffix + "_quantize", Convert{tensor->type}, {id}, tensor->quant));
    }
  } else if (!tensor->quant && value.quant) {
    FIRN_ASSIGN(id, real(id));
  }
  // Half-precision numbers are f32 once they are not constant.
  const DType type = tensor->type == DType::f16 ? DType::f32 : tensor->type;
  if (!tensor->quant && builder.type(id) != type) {
    FIRN_ASSIGN(id, convert(suffix + "_cast", id, type));
  }
  tensors_.define(output_index(output), id);
  return {};
}

Status Context::bind(const Result<ValueId>& id, size_t output) {
  FIRN_TRY(id.status());
  return bind(*id, output);
}

}  // namespace firn::tflite
