// SPDX-License-Identifier: Apache-2.0
// Layers between Dequantizes of 16-bit activations and 8-bit weights multiply these in integers.
#include <algorithm>
#include <optional>

#include "runtime/int8_ops.h"
#include "runtime/passes/match.h"
#include "runtime/passes/quantized.h"

namespace firn {
namespace {

// int8 without zero points, and rows whose sums int32 holds.
bool fits_kernels(const Value& weights) {
  return is_int8_weights(weights) && weights.shape.elements() > 0 &&
         weights.shape.elements() / static_cast<size_t>(weights.shape[0]) <= kLongestRow &&
         std::ranges::all_of(weights.quant->zero, [](int32_t z) { return z == 0; });
}

// The node that alone reads `id` and quantizes it to 8 or 16 bits; or -1.
int quantizer_to_integers(const Rewrite& rewrite, ValueId id) {
  if (const int quantizer = quantizer_of(rewrite, id); quantizer >= 0) return quantizer;
  if (!rewrite.has_one_reader(id)) return -1;
  const int reader = rewrite.readers(id)[0];
  const Node& node = rewrite.node(reader);
  return std::holds_alternative<Convert>(node.op) && is_wide(rewrite.value(node.out[0])) ? reader
                                                                                         : -1;
}

}  // namespace

Result<bool> make_wide_layer(Rewrite& rewrite, int n, bool float_output) {
  const Node node = rewrite.node(n);
  const bool layer =
      std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
  if (!layer || !is_plain(rewrite.value(node.out[0]))) return false;
  const ValueId x = dequantized_from(rewrite, node.in[0]);
  const ValueId w = dequantized_from(rewrite, node.in[1]);
  if (x == ValueId::none || !is_wide(rewrite.value(x)) || rewrite.is_constant(x) ||
      w == ValueId::none || !fits_kernels(rewrite.value(w)))
    return false;
  const int quantizer = quantizer_to_integers(rewrite, node.out[0]);
  if (quantizer < 0 && !float_output) return false;

  std::vector<ValueId> in{x, w};
  if (node.in.size() > 2 && node.in[2] != ValueId::none) {
    const std::optional<std::vector<double>> bias = constant_numbers(rewrite, node.in[2]);
    const auto channels = static_cast<size_t>(rewrite.shape(w)[0]);
    if (!bias || bias->size() != channels) {
      rewrite.note(n, "its bias is not constant");
      return false;
    }
    in.push_back(node.in[2]);
    if (!is_plain(rewrite.value(node.in[2])) || !rewrite.is_constant(node.in[2])) {
      const std::vector<float> floats(bias->begin(), bias->end());
      FIRN_ASSIGN(in[2], rewrite.add_constant<float>(rewrite.value(node.in[2]).name,
                                                     {static_cast<int32_t>(channels)}, floats));
    }
  }
  rewrite.set_inputs(n, std::move(in));
  if (quantizer >= 0) rewrite.make(n, rewrite.node(quantizer).out[0]);
  return true;
}

}  // namespace firn
