// SPDX-License-Identifier: Apache-2.0
// What patterns ask about values and nodes.
#ifndef FIRN_RUNTIME_PASSES_MATCH_H_
#define FIRN_RUNTIME_PASSES_MATCH_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/passes/rewrite.h"

namespace firn {

using Perm = std::vector<int32_t>;

// Whether the operator changes where elements lie, and nothing else.
bool moves_data(const Op& op);

// A float value without quantization: arithmetic may be moved and merged on it.
bool is_plain(const Value& value);
// The same of everything that node n reads and makes.
bool is_plain(const Rewrite& rewrite, int n);
// Whether data can be moved from one to the other: equal types and per-tensor quantization.
bool same_encoding(const Value& a, const Value& b);

// The one element of a plain constant, whatever its rank.
std::optional<double> scalar(const Graph& graph, ValueId id);
// A plain constant that, broadcast to `rank` dimensions, varies along `axis` alone, as one number
// for each of the `channels` there. None for more channels than any layer has: a scalar costs a
// file nothing, however many they are.
inline constexpr int32_t kMostChannels = 1 << 20;
std::optional<std::vector<double>> per_channel(const Graph& graph, ValueId id, int rank, int axis,
                                               int32_t channels);

// Node n as x op c, or c op x, with the scalar constant c.
struct WithScalar {
  ValueId x = ValueId::none;
  double c = 0;
  bool constant_first = false;
};
std::optional<WithScalar> with_scalar(const Rewrite& rewrite, int n);

// shape with a leading 1 for every missing dimension.
Shape aligned(const Shape& shape, int rank);
// Axis i of the result is axis perm[i] of the shape.
Shape permuted(const Shape& shape, std::span<const int32_t> perm);
Perm inverse(std::span<const int32_t> perm);
// The permutation that does `first`, then `second`.
Perm composed(std::span<const int32_t> first, std::span<const int32_t> second);
bool is_identity(std::span<const int32_t> perm);
// Whether it moves only dimensions of size 1 (the batch does not count as one: it may change), so
// that a Reshape does the same.
bool moves_only_units(const Shape& in, std::span<const int32_t> perm);

// The target that reshapes `in` to `out`, with the batch left open.
Reshape reshape_to(const Shape& in, const Shape& out);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_MATCH_H_
