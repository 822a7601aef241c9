// SPDX-License-Identifier: Apache-2.0
// Pass: quantized uint8 becomes int8, everything 128 lower, which is exact. Inputs and outputs of
// the graph stay uint8 for their users, behind Converts.
//
//   x u8 -> op -> y u8     becomes     x i8 -> op -> y i8
#include <algorithm>

#include "runtime/passes/rewrite.h"
#include "runtime/quant_axis.h"

namespace firn {
namespace {

bool is_uint8(const Value& value) {
  return value.type == DType::u8 && value.quant && value.quant->bits == 8;
}

void shift(Value& value) {
  value.type = DType::i8;
  value.quant = as_int8(*value.quant);
}

// A Convert between the two forms of the same numbers, at an input or output.
bool is_shift(const Rewrite& rewrite, const Node& node) {
  if (!std::holds_alternative<Convert>(node.op)) return false;
  const Value& from = rewrite.value(node.in[0]);
  const Value& to = rewrite.value(node.out[0]);
  if (is_uint8(from))
    return rewrite.producer(node.in[0]) < 0 && to.type == DType::i8 &&
           to.quant == as_int8(*from.quant);
  return is_uint8(to) && rewrite.graph().is_output(node.out[0]) && from.type == DType::i8 &&
         from.quant == as_int8(*to.quant);
}

Result<ValueId> shifted(Rewrite& rewrite, ValueId id) {
  const Quant quant = as_int8(*rewrite.value(id).quant);
  const std::string name = rewrite.value(id).name;
  ValueId out = ValueId::none;
  if (rewrite.is_constant(id)) {
    std::vector<int8_t> lower;
    for (const uint8_t q : rewrite.value(id).as<uint8_t>())
      lower.push_back(static_cast<int8_t>(q - 128));
    const Shape shape = rewrite.shape(id);
    FIRN_ASSIGN(out, rewrite.add_constant<int8_t>(name, shape, lower));
  } else {
    FIRN_ASSIGN(out, rewrite.add(Convert{DType::i8}, {id}, name));
  }
  rewrite.graph().value(out).quant = quant;
  return out;
}

Result<bool> shift_node(Rewrite& rewrite, int n) {
  const Node node = rewrite.node(n);
  if (is_shift(rewrite, node)) return false;
  bool fired = false;
  for (size_t i = 0; i < node.in.size(); ++i) {
    const ValueId id = node.in[i];
    if (id == ValueId::none || !is_uint8(rewrite.value(id)) || rewrite.producer(id) >= 0) continue;
    FIRN_ASSIGN(const ValueId lower, shifted(rewrite, id));
    rewrite.set_input(n, i, lower);
    fired = true;
  }
  const ValueId out = node.out[0];
  if (node.out.size() != 1 || !is_uint8(rewrite.value(out))) return fired;
  if (std::holds_alternative<Convert>(node.op)) rewrite.set_op(n, Convert{DType::i8});
  if (!rewrite.graph().is_output(out)) {
    shift(rewrite.graph().value(out));
    return true;
  }
  const Quant quant = as_int8(*rewrite.value(out).quant);
  FIRN_TRY(rewrite.insert_after(n, Convert{DType::u8}));
  const ValueId lower = rewrite.node(n).out[0];
  rewrite.graph().value(lower).type = DType::i8;
  rewrite.graph().value(lower).quant = quant;
  // Whoever else reads the output wants it in int8.
  for (const int reader :
       std::vector<int>(rewrite.readers(out).begin(), rewrite.readers(out).end())) {
    std::vector<ValueId> in = rewrite.node(reader).in;
    std::ranges::replace(in, out, lower);
    rewrite.set_inputs(reader, std::move(in));
  }
  return true;
}

}  // namespace

Result<int> shift_to_int8(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "shift_to_int8", shift_node);
}

}  // namespace firn
