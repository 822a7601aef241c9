// SPDX-License-Identifier: Apache-2.0
// Operators on quantized tensors, as their float operators between Dequantize and Quantize: passes
// make int8 layers of those. Where scales are only known at run time they stay float.
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

// Inputs first, first + 1 and first + 2: a tensor, its scale, its zero point (may be left out).
struct Stated {
  ValueId x = ValueId::none;
  QuantInputs by;
};
Result<Stated> stated(const Context& c, size_t first) {
  Stated out;
  FIRN_ASSIGN(out.x, c.input(first));
  FIRN_ASSIGN(out.by.scale, c.input(first + 1));
  out.by.zero = c.optional_input(first + 2);
  return out;
}

// The real numbers of such an input. Scales lie along `axis`, where there are several.
Result<ValueId> real_input(Context& c, const char* suffix, size_t first, int64_t axis = 1) {
  FIRN_ASSIGN(Stated input, stated(c, first));
  input.by.axis = axis;
  return dequantized(c, suffix, input.x, input.by);
}

// Binds `real`, quantized by inputs `first` (scale) and first + 1 (zero point), whose type it has.
Status bind_quantized(Context& c, const Result<ValueId>& real, size_t first) {
  FIRN_TRY(real.status());
  QuantInputs by;
  FIRN_ASSIGN(by.scale, c.input(first));
  by.zero = c.optional_input(first + 1);
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const DType type = by.zero != ValueId::none ? c.type(by.zero) : c.type(x);
  return c.bind(quantized(c, "quantize", *real, type, by));
}

// An int32 bias, in units of the product of two scales.
Result<ValueId> real_bias(Context& c, size_t input, ValueId x_scale, ValueId w_scale) {
  const ValueId bias = c.optional_input(input);
  if (bias == ValueId::none) return bias;
  if (c.type(bias) != DType::i32)
    return c.malformed(std::string("the bias is ") + dtype_name(c.type(bias)) + ", expected i32");
  QuantInputs by;
  FIRN_ASSIGN(by.scale, c.binary("bias_scale", Binary::Kind::mul, x_scale, w_scale));
  by.axis = c.rank(bias) - 1;
  return dequantized(c, "bias", bias, by);
}

Status qlinear_conv(Context& c) {
  FIRN_ASSIGN(const ValueId x, real_input(c, "x", 0));
  FIRN_ASSIGN(const ValueId w, real_input(c, "w", 3, 0));
  FIRN_ASSIGN(const ValueId x_scale, c.input(1));
  FIRN_ASSIGN(const ValueId w_scale, c.input(4));
  FIRN_ASSIGN(const ValueId bias, real_bias(c, 8, x_scale, w_scale));
  return bind_quantized(c, emit_conv(c, x, w, bias), 6);
}

Status qlinear_matmul(Context& c) {
  FIRN_ASSIGN(const ValueId a_bits, c.input(0));
  FIRN_ASSIGN(const ValueId a, real_input(c, "a", 0, c.rank(a_bits) > 1 ? -2 : -1));
  FIRN_ASSIGN(const ValueId b, real_input(c, "b", 3, -1));
  return bind_quantized(c, emit_matmul(c, a, b), 6);
}

Status qgemm(Context& c) {
  FIRN_ASSIGN(const int64_t transpose_b, c.attr("transB", int64_t{0}));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.0f));
  FIRN_ASSIGN(const ValueId a, real_input(c, "a", 0));
  FIRN_ASSIGN(const ValueId b, real_input(c, "b", 3, transpose_b != 0 ? 0 : 1));
  FIRN_ASSIGN(const ValueId a_scale, c.input(1));
  FIRN_ASSIGN(ValueId b_scale, c.input(4));
  if (alpha != 1.0f) {  // it counts in the bias's units, too
    FIRN_ASSIGN(const ValueId factor, c.scalar("bias_alpha", DType::f32, alpha));
    FIRN_ASSIGN(b_scale, c.binary("b_scale_alpha", Binary::Kind::mul, b_scale, factor));
  }
  FIRN_ASSIGN(const ValueId bias, real_bias(c, 6, a_scale, b_scale));
  const Result<ValueId> y = emit_gemm(c, a, b, bias);
  return c.has(7) ? bind_quantized(c, y, 7) : c.bind(y);
}

Status qlinear_binary(Context& c, Binary::Kind kind) {
  FIRN_ASSIGN(const ValueId a, real_input(c, "a", 0));
  FIRN_ASSIGN(const ValueId b, real_input(c, "b", 3));
  return bind_quantized(c, c.binary("", kind, a, b), 6);
}

Status qlinear_sigmoid(Context& c) {
  FIRN_ASSIGN(const ValueId x, real_input(c, "x", 0));
  return bind_quantized(c, c.unary("", Unary::Kind::sigmoid, x), 3);
}

