// SPDX-License-Identifier: Apache-2.0
// Operators of the domain com.microsoft, which ONNX Runtime's optimizers write: fusions, all of
// them.
#include <limits>
#include <utility>

#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_norm.h"
#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

// x + input i, where that is there.
Result<ValueId> plus(Context& c, std::string_view suffix, ValueId x, size_t i) {
  const ValueId other = c.optional_input(i);
  if (other == ValueId::none) return x;
  return c.binary(suffix, Kind::add, x, other);
}

Status biased_gelu(Context& c, Unary::Kind kind) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId sum, plus(c, "biased", x, 1));
  return c.bind(c.unary("", kind, sum));
}

Status quick_gelu(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.702f));
  return c.bind(c.unary("", Unary::Kind::silu, x, alpha));
}

// The last two dimensions, swapped on request.
Result<ValueId> side(Context& c, size_t i, const char* attribute) {
  FIRN_ASSIGN(const ValueId x, c.input(i));
  FIRN_ASSIGN(const int64_t swapped, c.attr(attribute, int64_t{0}));
  const int32_t rank = c.rank(x);
  if (rank < 2) return c.unsupported("an input of rank " + std::to_string(rank));
  if (swapped == 0) return x;
  std::vector<int32_t> perm;
  for (int32_t d = 0; d < rank; ++d) perm.push_back(d);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return c.transpose(attribute, x, std::move(perm));
}

Status fused_matmul(Context& c) {
  FIRN_ASSIGN(const ValueId a, side(c, 0, "transA"));
  FIRN_ASSIGN(const ValueId b, side(c, 1, "transB"));
  FIRN_ASSIGN(const float alpha, c.attr("alpha", 1.0f));
  for (const char* name : {"transBatchA", "transBatchB"}) {
    FIRN_ASSIGN(const int64_t swapped, c.attr(name, int64_t{0}));
    if (swapped != 0) return c.unsupported(std::string(name) + " is not supported");
  }
  FIRN_ASSIGN(const ValueId y, c.emit(alpha == 1.0f ? "" : "product", MatMul{}, {a, b}));
  if (alpha == 1.0f) return c.bind(y);
  FIRN_ASSIGN(const ValueId factor, c.scalar("alpha", DType::f32, alpha));
  return c.bind(c.binary("", Kind::mul, y, factor));
}

// The normalization of a sum over the innermost axis. Inputs x, skip, gamma, then beta where it is
// centred, then a bias.
Status skip_norm(Context& c, bool centre) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId skip, c.input(1));
  FIRN_ASSIGN(const ValueId gamma, c.input(2));
  FIRN_ASSIGN(const float epsilon, c.attr("epsilon", 1e-12f));
  FIRN_ASSIGN(ValueId sum, c.binary("sum", Kind::add, x, skip));
  FIRN_ASSIGN(sum, plus(c, "biased", sum, centre ? 4 : 3));
  FIRN_ASSIGN(const Normalized normalized, normalize(c, sum, {c.rank(sum) - 1}, epsilon, centre));
  FIRN_ASSIGN(ValueId y, c.binary("", Kind::mul, normalized.y, gamma));
  if (centre) {
    FIRN_ASSIGN(y, plus(c, "shifted", y, 3));
  }
  if (c.wanted(3)) FIRN_TRY(c.bind(sum, 3));
  return c.bind(y);
}

// f(conv(x) + z), z being input 3.
Status fused_conv(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId w, c.input(1));
  FIRN_ASSIGN(const ValueId product, emit_conv(c, x, w, c.optional_input(2)));
  FIRN_ASSIGN(const ValueId y, plus(c, "sum", product, 3));
  FIRN_ASSIGN(const std::string name, c.attr("activation", ""));
  FIRN_ASSIGN(const std::vector<float> params, c.attr_floats("activation_params"));
  const auto param = [&](size_t i, float missing) {
    return i < params.size() ? params[i] : missing;
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (name.empty()) return c.bind(y);
  if (name == "Relu") return c.bind(c.unary("", Unary::Kind::clamp, y, 0, kInfinity));
  if (name == "Clip") {
    return c.bind(c.unary("", Unary::Kind::clamp, y, param(0, -kInfinity), param(1, kInfinity)));
  }
  if (name == "LeakyRelu") {
    return c.bind(c.unary("", Unary::Kind::leaky_relu, y, param(0, 0.01f)));
  }
  if (name == "HardSigmoid") {
    return c.bind(c.unary("", Unary::Kind::hard_sigmoid, y, param(0, 0.2f), param(1, 0.5f)));
  }
  if (name == "Sigmoid") return c.bind(c.unary("", Unary::Kind::sigmoid, y));
  if (name == "Tanh") return c.bind(c.unary("", Unary::Kind::tanh, y));
  return c.unsupported("activation '" + name + "'");
}

constexpr Operator kOperators[] = {
    {"BiasGelu", [](Context& c) { return biased_gelu(c, Unary::Kind::gelu); }},
    {"FastGelu", [](Context& c) { return biased_gelu(c, Unary::Kind::gelu_tanh); }},
    {"FusedConv", fused_conv},
    {"FusedMatMul", fused_matmul},
    {"Gelu", [](Context& c) { return biased_gelu(c, Unary::Kind::gelu); }},
    {"QuickGelu", quick_gelu},
    {"SkipLayerNormalization", [](Context& c) { return skip_norm(c, true); }},
    {"SkipSimplifiedLayerNormalization", [](Context& c) { return skip_norm(c, false); }},
};

}  // namespace

std::span<const Operator> contrib_operators() {
  return kOperators;
}

}  // namespace firn::onnx
