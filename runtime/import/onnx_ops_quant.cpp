// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: Converts from and to values that
// carry their quantization; where that is only known at run time, arithmetic.
#include <cmath>
#include <limits>

#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

std::string part(std::string_view suffix, const char* of) {
  return std::string(suffix) + (suffix.empty() ? "" : "_") + of;
}

std::string node_name(const Context& c, std::string_view suffix) {
  return suffix.empty() ? c.name() : c.name() + "/" + std::string(suffix);
}

int32_t integer_at(const Value& value, size_t i) {
  switch (value.type) {
    case DType::i8:
      return value.as<int8_t>()[i];
    case DType::u8:
      return value.as<uint8_t>()[i];
    case DType::i16:
      return value.as<int16_t>()[i];
    default:
      return value.as<int32_t>()[i];
  }
}

bool has_integers(DType type) {
  return type == DType::i8 || type == DType::u8 || type == DType::i16 || type == DType::i32;
}

// What holds of scales and zero points however they are known. The axis, where there is one of
// them per slice or block, or -1.
Result<int32_t> check_inputs(const Context& c, ValueId x, const QuantInputs& by) {
  if (c.type(by.scale) != DType::f32)
    return c.unsupported(std::string("scales of type ") + dtype_name(c.type(by.scale)));
  const Shape& scale = c.shape(by.scale);
  if (by.zero != ValueId::none) {
    if (!has_integers(c.type(by.zero)))
      return c.unsupported(std::string("zero points of type ") + dtype_name(c.type(by.zero)));
    if (scale.known() && c.shape(by.zero).known() &&
        scale.elements() != c.shape(by.zero).elements()) {
      return c.malformed(std::to_string(scale.elements()) + " scales, " +
                         std::to_string(c.shape(by.zero).elements()) + " zero points");
    }
  }
  if (by.block < 0) return c.malformed("block_size " + std::to_string(by.block));
  const bool single = scale.rank == 0 || (scale.known() && scale.elements() == 1);
  if (single && by.block == 0) return -1;
  FIRN_ASSIGN(const int32_t axis, c.axis(by.axis, c.rank(x)));
  if (by.block == 0 && scale.rank == 1 && scale[0] >= 0 && c.shape(x)[axis] >= 0 &&
      c.shape(x)[axis] != scale[0]) {
    return c.malformed(std::to_string(scale[0]) + " scales, axis " + std::to_string(axis) +
                       " of the input has " + std::to_string(c.shape(x)[axis]));
  }
  return axis;
}

// The quantization where it is constant and lies along one axis.
Result<std::optional<Quant>> constant_quant(const Context& c, ValueId x, const QuantInputs& by) {
  FIRN_ASSIGN(const int32_t axis, check_inputs(c, x, by));
  const bool constant = c.builder.is_constant(by.scale) &&
                        (by.zero == ValueId::none || c.builder.is_constant(by.zero));
  if (!constant) return std::optional<Quant>();
  const Value& scale = c.builder.value(by.scale);
  for (const float s : scale.as<float>())
    if (!std::isnormal(s) || s < 0) return c.malformed("a scale is " + std::to_string(s));
  if (by.block != 0 || (axis >= 0 && scale.shape.rank != 1)) return std::optional<Quant>();
  Quant quant;
  quant.axis = static_cast<int8_t>(axis);
  quant.scale.assign(scale.as<float>().begin(), scale.as<float>().end());
  quant.zero.assign(quant.scale.size(), 0);
  for (size_t i = 0; by.zero != ValueId::none && i < quant.zero.size(); ++i)
    quant.zero[i] = integer_at(c.builder.value(by.zero), i);
  return std::optional(std::move(quant));
}

// x and its scales (or zero points) as they meet in arithmetic: scales of one axis are given x's
// rank, blocks are a dimension of their own.
struct Broadcast {
  ValueId x = ValueId::none, scale = ValueId::none, zero = ValueId::none;
};

