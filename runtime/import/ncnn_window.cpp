// SPDX-License-Identifier: Apache-2.0
// Reads sliding windows and fused activations; emits the Transposes around NHWC operators.
#include "runtime/import/ncnn_window.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace firn::ncnn {
namespace {

// In place of the left padding, of all four.
constexpr int32_t kSameUpper = -233, kSameLower = -234;

Status read_pads(const Context& c, const WindowIds& ids, WindowParams& params) {
  std::array<int32_t, 4> pad{};  // left, right, top, bottom
  FIRN_ASSIGN(pad[0], c.param(ids.pad_left, 0));
  FIRN_ASSIGN(pad[1], c.param(ids.pad_right, pad[0]));
  if (params.dims == 2) {
    FIRN_ASSIGN(pad[2], c.param(ids.pad_top, pad[0]));
    FIRN_ASSIGN(pad[3], c.param(ids.pad_bottom, pad[2]));
  } else if (pad[0] < 0) {
    pad[2] = pad[3] = pad[0];
  }
  const auto all = [&](int32_t value) {
    return std::ranges::all_of(pad, [=](int32_t p) { return p == value; });
  };
  if (all(kSameUpper) || all(kSameLower)) {
    params.same = pad[0] == kSameUpper ? Same::upper : Same::lower;
    return {};
  }
  const int32_t least = *std::ranges::min_element(pad);
  if (least < 0) return c.malformed("padding is " + std::to_string(least));
  params.window.pad = {pad[2], pad[0], pad[3], pad[1]};
  return {};
}

}  // namespace

Result<WindowParams> read_window(const Context& c, const WindowIds& ids, int dims,
                                 std::optional<std::array<int32_t, 2>> kernel) {
  WindowParams params;
  params.dims = dims;
  Window& window = params.window;
  const auto read = [&](const std::array<int, 2>& id, const char* what, int32_t missing,
                        std::array<int32_t, 2>& out) -> Status {
    FIRN_ASSIGN(out[1], c.at_least(1, id[0], what, missing));
    if (dims == 2) {
      FIRN_ASSIGN(out[0], c.at_least(1, id[1], what, out[1]));
    }
    return {};
  };
  if (kernel) {
    window.kernel = *kernel;
  } else {
    FIRN_TRY(read(ids.kernel, "kernel size", 0, window.kernel));
  }
  FIRN_TRY(read(ids.dilation, "dilation", 1, window.dilation));
  FIRN_TRY(read(ids.stride, "stride", 1, window.stride));
  FIRN_TRY(read_pads(c, ids, params));
  if (ids.pad_value >= 0) {
    FIRN_ASSIGN(params.pad_value, c.param(ids.pad_value, 0.0f));
  }
  return params;
}

Status resolve_same(const Context& c, ValueId nhwc, WindowParams& params) {
  if (params.same == Same::no) return {};
  Window& window = params.window;
  for (size_t a = 2 - static_cast<size_t>(params.dims); a < 2; ++a) {
    const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
    int64_t total = reach - 1;
    if (window.stride[a] > 1) {
      FIRN_ASSIGN(const int64_t size, c.known_dim(nhwc, static_cast<int>(a) + 1));
      total = reach + (size - 1) / window.stride[a] * window.stride[a] - size;
    }
    total = std::clamp<int64_t>(total, 0, std::numeric_limits<int32_t>::max());
    const auto half = static_cast<int32_t>(total / 2);
    const auto rest = static_cast<int32_t>(total - half);
    window.pad[a] = params.same == Same::lower ? rest : half;
    window.pad[a + 2] = params.same == Same::lower ? half : rest;
  }
  return {};
}

Result<ValueId> pad_ahead(Context& c, ValueId nhwc, WindowParams& params) {
  if (params.pad_value == 0) return nhwc;
  std::array<int32_t, 4>& pad = params.window.pad;
  Pad op;
  op.before = {0, pad[0], pad[1], 0};
  op.after = {0, pad[2], pad[3], 0};
  op.value = params.pad_value;
  pad = {0, 0, 0, 0};
  return c.emit("pad", std::move(op), {nhwc});
}