Status qlinear_leaky_relu(Context& c) {
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 0.01f));
  FIRN_ASSIGN(const ValueId x, real_input(c, "x", 0));
  return bind_quantized(c, c.unary("", Unary::Kind::leaky_relu, x, alpha), 3);
}

Status qlinear_softmax(Context& c) {
  FIRN_ASSIGN(const int64_t opset, c.attr("opset", int64_t{13}));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(const ValueId x, real_input(c, "x", 0));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  if (opset < 13 && axis != c.rank(x) - 1)
    return c.unsupported("over all axes from " + std::to_string(axis) + ", as opset " +
                         std::to_string(opset) + " has it");
  return bind_quantized(c, c.emit("", Softmax{axis, false}, {x}), 3);
}

// The scale and zero point of the output come first, then three inputs for each part.
Status qlinear_concat(Context& c) {
  FIRN_ASSIGN(const int64_t stated_axis, c.attr("axis", int64_t{0}));
  if (c.input_count() < 5 || c.input_count() % 3 != 2)
    return c.malformed("it has " + std::to_string(c.input_count()) +
                       " inputs, expected two and three for each part");
  std::vector<ValueId> parts;
  for (size_t i = 2; i < c.input_count(); i += 3) {
    const std::string suffix = "part_" + std::to_string(i / 3);
    FIRN_ASSIGN(parts.emplace_back(), real_input(c, suffix.c_str(), i));
  }
  FIRN_ASSIGN(const int32_t axis, c.axis(stated_axis, c.rank(parts[0])));
  FIRN_ASSIGN(const ValueId y, c.emit("", Concat{axis}, std::move(parts)));
  QuantInputs by;
  FIRN_ASSIGN(by.scale, c.input(0));
  FIRN_ASSIGN(by.zero, c.input(1));
  return c.bind(quantized(c, "quantize", y, c.type(by.zero), by));
}

// Channels innermost, or behind the batch as ONNX has them.
Result<ValueId> channels_first(Context& c, ValueId x, bool channels_last) {
  if (!channels_last) return x;
  std::vector<int32_t> perm{0, c.rank(x) - 1};
  for (int32_t d = 1; d + 1 < c.rank(x); ++d) perm.push_back(d);
  return c.transpose("channels_first", x, std::move(perm));
}
Result<ValueId> channels_back(Context& c, ValueId y, bool channels_last) {
  if (!channels_last) return y;
  std::vector<int32_t> perm{0};
  for (int32_t d = 2; d < c.rank(y); ++d) perm.push_back(d);
  perm.push_back(1);
  return c.transpose("channels_last", y, std::move(perm));
}

Status qlinear_pool(Context& c, bool global) {
  FIRN_ASSIGN(const int64_t last, c.attr("channels_last", int64_t{0}));
  FIRN_ASSIGN(const ValueId x, real_input(c, "x", 0));
  if (c.rank(x) < 3) return c.malformed("an input of rank " + std::to_string(c.rank(x)));
  FIRN_ASSIGN(const ValueId moved, channels_first(c, x, last != 0));
  ValueId y = ValueId::none;
  if (global) {
    std::vector<int32_t> axes;
    for (int32_t d = 2; d < c.rank(x); ++d) axes.push_back(d);
    FIRN_ASSIGN(y, c.reduce("", Reduce::Kind::mean, moved, std::move(axes)));
  } else {
    FIRN_ASSIGN(y, emit_pool(c, Pool2d::Kind::average, moved));
  }
  return bind_quantized(c, channels_back(c, y, last != 0), 3);
}

constexpr Operator kOperators[] = {
    {"QLinearConv", qlinear_conv},
    {"QLinearMatMul", qlinear_matmul},
};
// Of the domain com.microsoft.
constexpr Operator kContribOperators[] = {
    {"QGemm", qgemm},
    {"QLinearAdd", [](Context& c) { return qlinear_binary(c, Binary::Kind::add); }},
    {"QLinearAveragePool", [](Context& c) { return qlinear_pool(c, false); }},
    {"QLinearConcat", qlinear_concat},
    {"QLinearGlobalAveragePool", [](Context& c) { return qlinear_pool(c, true); }},
    {"QLinearLeakyRelu", qlinear_leaky_relu},
    {"QLinearMul", [](Context& c) { return qlinear_binary(c, Binary::Kind::mul); }},
    {"QLinearSigmoid", qlinear_sigmoid},
    {"QLinearSoftmax", qlinear_softmax},
};

}  // namespace

std::span<const Operator> qlinear_operators() {
  return kOperators;
}
std::span<const Operator> qlinear_contrib_operators() {
  return kContribOperators;
}

}  // namespace firn::onnx