Result<ValueId> spread(Context& c, std::string_view suffix, ValueId of, ValueId x, int32_t axis,
                       int64_t block) {
  if (of == ValueId::none) return of;
  const int rank = c.rank(x);
  std::vector<TargetDim> to;
  if (block != 0) {
    for (int d = 0; d < c.rank(of); ++d) {
      to.push_back(TargetDim::copy(d));
      if (d == axis) to.push_back(TargetDim::of(1));
    }
  } else if (axis < 0) {
    if (c.rank(of) <= rank) return of;
  } else {
    if (c.rank(of) != 1) return of;  // one of each row, stated as such
    for (int d = 0; d < rank; ++d) to.push_back(d == axis ? TargetDim::copy(0) : TargetDim::of(1));
  }
  return c.reshape(suffix, of, to);
}

Result<Broadcast> broadcast(Context& c, std::string_view suffix, ValueId x, const QuantInputs& by) {
  FIRN_ASSIGN(const int32_t axis, check_inputs(c, x, by));
  Broadcast out{x, by.scale, by.zero};
  if (by.block != 0) {
    const Shape& shape = c.shape(x);
    const Shape& scales = c.shape(by.scale);
    if (scales.rank != shape.rank || shape[axis] < 0 || by.block > shape[axis] ||
        shape[axis] % by.block != 0 || scales[axis] != shape[axis] / by.block) {
      return c.unsupported("block_size " + std::to_string(by.block) + ", axis " +
                           std::to_string(axis) + " of " + to_string(shape) + " with scales " +
                           to_string(scales));
    }
    std::vector<TargetDim> to;
    for (int d = 0; d < shape.rank; ++d) {
      if (d != axis) {
        to.push_back(TargetDim::copy(d));
        continue;
      }
      to.push_back(TargetDim::of(shape[d] / by.block));
      to.push_back(TargetDim::of(by.block));
    }
    FIRN_ASSIGN(out.x, c.reshape(part(suffix, "blocks"), x, to));
  }
  FIRN_ASSIGN(out.scale, spread(c, part(suffix, "scale"), by.scale, x, axis, by.block));
  FIRN_ASSIGN(out.zero, spread(c, part(suffix, "zero"), by.zero, x, axis, by.block));
  return out;
}

// Blocks joined again.
Result<ValueId> joined(Context& c, std::string_view suffix, ValueId y, ValueId x,
                       const QuantInputs& by) {
  if (by.block == 0) return y;
  return c.restore(suffix, y, x, 0);
}

// Quantization by arithmetic.
Result<ValueId> computed(Context& c, std::string_view suffix, ValueId x, DType to,
                         const QuantInputs& by) {
  FIRN_ASSIGN(const Broadcast with, broadcast(c, suffix, x, by));
  FIRN_ASSIGN(const ValueId scaled,
              c.binary(part(suffix, "scaled"), Kind::div, with.x, with.scale));
  FIRN_ASSIGN(ValueId y, c.unary(part(suffix, "rounded"), Unary::Kind::round, scaled));
  if (with.zero != ValueId::none) {
    FIRN_ASSIGN(const ValueId zero, c.convert(part(suffix, "zero_real"), with.zero, DType::f32));
    FIRN_ASSIGN(y, c.binary(part(suffix, "shifted"), Kind::add, y, zero));
  }
  FIRN_ASSIGN(y, joined(c, part(suffix, "joined"), y, x, by));
  return c.convert(suffix, y, to);  // which saturates
}

// The type that QuantizeLinear writes: its zero point's, or an attribute's, or uint8.
Result<DType> output_type(Context& c) {
  FIRN_ASSIGN(const int64_t stated, c.attr("output_dtype", int64_t{0}));
  const ValueId zero = c.optional_input(2);
  if (zero != ValueId::none) return c.type(zero);
  if (stated == 0) return DType::u8;
  const bool valid = stated > 0 && stated <= std::numeric_limits<int32_t>::max();
  const std::optional<DType> type =
      canonical_type(valid ? static_cast<ElementType>(stated) : ElementType::undefined);
  if (!type) return c.unsupported("output_dtype " + std::to_string(stated));
  return *type;
}

