// SPDX-License-Identifier: Apache-2.0
// Finds quantized values behind and in front of nodes.
#include "runtime/passes/quantized.h"

#include "runtime/passes/match.h"

namespace firn {
namespace {

// What may lie between a value and its Convert.
bool is_seen_through(const Op& op) {
  const auto* reshape = std::get_if<Reshape>(&op);
  return std::holds_alternative<Transpose>(op) || (reshape != nullptr && !reshape->from_input);
}

}  // namespace

bool is_int8(const Value& value) {
  return value.type == DType::i8 && value.quant && value.quant->per_tensor() &&
         value.quant->bits == 8;
}

ValueId dequantized_from(const Rewrite& rewrite, ValueId id) {
  if (rewrite.made_by<Convert>(id) == nullptr || !is_plain(rewrite.value(id))) return ValueId::none;
  const ValueId source = rewrite.node(rewrite.producer(id)).in[0];
  return rewrite.value(source).quant ? source : ValueId::none;
}

bool is_constant_like(const Rewrite& rewrite, ValueId id) {
  if (rewrite.is_constant(id)) return true;
  const ValueId source = dequantized_from(rewrite, id);
  return source != ValueId::none && rewrite.is_constant(source);
}

std::optional<std::vector<double>> constant_numbers(const Rewrite& rewrite, ValueId id) {
  const ValueId source = dequantized_from(rewrite, id);
  const Value& value = rewrite.value(source != ValueId::none ? source : id);
  if (value.constant == nullptr) return std::nullopt;
  if (is_plain(value))
    return std::vector<double>(value.as<float>().begin(), value.as<float>().end());
  if (value.type != DType::i32 || !value.quant || value.quant->axis > 0 || value.quant->block != 0)
    return std::nullopt;
  std::vector<double> numbers;
  for (const int32_t q : value.as<int32_t>()) {
    const size_t s = value.quant->per_tensor() ? 0 : numbers.size();
    numbers.push_back(q * double{value.quant->scale[s]});
  }
  return numbers;
}

bool is_from_int8(const Rewrite& rewrite, ValueId id) {
  for (;;) {
    const int n = rewrite.producer(id);
    if (n < 0 || !is_seen_through(rewrite.node(n).op)) break;
    id = rewrite.node(n).in[0];
  }
  const ValueId source = dequantized_from(rewrite, id);
  return source != ValueId::none && is_int8(rewrite.value(source));
}

Result<ValueId> int8_behind(Rewrite& rewrite, ValueId id) {
  std::vector<Node> moves;
  for (;;) {
    const Node& node = rewrite.node(rewrite.producer(id));
    if (!is_seen_through(node.op)) break;
    moves.push_back(node);
    id = node.in[0];
  }
  id = dequantized_from(rewrite, id);
  for (; !moves.empty(); moves.pop_back()) {
    FIRN_ASSIGN(id, rewrite.add(moves.back().op, {id}, moves.back().name));
  }
  return id;
}

bool is_quantize(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  return std::holds_alternative<Convert>(node.op) && is_plain(rewrite.value(node.in[0])) &&
         is_int8(rewrite.value(node.out[0]));
}

int quantizer_of(const Rewrite& rewrite, ValueId id) {
  if (!rewrite.has_one_reader(id)) return -1;
  const int reader = rewrite.readers(id)[0];
  return is_quantize(rewrite, reader) ? reader : -1;
}

}  // namespace firn
