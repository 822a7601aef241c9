// SPDX-License-Identifier: Apache-2.0
// What is known of tensors whose shapes follow from data: their types and their ranks.
#include <algorithm>

#include "runtime/infer_context.h"
#include "runtime/packed.h"
#include "runtime/parameters.h"

namespace firn {
namespace {

// The number of elements of a vector that is a shape or a list of axes.
Result<int> length(const InferContext& c, size_t i) {
  const Shape& shape = c.shape(i);
  if (shape.rank == 0) return 1;
  if (shape.rank == 1 && shape[0] >= 0) return shape[0];
  return c.unsupported("the rank of its output follows from data: " + c.name(i) + " is " +
                       to_string(shape));
}

int most(const InferContext& c) {
  int rank = 0;
  for (size_t i = 0; i < c.node.in.size(); ++i)
    if (c.in(i) != nullptr) rank = std::max<int>(rank, c.shape(i).rank);
  return rank;
}

// Overloads by operator; most have an output of their first input's rank.
template <typename T>
Result<int> rank_of(const InferContext& c, const T&) {
  return c.shape(0).rank;
}
Result<int> rank_of(const InferContext& c, const MatMul&) {
  return most(c);
}
Result<int> rank_of(const InferContext& c, const Binary&) {
  return most(c);
}
Result<int> rank_of(const InferContext& c, const Where&) {
  return most(c);
}
Result<int> rank_of(const InferContext& c, const Reshape& op) {
  if (op.from_input) return length(c, 1);
  return static_cast<int>(op.shape.size());
}
Result<int> rank_of(const InferContext& c, const Squeeze& op) {
  FIRN_ASSIGN(const int axes, length(c, 1));
  return op.insert ? c.shape(0).rank + axes : c.shape(0).rank - axes;
}
Result<int> rank_of(const InferContext& c, const Expand&) {
  FIRN_ASSIGN(const int to, length(c, 1));
  return std::max<int>(to, c.shape(0).rank);
}
Result<int> rank_of(const InferContext& c, const Fill&) {
  return length(c, 0);
}
Result<int> rank_of(const InferContext&, const Range&) {
  return 1;
}
Result<int> rank_of(const InferContext&, const ShapeOf&) {
  return 1;
}
Result<int> rank_of(const InferContext& c, const Gather&) {
  return c.shape(0).rank - 1 + c.shape(1).rank;
}
Result<int> rank_of(const InferContext& c, const GatherElements&) {
  return c.shape(1).rank;
}
Result<int> rank_of(const InferContext& c, const GatherNd& op) {
  const Shape& indices = c.shape(1);
  const int32_t length = indices.rank > 0 ? indices[indices.rank - 1] : -1;
  if (length < 0)
    return c.unsupported("the rank of its output follows from data: " + c.name(1) + " is " +
                         to_string(indices));
  return indices.rank - 1 + c.shape(0).rank - op.batch - length;
}
Result<int> rank_of(const InferContext&, const NonZero&) {
  return 2;
}
Result<int> rank_of(const InferContext&, const Recurrent&) {
  return 4;
}
Result<int> rank_of(const InferContext&, const NonMaxSuppression&) {
  return 2;
}
Result<int> rank_of(const InferContext& c, const Reduce& op) {
  if (op.keep) return c.shape(0).rank;
  if (!op.from_input) return c.shape(0).rank - static_cast<int>(op.axes.size());
  FIRN_ASSIGN(const int axes, length(c, 1));
  const bool all = axes == 0 && !op.none_if_empty;
  return all ? 0 : c.shape(0).rank - axes;
}
Result<int> rank_of(const InferContext&, const DetectionPostProcess&) {
  return 3;
}
Result<int> rank_of(const InferContext&, const DetectionOutput&) {
  return 2;
}
Result<int> rank_of(const InferContext&, const RegionPool&) {
  return 4;
}
Result<int> rank_of(const InferContext& c, const ArgMax& op) {
  return op.keep ? c.shape(0).rank : c.shape(0).rank - 1;
}

bool computes_real(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op) || std::holds_alternative<MatMul>(op) ||
         std::holds_alternative<Binary>(op) || std::holds_alternative<Unary>(op) ||
         std::holds_alternative<Reduce>(op) || std::holds_alternative<Softmax>(op) ||
         std::holds_alternative<CumSum>(op) || std::holds_alternative<GridSample>(op) ||
         std::holds_alternative<Recurrent>(op) || std::holds_alternative<LayerNorm>(op) ||
         std::holds_alternative<DetectionPostProcess>(op) || std::holds_alternative<RegionPool>(op);
}

// Of an output; other than the first one's only where operators have several of different ranks.
int rank_of_output(const Op& op, size_t output, int first) {
  if (std::holds_alternative<DetectionPostProcess>(op) && output > 0) return output < 3 ? 2 : 1;
  return std::holds_alternative<Recurrent>(op) && output > 0 ? 3 : first;
}

DType type_of(const InferContext& c, size_t output) {
  const Op& op = c.node.op;
  if (const auto* binary = std::get_if<Binary>(&op)) {
    using Kind = Binary::Kind;
    const Kind k = binary->kind;
    if (k == Kind::equal || k == Kind::less || k == Kind::greater || k == Kind::logical_and ||
        k == Kind::logical_or)
      return DType::boolean;
  }
  if (const auto* unary = std::get_if<Unary>(&op))
    if (unary->kind == Unary::Kind::logical_not || unary->kind == Unary::Kind::is_nan)
      return DType::boolean;
  if (const auto* fill = std::get_if<Fill>(&op)) return fill->type;
  if (const auto* convert = std::get_if<Convert>(&op)) return convert->to;
  if (std::holds_alternative<ArgMax>(op) || std::holds_alternative<ShapeOf>(op) ||
      std::holds_alternative<NonZero>(op) || std::holds_alternative<NonMaxSuppression>(op) ||
      (std::holds_alternative<TopK>(op) && output == 1))
    return DType::i64;
  const Value& x = *c.in(std::holds_alternative<Where>(op) ? 1 : 0);
  const bool floats =
      (x.quant && computes_real(op)) || (std::holds_alternative<Gather>(op) && gives_floats(x));
  return floats ? DType::f32 : x.type;
}

// The inputs that the rules above look at.
Status expect_present(const InferContext& c) {
  const Op& op = c.node.op;
  const bool two = std::holds_alternative<Binary>(op) || std::holds_alternative<MatMul>(op) ||
                   std::holds_alternative<Gather>(op) || std::holds_alternative<Expand>(op) ||
                   std::holds_alternative<Squeeze>(op) || std::holds_alternative<Tile>(op) ||
                   std::holds_alternative<DetectionOutput>(op) ||
                   std::holds_alternative<RegionPool>(op) ||
                   std::holds_alternative<GatherElements>(op) ||
                   std::holds_alternative<GatherNd>(op) || has_parameter_inputs(op) ||
                   (std::holds_alternative<Reshape>(op) && std::get<Reshape>(op).from_input);
  const size_t least = std::holds_alternative<Where>(op) ? 3 : two ? 2 : 1;
  for (size_t i = 0; i < least; ++i)
    if (c.in(i) == nullptr) return c.malformed("input " + std::to_string(i) + " is missing");
  return {};
}

// What is known of the dimensions all the same: enough for x[mask], which exporters write as
// NonZero, Transpose, GatherND. At least one dimension stays open.
void keep_dimensions(const InferContext& c, Shape& out) {
  const Shape& x = c.shape(0);
  const Op& op = c.node.op;
  if (std::holds_alternative<NonZero>(op)) out[0] = x.rank;
  if (const auto* transpose = std::get_if<Transpose>(&op)) {
    for (size_t i = 0; i < transpose->perm.size() && transpose->perm.size() == out.rank; ++i)
      if (transpose->perm[i] >= 0 && transpose->perm[i] < x.rank)
        out[static_cast<int>(i)] = x[transpose->perm[i]];
  }
  if (std::holds_alternative<Unary>(op) || std::holds_alternative<Convert>(op)) out = x;
}

}  // namespace

