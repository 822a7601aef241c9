// SPDX-License-Identifier: Apache-2.0
// Pass: removes nodes whose output is their input.
//
//   x -> Reshape to x's shape, Transpose in order, Slice of everything, Pad by nothing, Expand to
//   x's
//        shape, Concat of one, Convert to x's type, x * 1, x / 1, x + 0, x - 0, x ^ 1,
//        clamp to (-inf, inf) or to what int8 x cannot leave, Resize to x's size, 1x1 pooling,
//        blocks of one pixel
#include <algorithm>

#include "runtime/passes/match.h"
#include "runtime/passes/quantized.h"
#include "runtime/passes/rewrite.h"

namespace firn {
namespace {

bool all_equal(const std::vector<int32_t>& values, int32_t to) {
  return std::ranges::all_of(values, [to](int32_t v) { return v == to; });
}

// No numbers, or none that x can hold.
bool clamps_nothing(const Unary& clamp, const Value& x) {
  if (Clamp{clamp.alpha, clamp.beta}.none()) return true;
  if (!is_int8(x)) return false;
  const auto real = [&](int32_t q) {
    return static_cast<float>(q - x.quant->zero[0]) * x.quant->scale[0];
  };
  return clamp.alpha <= real(INT8_MIN) && real(INT8_MAX) <= clamp.beta;
}

// Whether the node copies in[0], given that both have one shape and encoding.
bool copies(const Rewrite& rewrite, int n) {
  const Op& op = rewrite.node(n).op;
  if (const auto* o = std::get_if<Unary>(&op))
    return o->kind == Unary::Kind::clamp &&
           clamps_nothing(*o, rewrite.value(rewrite.node(n).in[0]));
  if (const auto* o = std::get_if<Pool2d>(&op)) return o->window == Window{};
  if (std::holds_alternative<Concat>(op)) return rewrite.node(n).in.size() == 1;
  if (const auto* o = std::get_if<Slice>(&op)) return all_equal(o->step, 1);
  if (const auto* o = std::get_if<Pad>(&op))
    return all_equal(o->before, 0) && all_equal(o->after, 0);
  if (const auto* o = std::get_if<Transpose>(&op)) return is_identity(o->perm);
  if (const auto* o = std::get_if<Resize2d>(&op))
    return o->size != std::array<int32_t, 2>{0, 0} || o->scale == std::array<float, 2>{1, 1};
  if (const auto* o = std::get_if<DepthToSpace>(&op)) return o->block == 1;
  return std::holds_alternative<Reshape>(op) || std::holds_alternative<Expand>(op) ||
         std::holds_alternative<Convert>(op);
}

// The operand that a Binary passes on unchanged, or none.
ValueId neutral(const Rewrite& rewrite, int n, const Binary& op) {
  if (!op.clamp.none()) return ValueId::none;
  const std::optional<WithScalar> match = with_scalar(rewrite, n);
  if (!match) return ValueId::none;
  switch (op.kind) {
    case Binary::Kind::add:
      return match->c == 0 ? match->x : ValueId::none;
    case Binary::Kind::mul:
      return match->c == 1 ? match->x : ValueId::none;
    case Binary::Kind::sub:
      return match->c == 0 && !match->constant_first ? match->x : ValueId::none;
    case Binary::Kind::div:
    case Binary::Kind::pow:
      return match->c == 1 && !match->constant_first ? match->x : ValueId::none;
    default:
      return ValueId::none;
  }
}

Result<bool> remove(Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  const auto* binary = std::get_if<Binary>(&node.op);
  const ValueId x = binary ? neutral(rewrite, n, *binary)
                           : (!node.in.empty() && copies(rewrite, n) ? node.in[0] : ValueId::none);
  if (x == ValueId::none) return false;
  const Value& in = rewrite.value(x);
  const Value& out = rewrite.value(node.out[0]);
  if (in.shape != out.shape || !in.shape.known() || in.type != out.type || in.quant != out.quant)
    return false;
  if (rewrite.forward(node.out[0], x)) return true;
  rewrite.note(n, "its input and output both keep their names");
  return false;
}

}  // namespace

Result<int> remove_no_ops(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "remove_no_ops", remove);
}

}  // namespace firn