Result<QuantInputs> quant_inputs(Context& c) {
  QuantInputs by;
  FIRN_ASSIGN(by.scale, c.input(1));
  by.zero = c.optional_input(2);
  FIRN_ASSIGN(by.axis, c.attr("axis", int64_t{1}));
  FIRN_ASSIGN(by.block, c.attr("block_size", int64_t{0}));
  return by;
}

Status quantize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  for (const char* of_float8 : {"saturate", "precision"}) static_cast<void>(c.find(of_float8));
  FIRN_ASSIGN(const DType type, output_type(c));
  FIRN_ASSIGN(const QuantInputs by, quant_inputs(c));
  return c.bind(quantized(c, "", x, type, by));
}

Status dequantize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  static_cast<void>(c.find("output_dtype"));  // f32 here, whichever float it names
  FIRN_ASSIGN(const QuantInputs by, quant_inputs(c));
  return c.bind(dequantized(c, "", x, by));
}

// To uint8, over a range that is x's own and contains 0.
Status dynamic_quantize(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.type(x) != DType::f32) return c.unsupported(std::string("from ") + dtype_name(c.type(x)));
  std::vector<int32_t> axes;
  for (int d = 0; d < c.rank(x); ++d) axes.push_back(d);
  const auto scalar = [&](const char* suffix, double value) {
    return c.scalar(suffix, DType::f32, value);
  };
  FIRN_ASSIGN(const ValueId zero, scalar("none", 0));
  FIRN_ASSIGN(const ValueId one, scalar("one", 1));
  FIRN_ASSIGN(const ValueId steps, scalar("steps", 255));
  FIRN_ASSIGN(ValueId least, c.reduce("least", Reduce::Kind::min, x, axes, false));
  FIRN_ASSIGN(ValueId most, c.reduce("most", Reduce::Kind::max, x, axes, false));
  FIRN_ASSIGN(least, c.binary("lo", Kind::min, least, zero));
  FIRN_ASSIGN(most, c.binary("hi", Kind::max, most, zero));
  FIRN_ASSIGN(const ValueId range, c.binary("range", Kind::sub, most, least));
  FIRN_ASSIGN(const ValueId step, c.binary("step", Kind::div, range, steps));
  FIRN_ASSIGN(const ValueId empty, c.binary("all_zero", Kind::equal, step, zero));
  FIRN_ASSIGN(const ValueId scale, c.emit("scale", Where{}, {empty, one, step}));
  FIRN_ASSIGN(const ValueId below, c.binary("below", Kind::div, least, scale));
  FIRN_ASSIGN(const ValueId above, c.unary("above", Unary::Kind::neg, below));
  FIRN_ASSIGN(const ValueId rounded, c.unary("rounded", Unary::Kind::round, above));
  FIRN_ASSIGN(const ValueId point, c.convert("zero", rounded, DType::u8));
  FIRN_TRY(c.bind(computed(c, "", x, DType::u8, {scale, point})));
  FIRN_TRY(c.bind(scale, 1));
  return c.bind(point, 2);
}

constexpr Operator kOperators[] = {
    {"DequantizeLinear", dequantize},
    {"DynamicQuantizeLinear", dynamic_quantize},
    {"QuantizeLinear", quantize},
};

}  // namespace