bool depends_on_data(const Graph& graph, const Node& node) {
  const auto known = [&](ValueId id) {
    return id == ValueId::none || graph.value(id).shape.known();
  };
  if (!std::ranges::all_of(node.in, known)) return true;
  const std::vector<ValueId> shaping = shaping_inputs(node);
  return !std::ranges::all_of(shaping, [&](ValueId id) { return graph.is_constant(id); });
}

Status infer_open(Graph& graph, const Node& node) {
  const InferContext c{graph, node};
  FIRN_TRY(expect_present(c));
  FIRN_ASSIGN(const int rank, std::visit([&](const auto& op) { return rank_of(c, op); }, node.op));
  if (rank < 0 || rank > kMaxRank)
    return c.unsupported("an output of rank " + std::to_string(rank));
  for (size_t i = 0; i < node.out.size(); ++i) {
    Value& out = graph.value(node.out[i]);
    out.shape = Shape{};
    for (int d = rank_of_output(node.op, i, rank); d > 0; --d) out.shape[out.shape.rank++] = -1;
    if (i == 0) keep_dimensions(c, out.shape);
    const bool is_stated = std::holds_alternative<Convert>(node.op);
    if (!out.quant || is_stated) out.type = type_of(c, i);
  }
  return {};
}

}  // namespace firn
