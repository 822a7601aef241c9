// SPDX-License-Identifier: Apache-2.0
// Operators that read, write, sort and find elements by their positions.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

Status gather_elements(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  return c.bind(c.emit("", GatherElements{axis}, {x, indices}));
}

Status gather_nd(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  FIRN_ASSIGN(const int64_t batch, c.attr("batch_dims", int64_t{0}));
  if (batch < 0 || batch > kMaxRank) return c.malformed("batch_dims is " + std::to_string(batch));
  return c.bind(c.emit("", GatherNd{static_cast<int32_t>(batch)}, {x, indices}));
}

Status scatter(Context& c, Scatter::Kind kind) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId indices, c.input(1));
  FIRN_ASSIGN(const ValueId updates, c.input(2));
  Scatter op{.kind = kind};
  if (kind == Scatter::Kind::elements) {
    FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
    FIRN_ASSIGN(op.axis, c.axis(stated, c.rank(x)));
  }
  FIRN_ASSIGN(const std::string reduction, c.attr("reduction", "none"));
  using Reduction = Scatter::Reduction;
  constexpr std::pair<const char*, Reduction> kReductions[] = {{"none", Reduction::none},
                                                               {"add", Reduction::add},
                                                               {"mul", Reduction::mul},
                                                               {"max", Reduction::max},
                                                               {"min", Reduction::min}};
  const auto* found =
      std::ranges::find(kReductions, reduction, [](const auto& r) { return std::string(r.first); });
  if (found == std::end(kReductions)) return c.malformed("reduction is '" + reduction + "'");
  op.reduction = found->second;
  return c.bind(c.emit("", op, {x, indices, updates}));
}

// k is an attribute before opset 10, an input since. Sorted even where that is not asked for.
Status top_k(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  TopK op;
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(op.axis, c.axis(stated, c.rank(x)));
  FIRN_ASSIGN(const int64_t largest, c.attr("largest", int64_t{1}));
  op.largest = largest != 0;
  static_cast<void>(c.find("sorted"));
  std::vector<ValueId> in{x};
  if (c.opset < 10) {
    FIRN_ASSIGN(const int64_t k, c.attr("k", int64_t{-1}));
    if (k < 0 || k > std::numeric_limits<int32_t>::max())
      return c.malformed("k is " + std::to_string(k));
    op.k = static_cast<int32_t>(k);
  } else {
    FIRN_ASSIGN(const ValueId k, c.input(1));
    in.push_back(k);
  }
  FIRN_ASSIGN(const std::vector<ValueId> outputs, c.emit_all("", op, std::move(in), 2));
  FIRN_TRY(c.bind(outputs[0], 0));
  return c.bind(outputs[1], 1);
}

Status cum_sum(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId axis, c.input(1));
  CumSum op;
  FIRN_ASSIGN(const int64_t exclusive, c.attr("exclusive", int64_t{0}));
  FIRN_ASSIGN(const int64_t reverse, c.attr("reverse", int64_t{0}));
  op.exclusive = exclusive != 0;
  op.reverse = reverse != 0;
  if (!c.is_known(1)) return c.bind(c.emit("", op, {x, axis}));
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.constant_ints(1));
  if (stated.size() != 1) return c.malformed("the axis is not a scalar");
  FIRN_ASSIGN(op.axis, c.axis(stated[0], c.rank(x)));
  return c.bind(c.emit("", op, {x}));
}

Status non_zero(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(c.emit("", NonZero{}, {x}));
}

// The slices, or without an axis the elements, where the condition holds.
Status compress(Context& c) {
  FIRN_ASSIGN(ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId condition, c.input(1));
  int32_t axis = 0;
  if (c.find("axis") != nullptr) {
    FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
    FIRN_ASSIGN(axis, c.axis(stated, c.rank(x)));
  } else {
    FIRN_ASSIGN(x, c.reshape("flat", x, {TargetDim::rest()}));
  }
  if (c.rank(condition) != 1)
    return c.malformed("the condition is " + to_string(c.shape(condition)));
  FIRN_ASSIGN(const ValueId found, c.emit("found", NonZero{}, {condition}));
  FIRN_ASSIGN(const ValueId indices, c.reshape("indices", found, {TargetDim::rest()}));
  return c.bind(c.emit("", Gather{axis}, {x, indices}));
}

Status non_max_suppression(Context& c) {
  FIRN_ASSIGN(const int64_t center, c.attr("center_point_box", int64_t{0}));
  std::vector<ValueId> in;
  for (size_t i = 0; i < 5; ++i) in.push_back(c.optional_input(i));
  return c.bind(c.emit("", NonMaxSuppression{center != 0}, std::move(in)));
}

constexpr Operator kOperators[] = {
    {"Compress", compress},
    {"CumSum", cum_sum},
    {"GatherElements", gather_elements},
    {"GatherND", gather_nd},
    {"NonMaxSuppression", non_max_suppression},
    {"NonZero", non_zero},
    {"Scatter", [](Context& c) { return scatter(c, Scatter::Kind::elements); }},
    {"ScatterElements", [](Context& c) { return scatter(c, Scatter::Kind::elements); }},
    {"ScatterND", [](Context& c) { return scatter(c, Scatter::Kind::positions); }},
    {"TopK", top_k},
};

}  // namespace

std::span<const Operator> index_operators() {
  return kOperators;
}

}  // namespace firn::onnx