Result<ValueId> dequantized(Context& c, std::string_view suffix, ValueId x, const QuantInputs& by) {
  const DType type = c.type(x);
  if (!has_integers(type)) return c.unsupported(std::string("from ") + dtype_name(type));
  if (by.zero != ValueId::none && c.type(by.zero) != type) {
    return c.malformed(std::string("zero points of type ") + dtype_name(c.type(by.zero)) +
                       ", the input is " + dtype_name(type));
  }
  FIRN_ASSIGN(const std::optional<Quant> quant, constant_quant(c, x, by));
  const bool is_run_time_i32 = type == DType::i32 && !c.builder.is_constant(x);
  if (quant && !is_run_time_i32 && c.builder.can_carry(x, *quant)) {
    Result<ValueId> y = c.builder.add_dequantize(node_name(c, suffix), x, *quant);
    if (!y.ok()) return c.fail(y.status().code(), y.status().message());
    return y;
  }
  FIRN_ASSIGN(const ValueId integers, bare_integers(c, part(suffix, "integers"), x));
  FIRN_ASSIGN(const Broadcast with, broadcast(c, suffix, integers, by));
  ValueId centred = with.x;
  if (with.zero != ValueId::none) {
    FIRN_ASSIGN(const ValueId zero, c.convert(part(suffix, "zero_real"), with.zero, DType::f32));
    FIRN_ASSIGN(centred, c.binary(part(suffix, "centred"), Kind::sub, with.x, zero));
  }
  const std::string product = by.block == 0 ? std::string(suffix) : part(suffix, "scaled");
  FIRN_ASSIGN(const ValueId y, c.binary(product, Kind::mul, centred, with.scale));
  return joined(c, suffix, y, x, by);
}

Result<ValueId> quantized(Context& c, std::string_view suffix, ValueId x, DType to,
                          const QuantInputs& by) {
  if (c.type(x) != DType::f32 || (to != DType::i8 && to != DType::u8 && to != DType::i16)) {
    return c.unsupported(std::string("from ") + dtype_name(c.type(x)) + " to " + dtype_name(to));
  }
  if (by.zero != ValueId::none && c.type(by.zero) != to) {
    return c.malformed(std::string("zero points of type ") + dtype_name(c.type(by.zero)) +
                       ", the output is " + dtype_name(to));
  }
  FIRN_ASSIGN(std::optional<Quant> quant, constant_quant(c, x, by));
  if (quant) {
    if (to == DType::i16) quant->bits = 16;
    Result<ValueId> y = c.builder.add_quantize(node_name(c, suffix), x, to, *std::move(quant));
    if (!y.ok()) return c.fail(y.status().code(), y.status().message());
    return y;
  }
  return computed(c, suffix, x, to, by);
}

Result<ValueId> bare_integers(Context& c, std::string_view suffix, ValueId x) {
  const std::optional<Quant> quant = c.builder.value(x).quant;
  if (!quant) return c.convert(suffix, x, DType::f32);
  // real / scale is off by less than a unit in the last place: rounded, it is the integer again.
  QuantInputs by;
  const Shape scales =
      quant->per_tensor() ? Shape{} : Shape{static_cast<int32_t>(quant->scale.size())};
  const std::vector<float> zeros(quant->zero.begin(), quant->zero.end());
  FIRN_ASSIGN(const ValueId scale, c.constant<float>(part(suffix, "scale"), scales, quant->scale));
  FIRN_ASSIGN(const ValueId zero, c.constant<float>(part(suffix, "zero"), scales, zeros));
  Result<ValueId> real = c.builder.add_dequantize(node_name(c, part(suffix, "real")), x, *quant);
  if (!real.ok()) return c.fail(real.status().code(), real.status().message());
  by.scale = scale;
  by.axis = quant->axis;
  FIRN_ASSIGN(const Broadcast with, broadcast(c, suffix, *real, by));
  FIRN_ASSIGN(const ValueId zeros_spread, spread(c, part(suffix, "zeros"), zero, *real,
                                                 quant->per_tensor() ? -1 : quant->axis, 0));
  FIRN_ASSIGN(const ValueId ratio, c.binary(part(suffix, "ratio"), Kind::div, *real, with.scale));
  FIRN_ASSIGN(const ValueId centred, c.unary(part(suffix, "centred"), Unary::Kind::round, ratio));
  return c.binary(suffix, Kind::add, centred, zeros_spread);
}

std::span<const Operator> quant_operators() {
  return kOperators;
}

}  // namespace firn::onnx
