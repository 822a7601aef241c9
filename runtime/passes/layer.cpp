// SPDX-License-Identifier: Apache-2.0
// Constants of layers, read and replaced.
#include "runtime/passes/layer.h"

#include <algorithm>
#include <cmath>

namespace firn {
namespace {

bool is_finite(double value) {
  return std::isfinite(static_cast<float>(value));
}

bool is_layer(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op);
}

// Of any operator that has one; comparisons give no numbers to clamp.
template <typename C, typename AnyOp>
C* find_clamp(AnyOp& op) {
  static_assert(Binary::Kind::pow < Binary::Kind::equal);
  return std::visit(
      [](auto& o) -> C* {
        if constexpr (std::is_same_v<std::decay_t<decltype(o)>, Binary>)
          return o.kind < Binary::Kind::equal ? &o.clamp : nullptr;
        else if constexpr (requires { o.clamp; })
          return &o.clamp;
        else
          return nullptr;
      },
      op);
}

}  // namespace

const Clamp* clamp_of(const Op& op) {
  return find_clamp<const Clamp>(op);
}

Op with_clamp(Op op, const Clamp& clamp) {
  if (Clamp* place = find_clamp<Clamp>(op)) *place = clamp;
  return op;
}

bool is_foldable_layer(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  if (!is_layer(node.op) || !is_plain(rewrite, n) || !rewrite.is_constant(node.in[1])) return false;
  return node.in.size() < 3 || node.in[2] == ValueId::none || rewrite.is_constant(node.in[2]);
}

int32_t channels_of(const Rewrite& rewrite, int n) {
  return rewrite.shape(rewrite.node(n).in[1])[0];
}

std::vector<double> bias_of(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  if (node.in.size() < 3 || node.in[2] == ValueId::none)
    return std::vector<double>(static_cast<size_t>(channels_of(rewrite, n)));
  const std::span<const float> bias = rewrite.value(node.in[2]).as<float>();
  return {bias.begin(), bias.end()};
}

Result<bool> set_constants(Rewrite& rewrite, int n, std::vector<float> weights,
                           const std::vector<double>& bias) {
  const Node node = rewrite.node(n);
  if (!std::ranges::all_of(weights, is_finite) || !std::ranges::all_of(bias, is_finite))
    return false;
  std::vector<ValueId> in{node.in[0], node.in[1], ValueId::none};
  const Value& old = rewrite.value(node.in[1]);
  if (!std::ranges::equal(weights, old.as<float>())) {
    const Shape shape = old.shape;
    FIRN_ASSIGN(in[1], rewrite.add_constant<float>(node.name + "_weights", shape, weights));
    rewrite.inherit_name(node.in[1], in[1]);
  }
  const bool had_bias = node.in.size() > 2 && node.in[2] != ValueId::none;
  FIRN_ASSIGN(in[2],
              rewrite.add_floats(node.name + "_bias", {static_cast<int32_t>(bias.size())}, bias));
  if (had_bias) rewrite.inherit_name(node.in[2], in[2]);
  rewrite.set_inputs(n, std::move(in));
  return true;
}

std::optional<Affine> affine_of(const Rewrite& rewrite, int n, int axis) {
  const Node& node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || !is_plain(rewrite, n)) return std::nullopt;
  const bool constant_first = rewrite.is_constant(node.in[0]);
  const ValueId x = node.in[constant_first ? 1 : 0];
  const ValueId c = node.in[constant_first ? 0 : 1];
  const Shape& shape = rewrite.shape(x);
  if (axis < 0 || axis >= shape.rank) return std::nullopt;  // a scalar
  if (rewrite.is_constant(x) || !shape.known() || shape != rewrite.shape(node.out[0]))
    return std::nullopt;
  const auto constants = per_channel(rewrite.graph(), c, shape.rank, axis, shape[axis]);
  if (!constants) return std::nullopt;

  const size_t channels = constants->size();
  Affine affine{x, std::vector<double>(channels, 1), std::vector<double>(channels, 0)};
  for (size_t i = 0; i < channels; ++i) {
    const double value = (*constants)[i];
    switch (op->kind) {
      case Binary::Kind::add:
        affine.shift[i] = value;
        break;
      case Binary::Kind::mul:
        affine.scale[i] = value;
        break;
      case Binary::Kind::sub:
        affine.scale[i] = constant_first ? -1 : 1;
        affine.shift[i] = constant_first ? value : -value;
        break;
      case Binary::Kind::div:
        if (constant_first) return std::nullopt;
        affine.scale[i] = 1 / value;
        break;
      default:
        return std::nullopt;
    }
    if (!is_finite(affine.scale[i]) || !is_finite(affine.shift[i])) return std::nullopt;
  }
  return affine;
}

}  // namespace firn
