// SPDX-License-Identifier: Apache-2.0
// Pass: activations spelled out in arithmetic become one operator.
//
//   x * sigmoid(a x)                              -> silu
//   x * tanh(softplus(x))                         -> mish
//   clamp(x + b, 0, h) / h                        -> hard_sigmoid
//   x * hard_sigmoid(x / 6 + 0.5), x * clamp(x + 3, 0, 6) / 6
//                                                 -> hard_swish
//   x * 0.5 * (1 + erf(x / sqrt(2)))              -> gelu
//   x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
//                                                 -> gelu_tanh
//   PRelu with one slope                          -> leaky_relu
//
// Factors may come in any order and with constants anywhere among them.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

using Kind = Unary::Kind;

// Exporters print constants with four to nine digits.
bool near(double a, double b) {
  return std::abs(a - b) <= 1e-4 * std::abs(b);
}

// constant * factors[0] * factors[1] * ...
struct Product {
  double constant = 1;
  std::vector<ValueId> factors;
};

void multiply(const Rewrite& rewrite, ValueId id, int depth, Product& product);

// Whether node n multiplies (or divides by a constant): then its factors join the product.
bool multiply_operands(const Rewrite& rewrite, int n, int depth, Product& product) {
  const Node& node = rewrite.node(n);
  const auto* op = std::get_if<Binary>(&node.op);
  if (op == nullptr || !op->clamp.none() || !is_plain(rewrite, n)) return false;
  if (op->kind == Binary::Kind::mul) {
    for (ValueId id : node.in) multiply(rewrite, id, depth, product);
    return true;
  }
  if (op->kind != Binary::Kind::div) return false;
  const std::optional<double> divisor = scalar(rewrite.graph(), node.in[1]);
  if (!divisor || *divisor == 0) return false;
  product.constant /= *divisor;
  multiply(rewrite, node.in[0], depth, product);
  return true;
}

void multiply(const Rewrite& rewrite, ValueId id, int depth, Product& product) {
  constexpr int kMaxDepth = 3;  // x * x * x * c
  if (const auto c = scalar(rewrite.graph(), id)) {
    product.constant *= *c;
    return;
  }
  const int n = rewrite.producer(id);
  if (n >= 0 && depth < kMaxDepth && rewrite.has_one_reader(id) &&
      multiply_operands(rewrite, n, depth + 1, product))
    return;
  product.factors.push_back(id);
}

Product product_of(const Rewrite& rewrite, ValueId id) {
  Product product;
  multiply(rewrite, id, 0, product);
  return product;
}

// The constant c of c * x^power, or 0.
double power_of(const Rewrite& rewrite, ValueId id, ValueId x, int power) {
  const Product product = product_of(rewrite, id);
  if (static_cast<int>(product.factors.size()) == power &&
      std::ranges::all_of(product.factors, [&](ValueId f) { return f == x; }))
    return product.constant;
  if (product.factors.size() != 1) return 0;
  const auto* op = rewrite.made_by<Binary>(product.factors[0]);
  if (op == nullptr || op->kind != Binary::Kind::pow || !op->clamp.none() ||
      !rewrite.has_one_reader(product.factors[0]))
    return 0;
  const auto match = with_scalar(rewrite, rewrite.producer(product.factors[0]));
  const bool hit = match && match->x == x && !match->constant_first && match->c == power;
  return hit ? product.constant : 0;
}

// The operand of a Unary of this kind that one node reads, or none.
ValueId operand(const Rewrite& rewrite, ValueId id, Kind kind) {
  const auto* op = rewrite.made_by<Unary>(id);
  if (op == nullptr || op->kind != kind || !rewrite.has_one_reader(id)) return ValueId::none;
  const int n = rewrite.producer(id);
  return is_plain(rewrite, n) ? rewrite.node(n).in[0] : ValueId::none;
}

// x and c where `id` is x + c, read by one node.
std::optional<WithScalar> sum_with_scalar(const Rewrite& rewrite, ValueId id, const Clamp& clamp) {
  const auto* op = rewrite.made_by<Binary>(id);
  if (op == nullptr || op->kind != Binary::Kind::add || op->clamp != clamp ||
      !rewrite.has_one_reader(id))
    return std::nullopt;
  return with_scalar(rewrite, rewrite.producer(id));
}

// `id` as clamp(x + offset, 0, top), read by one node.
struct Ramp {
  ValueId x = ValueId::none;
  double offset = 0, top = 0;
};
std::optional<Ramp> ramp_of(const Rewrite& rewrite, ValueId id) {
  Clamp clamp;
  ValueId sum = id;
  if (const ValueId clamped = operand(rewrite, id, Kind::clamp); clamped != ValueId::none) {
    const Unary& op = *rewrite.made_by<Unary>(id);
    clamp = {op.alpha, op.beta};
    sum = clamped;
  } else if (const auto* op = rewrite.made_by<Binary>(id)) {
    clamp = op->clamp;
  }
  if (clamp.lo != 0 || !(clamp.hi > 0) || !std::isfinite(clamp.hi)) return std::nullopt;
  const auto match = sum_with_scalar(rewrite, sum, sum == id ? clamp : Clamp{});
  if (!match) return std::nullopt;
  return Ramp{match->x, match->c, clamp.hi};
}

