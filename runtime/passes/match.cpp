// SPDX-License-Identifier: Apache-2.0
// Questions of patterns, answered.
#include "runtime/passes/match.h"

#include <algorithm>

namespace firn {

bool moves_data(const Op& op) {
  return std::holds_alternative<Transpose>(op) || std::holds_alternative<Reshape>(op);
}

bool is_plain(const Value& value) {
  return value.type == DType::f32 && !value.quant;
}

bool is_plain(const Rewrite& rewrite, int n) {
  const auto plain = [&](ValueId id) { return id == ValueId::none || is_plain(rewrite.value(id)); };
  return std::ranges::all_of(rewrite.node(n).in, plain) &&
         std::ranges::all_of(rewrite.node(n).out, plain);
}

bool same_encoding(const Value& a, const Value& b) {
  return a.type == b.type && a.quant == b.quant && (!a.quant || a.quant->per_tensor());
}

std::optional<double> scalar(const Graph& graph, ValueId id) {
  if (!graph.is_constant(id)) return std::nullopt;
  const Value& value = graph.value(id);
  if (!is_plain(value) || value.shape.elements() != 1) return std::nullopt;
  return value.as<float>()[0];
}

std::optional<std::vector<double>> per_channel(const Graph& graph, ValueId id, int rank, int axis,
                                               int32_t channels) {
  if (channels > kMostChannels) return std::nullopt;
  if (const std::optional<double> c = scalar(graph, id))
    return std::vector<double>(static_cast<size_t>(channels), *c);
  if (!graph.is_constant(id)) return std::nullopt;
  const Value& value = graph.value(id);
  if (!is_plain(value) || value.shape.rank > rank) return std::nullopt;
  const Shape shape = aligned(value.shape, rank);
  if (shape[axis] != channels || shape.elements() != static_cast<size_t>(channels))
    return std::nullopt;
  const std::span<const float> data = value.as<float>();
  return std::vector<double>(data.begin(), data.end());
}

std::optional<WithScalar> with_scalar(const Rewrite& rewrite, int n) {
  const Node& node = rewrite.node(n);
  if (!is_plain(rewrite, n)) return std::nullopt;
  if (const auto c = scalar(rewrite.graph(), node.in[1])) return WithScalar{node.in[0], *c, false};
  if (const auto c = scalar(rewrite.graph(), node.in[0])) return WithScalar{node.in[1], *c, true};
  return std::nullopt;
}

Shape aligned(const Shape& shape, int rank) {
  Shape result;
  result.rank = static_cast<uint8_t>(rank);
  const int missing = rank - shape.rank;
  for (int i = 0; i < rank; ++i) result[i] = i < missing ? 1 : shape[i - missing];
  return result;
}

Shape permuted(const Shape& shape, std::span<const int32_t> perm) {
  Shape result;
  result.rank = shape.rank;
  for (int i = 0; i < shape.rank; ++i) result[i] = shape[perm[static_cast<size_t>(i)]];
  return result;
}

Perm inverse(std::span<const int32_t> perm) {
  Perm result(perm.size());
  for (size_t i = 0; i < perm.size(); ++i)
    result[static_cast<size_t>(perm[i])] = static_cast<int32_t>(i);
  return result;
}

Perm composed(std::span<const int32_t> first, std::span<const int32_t> second) {
  Perm result;
  for (int32_t axis : second) result.push_back(first[static_cast<size_t>(axis)]);
  return result;
}

bool is_identity(std::span<const int32_t> perm) {
  return std::ranges::is_sorted(perm);
}

bool moves_only_units(const Shape& in, std::span<const int32_t> perm) {
  int32_t last = -1;
  for (int32_t axis : perm) {
    if (axis > 0 && in[axis] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

Reshape reshape_to(const Shape& in, const Shape& out) {
  Reshape reshape{{out.dims().begin(), out.dims().end()}, false};
  if (in.rank > 0 && out.rank > 0 && in[0] == out[0]) reshape.shape[0] = 0;
  return reshape;
}

}  // namespace firn
