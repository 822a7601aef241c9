// SPDX-License-Identifier: Apache-2.0
// Weights and biases of layers, quantized or real.
#include "runtime/import/tflite_layer.h"

#include <algorithm>
#include <cmath>

#include "runtime/int8_ops.h"

namespace firn::tflite {
namespace {

// The scale of channel n's products.
double product_scale(const Quant& x, const Quant& w, size_t n) {
  return double{x.scale[0]} * double{w.scale[w.per_tensor() ? 0 : n]};
}

// Whether biases count in products of the inputs' scales, one for each of `channels`.
Status check_bias(const Context& c, const Value& bias, const Value& x, const Value& w) {
  const bool whole = x.quant && x.quant->per_tensor() && w.quant && w.quant->axis <= 0;
  if (!whole) return c.unsupported("an integer bias of inputs without scales");
  if (bias.constant == nullptr) return c.unsupported("a bias that is computed at run time");
  if (bias.shape.rank != 1 ||
      (!w.quant->per_tensor() && w.quant->scale.size() != bias.shape.elements())) {
    return c.malformed("bias is " + to_string(bias.shape) + ", weights " + to_string(w.shape));
  }
  return {};
}

template <typename T>
Result<ValueId> real_bias(Context& c, const Value& bias, const Quant& x, const Quant& w) {
  std::vector<float> floats;
  for (const T b : bias.as<T>()) {
    floats.push_back(
        static_cast<float>(static_cast<double>(b) * product_scale(x, w, floats.size())));
  }
  const Shape shape = bias.shape;
  return c.constant<float>("bias", shape, floats);
}

Result<ValueId> quantized_bias(Context& c, ValueId id, const Quant& x, const Quant& w) {
  Value bias = c.builder.value(id);
  Quant quant;
  quant.axis = 0;
  quant.bits = 32;
  quant.scale.reserve(bias.shape.elements());
  for (size_t n = 0; n < bias.shape.elements(); ++n) {
    quant.scale.push_back(static_cast<float>(product_scale(x, w, n)));
  }
  quant.zero.assign(quant.scale.size(), 0);
  // A product below the smallest float: the reference then takes the scales of the inputs.
  const bool normal = std::ranges::all_of(quant.scale, [](float s) { return std::isnormal(s); });
  if (normal) bias.quant = std::move(quant);
  bias.name = c.builder.unique_name(bias.name + "_int32");
  return c.builder.add_constant(std::move(bias));
}

// A scale for each channel moves along.
Result<ValueId> transpose_weights(Context& c, ValueId w, const std::vector<int32_t>& perm) {
  Value plain = c.builder.value(w);
  if (!plain.quant || plain.constant == nullptr) return c.transpose("weights", w, perm);
  // The builder folds what has no quantization: it is taken off and put back.
  Quant quant = *std::move(plain.quant);
  plain.quant.reset();
  const std::string name = plain.name;
  plain.name = c.builder.unique_name(name + "_file");
  FIRN_ASSIGN(const ValueId moved,
              c.transpose("weights", c.builder.add_constant(std::move(plain)), perm));
  Value result = c.builder.value(moved);
  if (result.constant == nullptr) return c.unsupported("weights too large to transpose");
  if (quant.axis >= 0) {
    quant.axis = static_cast<int8_t>(std::ranges::find(perm, int32_t{quant.axis}) - perm.begin());
  }
  result.quant = std::move(quant);
  result.name = c.builder.unique_name(name + "_moved");
  return c.builder.add_constant(std::move(result));
}

}  // namespace

Result<LayerInputs> layer_inputs(Context& c, size_t x, size_t w, size_t bias, bool has_kernels,
                                 const std::vector<int32_t>& perm) {
  LayerInputs in;
  FIRN_ASSIGN(in.x, c.input(x));
  FIRN_ASSIGN(in.w, c.input(w));
  if (!perm.empty()) {
    FIRN_ASSIGN(in.w, transpose_weights(c, in.w, perm));
  }
  if (c.has(bias)) {
    FIRN_ASSIGN(in.bias, c.input(bias));
  }
  const Value xv = c.builder.value(in.x), wv = c.builder.value(in.w);
  const bool biased = in.bias != ValueId::none;
  const DType bias_type = biased ? c.type(in.bias) : DType::i32;
  const bool integer_bias = biased && (bias_type == DType::i32 || bias_type == DType::i64);
  if (integer_bias) FIRN_TRY(check_bias(c, c.builder.value(in.bias), xv, wv));
  in.int8 = has_kernels && c.is_int8(in.x) && wv.type == DType::i8 && wv.quant &&
            wv.quant->axis <= 0 && wv.constant != nullptr && bias_type == DType::i32 &&
            c.int8_output();
  if (in.int8) {
    if (biased) {
      FIRN_ASSIGN(in.bias, quantized_bias(c, in.bias, *xv.quant, *wv.quant));
    }
    return in;
  }
  FIRN_ASSIGN(in.x, c.real(in.x));
  // Weights of 16-bit activations stay what they are: a pass makes an integer layer of it.
  if (has_kernels && is_wide(xv) && wv.type == DType::i8 && wv.quant && wv.constant != nullptr) {
    FIRN_ASSIGN(in.w, c.emit("weights_dequantize", Convert{DType::f32}, {in.w}));
  } else {
    FIRN_ASSIGN(in.w, c.real(in.w));
  }
  if (integer_bias) {
    const Value value = c.builder.value(in.bias);
    if (bias_type == DType::i32) {
      FIRN_ASSIGN(in.bias, real_bias<int32_t>(c, value, *xv.quant, *wv.quant));
    } else {
      FIRN_ASSIGN(in.bias, real_bias<int64_t>(c, value, *xv.quant, *wv.quant));
    }
  } else if (biased) {
    FIRN_ASSIGN(in.bias, c.real(in.bias));
  }
  return in;
}

}  // namespace firn::tflite