// Whether `id` is sqrt(2 / pi) * (x + 0.044715 x^3), also with x factored out.
bool is_gelu_argument(const Rewrite& rewrite, ValueId id, ValueId x) {
  constexpr double kCubic = 0.044715;
  const Product product = product_of(rewrite, id);
  if (!near(product.constant, std::sqrt(2 / std::numbers::pi))) return false;
  const size_t count = product.factors.size();
  if (count == 2) {
    const bool first = product.factors[0] == x;
    if (!first && product.factors[1] != x) return false;
    const auto sum = sum_with_scalar(rewrite, product.factors[first ? 1 : 0], Clamp{});
    return sum && sum->c == 1 && near(power_of(rewrite, sum->x, x, 2), kCubic);
  }
  if (count != 1 || !rewrite.has_one_reader(product.factors[0])) return false;
  const auto* sum = rewrite.made_by<Binary>(product.factors[0]);
  if (sum == nullptr || sum->kind != Binary::Kind::add || !sum->clamp.none()) return false;
  const std::vector<ValueId>& in = rewrite.node(rewrite.producer(product.factors[0])).in;
  return (in[0] == x && near(power_of(rewrite, in[1], x, 3), kCubic)) ||
         (in[1] == x && near(power_of(rewrite, in[0], x, 3), kCubic));
}

// The activation that constant * x * gate is.
std::optional<Unary> gated(const Rewrite& rewrite, ValueId x, ValueId gate, double constant) {
  if (!rewrite.has_one_reader(gate)) return std::nullopt;
  if (const ValueId u = operand(rewrite, gate, Kind::sigmoid); u != ValueId::none) {
    const double slope = u == x ? 1 : power_of(rewrite, u, x, 1);
    if (slope != 0 && near(constant, 1)) return Unary{Kind::silu, static_cast<float>(slope)};
    return std::nullopt;
  }
  if (const ValueId u = operand(rewrite, gate, Kind::tanh); u != ValueId::none) {
    if (operand(rewrite, u, Kind::softplus) == x && near(constant, 1)) return Unary{Kind::mish};
    return std::nullopt;
  }
  if (operand(rewrite, gate, Kind::hard_sigmoid) == x) {
    const Unary& op = *rewrite.made_by<Unary>(gate);
    if (near(op.alpha, 1.0 / 6) && near(op.beta, 0.5) && near(constant, 1))
      return Unary{Kind::hard_swish};
    return std::nullopt;
  }
  if (const auto ramp = ramp_of(rewrite, gate)) {
    if (ramp->x == x && ramp->offset == 3 && ramp->top == 6 && near(constant, 1.0 / 6))
      return Unary{Kind::hard_swish};
    return std::nullopt;
  }
  const auto sum = sum_with_scalar(rewrite, gate, Clamp{});
  if (!sum || sum->c != 1 || !near(constant, 0.5)) return std::nullopt;
  if (const ValueId u = operand(rewrite, sum->x, Kind::erf); u != ValueId::none)
    if (near(power_of(rewrite, u, x, 1), 1 / std::numbers::sqrt2)) return Unary{Kind::gelu};
  if (const ValueId u = operand(rewrite, sum->x, Kind::tanh); u != ValueId::none)
    if (is_gelu_argument(rewrite, u, x)) return Unary{Kind::gelu_tanh};
  return std::nullopt;
}

bool replace(Rewrite& rewrite, int n, ValueId x, const Unary& op) {
  if (rewrite.shape(x) != rewrite.shape(rewrite.node(n).out[0])) return false;
  rewrite.set_op(n, op);
  rewrite.set_inputs(n, {x});
  return true;
}

Result<bool> fuse(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  if (std::holds_alternative<PRelu>(node.op)) {
    const auto slope = scalar(rewrite.graph(), node.in[1]);
    if (!slope || !is_plain(rewrite, n)) return false;
    return replace(rewrite, n, node.in[0], Unary{Kind::leaky_relu, static_cast<float>(*slope)});
  }
  Product product;
  if (!multiply_operands(rewrite, n, 0, product)) return false;
  if (product.factors.size() == 1) {
    const auto ramp = ramp_of(rewrite, product.factors[0]);
    if (!ramp || !near(product.constant, 1 / ramp->top)) return false;
    return replace(rewrite, n, ramp->x,
                   Unary{Kind::hard_sigmoid, static_cast<float>(1 / ramp->top),
                         static_cast<float>(ramp->offset / ramp->top)});
  }
  if (product.factors.size() != 2) return false;
  for (const bool swapped : {false, true}) {
    const ValueId x = product.factors[swapped ? 1 : 0];
    const ValueId gate = product.factors[swapped ? 0 : 1];
    if (const auto op = gated(rewrite, x, gate, product.constant))
      return replace(rewrite, n, x, *op);
  }
  return false;
}

}  // namespace

Result<int> fuse_activations(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "fuse_activations", fuse);
}

}  // namespace firn
