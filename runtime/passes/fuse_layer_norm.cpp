// SPDX-License-Identifier: Apache-2.0
// Pass: layer norms spelled out in arithmetic become one operator, with the scale and bias behind
// them.
//
//   c = x - mean(x); c / sqrt(mean(c^2) + epsilon)  -> LayerNorm(x)
//   x / sqrt(mean(x^2) + epsilon)                   -> RMSNorm(x)
//   LayerNorm(x) -> Mul, Add, ... by constant [C]   -> LayerNorm(x, scale, bias)
//
// Means are over the innermost dimension. Instead of a division there may be a product with the
// reciprocal, and powers instead of squares and roots.
#include <cmath>

#include "runtime/passes/layer.h"

namespace firn {
namespace {

// u, where `id` is u^power by any operator.
ValueId base_of_power(const Rewrite& rewrite, ValueId id, double power) {
  const int n = rewrite.producer(id);
  if (n < 0 || !is_plain(rewrite, n)) return ValueId::none;
  const Node& node = rewrite.node(n);
  if (const auto* unary = std::get_if<Unary>(&node.op)) {
    const bool hit = (unary->kind == Unary::Kind::sqrt && power == 0.5) ||
                     (unary->kind == Unary::Kind::reciprocal && power == -1);
    return hit ? node.in[0] : ValueId::none;
  }
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || !op->clamp.none()) return ValueId::none;
  if (op->kind == Binary::Kind::mul && power == 2 && node.in[0] == node.in[1]) return node.in[0];
  const auto constant = with_scalar(rewrite, n);
  if (!constant) return ValueId::none;
  const bool is_power =
      op->kind == Binary::Kind::pow && !constant->constant_first && constant->c == power;
  const bool is_inverse =
      op->kind == Binary::Kind::div && constant->constant_first && constant->c == 1 && power == -1;
  return is_power || is_inverse ? constant->x : ValueId::none;
}

// x, where `id` is its mean over the innermost dimension.
ValueId averaged(const Rewrite& rewrite, ValueId id) {
  const int n = rewrite.producer(id);
  const auto* op = rewrite.made_by<Reduce>(id);
  if (op == nullptr || op->kind != Reduce::Kind::mean || op->from_input || !op->keep ||
      !is_plain(rewrite, n))
    return ValueId::none;
  const ValueId x = rewrite.node(n).in[0];
  return op->axes == std::vector<int32_t>{rewrite.shape(x).rank - 1} ? x : ValueId::none;
}

// The variance and epsilon whose sum's root node n divides by, and what it divides.
struct Division {
  ValueId centred = ValueId::none, variance = ValueId::none;
  double epsilon = 0;
};

std::optional<Division> division_by_deviation(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || !op->clamp.none() || !is_plain(rewrite, n)) return std::nullopt;
  const auto found = [&](ValueId centred, ValueId sum) -> std::optional<Division> {
    if (sum == ValueId::none) return std::nullopt;
    const auto* add = rewrite.made_by<Binary>(sum);
    if (add == nullptr || add->kind != Binary::Kind::add || !add->clamp.none()) return std::nullopt;
    const auto epsilon = with_scalar(rewrite, rewrite.producer(sum));
    if (!epsilon || !(epsilon->c >= 0)) return std::nullopt;
    return Division{centred, epsilon->x, epsilon->c};
  };
  if (op->kind == Binary::Kind::div)
    return found(node.in[0], base_of_power(rewrite, node.in[1], 0.5));
  if (op->kind != Binary::Kind::mul) return std::nullopt;
  for (const bool swapped : {false, true}) {
    const ValueId centred = node.in[swapped ? 1 : 0], factor = node.in[swapped ? 0 : 1];
    ValueId sum = base_of_power(rewrite, factor, -0.5);
    if (sum == ValueId::none) {
      const ValueId deviation = base_of_power(rewrite, factor, -1);
      if (deviation != ValueId::none) sum = base_of_power(rewrite, deviation, 0.5);
    }
    if (const auto division = found(centred, sum)) return division;
  }
  return std::nullopt;
}