Result<ValueId> to_nhwc(Context& c, ValueId x) {
  const std::optional<Quant> quant = c.builder.value(x).quant;
  if (c.dims(x) == 1) {
    return c.emit("as_image", Reshape{{0, 1, 1, c.shape(x)[1]}, false}, {x}, quant);
  }
  if (c.dims(x) == 2) {
    FIRN_ASSIGN(x, c.reshape_blob("as_image", x,
                                  {TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)}));
  }
  return c.emit("to_nhwc", Transpose{{0, 2, 3, 1}}, {x}, quant);
}

Result<ValueId> from_nhwc(Context& c, ValueId y, int dims) {
  const std::optional<Quant> quant = c.builder.value(y).quant;
  if (dims == 1) return c.emit("as_vector", Reshape{{0, c.shape(y)[3]}, false}, {y}, quant);
  FIRN_ASSIGN(y, c.emit("to_nchw", Transpose{{0, 3, 1, 2}}, {y}, quant));
  if (dims == 3) return y;
  return c.reshape_blob("as_row", y, {TargetDim::copy(1), TargetDim::copy(3)});
}

Clamp Activation::clamp() const {
  if (kind == relu) return {0, std::numeric_limits<float>::infinity()};
  if (kind == clip) return {a, b};
  return {};
}

Result<Activation> read_activation(const Context& c, int type_id, int params_id) {
  FIRN_ASSIGN(const int32_t type, c.param(type_id, 0));
  FIRN_ASSIGN(const std::vector<float> params, c.floats(params_id));
  if (type < Activation::none || type > Activation::hard_swish) {
    return c.unsupported("activation type " + std::to_string(type));
  }
  Activation activation;
  activation.kind = static_cast<Activation::Kind>(type);
  const bool two = type == Activation::clip || type == Activation::hard_swish;
  const size_t needed = two ? 2 : type == Activation::leaky_relu ? 1 : 0;
  if (params.size() < needed) {
    return c.malformed("activation type " + std::to_string(type) + " with " +
                       std::to_string(params.size()) + " parameters, expected " +
                       std::to_string(needed));
  }
  if (needed > 0) activation.a = params[0];
  if (needed > 1) activation.b = params[1];
  if (type == Activation::clip && !(activation.a <= activation.b)) {
    return c.malformed("activation clips to [" + std::to_string(activation.a) + ", " +
                       std::to_string(activation.b) + "]");
  }
  return activation;
}

Result<ValueId> activate(Context& c, ValueId x, const Activation& activation) {
  using Kind = Unary::Kind;
  switch (activation.kind) {
    case Activation::leaky_relu:
      return c.unary("activation", Kind::leaky_relu, x, activation.a);
    case Activation::sigmoid:
      return c.unary("activation", Kind::sigmoid, x);
    case Activation::mish:
      return c.unary("activation", Kind::mish, x);
    case Activation::hard_swish:
      return hard_swish(c, "activation", x, activation.a, activation.b);
    case Activation::none:
    case Activation::relu:
    case Activation::clip:
      break;
  }
  return x;
}

Result<ValueId> hard_swish(Context& c, std::string_view suffix, ValueId x, float alpha,
                           float beta) {
  // 1/6 is written with six digits or so.
  if (std::abs(alpha - 1.0f / 6) < 1e-5f && beta == 0.5f) {
    return c.unary(suffix, Unary::Kind::hard_swish, x);
  }
  FIRN_ASSIGN(const ValueId gate,
              c.unary(std::string(suffix) + "_gate", Unary::Kind::hard_sigmoid, x, alpha, beta));
  return c.binary(suffix, Binary::Kind::mul, x, gate);
}

}  // namespace firn::ncnn
