// SPDX-License-Identifier: Apache-2.0
// Reading the scales of a quantized graph for its float original.
#include "quant/given_ranges.h"

#include <algorithm>
#include <string_view>

#include "quant/observe.h"
#include "runtime/int8_ops.h"

namespace firn {
namespace {

// What quantizing tools, and this one, hang onto the names of float tensors and layers.
constexpr std::string_view kSuffixes[] = {
    "_QuantizeLinear_Output",
    "_DequantizeLinear_Output",
    "_QuantizeLinear",
    "_DequantizeLinear",
    "_quantized",
    "_quantize",
    "_dequantize",
    "_quant",
    ".quantize",
    ".dequantize",
    ".int8",
};

std::string plain_name(std::string_view name) {
  for (bool found = true; found;) {
    found = false;
    for (std::string_view suffix : kSuffixes) {
      if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
      name.remove_suffix(suffix.size());
      found = true;
    }
  }
  return std::string(name);
}

bool is_symmetric(const Quant& quant) {
  return std::ranges::all_of(quant.zero, [](int32_t zero) { return zero == 0; });
}

}  // namespace

Result<GivenRanges> scales_of_quantized(const Graph& quantized, const Graph& graph) {
  std::map<std::string, Interval> by_name;
  for (const Value& value : quantized.values)
    if (value.type == DType::i8 && value.quant && value.quant->per_tensor() && !value.constant)
      by_name.try_emplace(plain_name(value.name), to_interval(*value.quant));
  GivenRanges given;
  size_t wanted = 0;
  for (const ObservedTensor& tensor : tensors_to_observe(graph)) {
    if (!tensor.range) continue;
    ++wanted;
    if (const auto found = by_name.find(plain_name(tensor.name)); found != by_name.end())
      given.ranges[tensor.name] = found->second;
  }
  if (given.ranges.empty())
    return Status(Code::failed_precondition,
                  "the quantized model has no int8 tensor that is called like one of the " +
                      std::to_string(wanted) + " of the float model");
  if (given.ranges.size() < wanted)
    given.warnings.push_back(std::to_string(wanted - given.ranges.size()) + " of " +
                             std::to_string(wanted) +
                             " tensors have no scale in the quantized model");

  std::map<std::string, const Quant*> weights;
  for (const Node& node : quantized.nodes)
    if (node.in.size() > 1 && quantized.is_constant(node.in[1]) &&
        (std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op)))
      if (const std::optional<Quant>& quant = quantized.value(node.in[1]).quant;
          quant && quant->bits == 8 && quant->block == 0 && is_symmetric(*quant))
        weights.try_emplace(plain_name(node.name), &*quant);
  const std::vector<Int8Form> forms = int8_forms(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (forms[n].kind != Int8Form::Kind::weighted) continue;
    const auto found = weights.find(plain_name(node.name));
    if (found == weights.end()) continue;
    const size_t channels = static_cast<size_t>(graph.value(node.in[1]).shape[0]);
    std::vector<float> scale = found->second->scale;
    if (scale.size() == 1) scale.resize(channels, scale[0]);
    if (scale.size() == channels) given.weight_scales[node.name] = std::move(scale);
  }
  return given;
}

}  // namespace firn