// x, where `id` is x less its mean.
ValueId uncentred(const Rewrite& rewrite, ValueId id) {
  const auto* op = rewrite.made_by<Binary>(id);
  if (op == nullptr || op->kind != Binary::Kind::sub || !op->clamp.none()) return ValueId::none;
  const Node& node = rewrite.node(rewrite.producer(id));
  return averaged(rewrite, node.in[1]) == node.in[0] ? node.in[0] : ValueId::none;
}

// Exporters compute x - mean(x) once for the variance and once more for the quotient; the same
// value is meant where both are such of one x.
bool same_value(const Rewrite& rewrite, ValueId a, ValueId b) {
  return a == b ||
         (uncentred(rewrite, a) != ValueId::none && uncentred(rewrite, a) == uncentred(rewrite, b));
}

bool fuse_norm(Rewrite& rewrite, int n) {
  const auto division = division_by_deviation(rewrite, n);
  if (!division) return false;
  const ValueId square = averaged(rewrite, division->variance);
  if (square == ValueId::none) return false;
  const ValueId base = base_of_power(rewrite, square, 2);
  if (base == ValueId::none || !same_value(rewrite, base, division->centred)) return false;
  const ValueId x = uncentred(rewrite, division->centred);
  const bool centred = x != ValueId::none;
  const ValueId in = centred ? x : division->centred;
  if (rewrite.shape(in) != rewrite.shape(rewrite.node(n).out[0]) ||
      !std::isfinite(static_cast<float>(division->epsilon)))
    return false;
  rewrite.set_op(n, LayerNorm{static_cast<float>(division->epsilon), centred});
  rewrite.set_inputs(n, {in});
  return true;
}

// What input i of a norm multiplies or adds: constants, or `otherwise` where it is left out.
std::optional<std::vector<double>> vector_of(const Rewrite& rewrite, const Node& norm, size_t i,
                                             size_t channels, double otherwise) {
  if (i >= norm.in.size() || norm.in[i] == ValueId::none)
    return std::vector<double>(channels, otherwise);
  if (!rewrite.is_constant(norm.in[i])) return std::nullopt;
  const auto data = rewrite.value(norm.in[i]).as<float>();
  return std::vector<double>(data.begin(), data.end());
}

Result<bool> take_affine(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || !op->clamp.none()) return false;
  const std::optional<Affine> affine = affine_of(rewrite, n, rewrite.shape(node.out[0]).rank - 1);
  if (!affine || rewrite.made_by<LayerNorm>(affine->x) == nullptr ||
      !rewrite.has_one_reader(affine->x))
    return false;
  const int layer = rewrite.producer(affine->x);
  const Node norm = rewrite.node(layer);
  auto scale = vector_of(rewrite, norm, 1, affine->scale.size(), 1);
  auto bias = vector_of(rewrite, norm, 2, affine->scale.size(), 0);
  if (!scale || !bias || !is_plain(rewrite, layer)) return false;
  for (size_t i = 0; i < scale->size(); ++i) {
    (*scale)[i] *= affine->scale[i];
    (*bias)[i] = (*bias)[i] * affine->scale[i] + affine->shift[i];
    if (!std::isfinite(static_cast<float>((*scale)[i])) ||
        !std::isfinite(static_cast<float>((*bias)[i])))
      return false;
  }
  const Shape shape{static_cast<int32_t>(scale->size())};
  FIRN_ASSIGN(const ValueId factors, rewrite.add_floats(norm.name + "_scale", shape, *scale));
  FIRN_ASSIGN(const ValueId offsets, rewrite.add_floats(norm.name + "_bias", shape, *bias));
  rewrite.set_inputs(layer, {norm.in[0], factors, offsets});
  rewrite.make(layer, node.out[0]);
  return true;
}

}  // namespace

Result<int> fuse_layer_norm(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fuse_layer_norm", [](Rewrite& rewrite, int n) -> Result<bool> {
    if (fuse_norm(rewrite, n)) return true;
    return take_affine(rewrite, n);
  });
}

}  // namespace firn
