// SPDX-License-Identifier: Apache-2.0
// Normalizations: by stored statistics, or over axes of the input.
#include <algorithm>

#include "runtime/import/onnx_norm.h"
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

// A vector [C] as [C,1,1...], to broadcast along axis 1 of a tensor of `rank`.
Result<ValueId> per_channel(Context& c, std::string_view suffix, ValueId vector, int rank) {
  if (rank <= 2) return vector;
  std::vector<TargetDim> to{TargetDim::copy(0)};
  to.resize(static_cast<size_t>(rank) - 1, TargetDim::of(1));
  return c.reshape(suffix, vector, to);
}

// x * scale / sqrt(variance + epsilon) + rest; with constant statistics all but the outer product
// and sum is computed here.
Status batch_norm(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId scale, c.input(1));
  FIRN_ASSIGN(const ValueId bias, c.input(2));
  FIRN_ASSIGN(const ValueId mean, c.input(3));
  FIRN_ASSIGN(const ValueId variance, c.input(4));
  FIRN_ASSIGN(const float epsilon, c.attr("epsilon", 1e-5f));
  static_cast<void>(c.find("momentum"));  // of training
  FIRN_ASSIGN(const int64_t spatial, c.attr("spatial", int64_t{1}));
  FIRN_ASSIGN(const int64_t training, c.attr("training_mode", int64_t{0}));
  if (spatial != 1) return c.unsupported("statistics per position are not supported");
  if (training != 0) return c.unsupported("training mode is not supported");
  for (const ValueId vector : {scale, bias, mean, variance}) {
    if (c.rank(vector) != 1) return c.malformed("its parameters are not vectors");
  }
  if (c.rank(x) < 2) return c.malformed("an input of rank " + std::to_string(c.rank(x)));
  FIRN_ASSIGN(const ValueId small, c.scalar("epsilon", DType::f32, epsilon));
  FIRN_ASSIGN(const ValueId raised, c.binary("raised", Kind::add, variance, small));
  FIRN_ASSIGN(const ValueId deviation, c.unary("deviation", Unary::Kind::sqrt, raised));
  FIRN_ASSIGN(const ValueId factor, c.binary("factor", Kind::div, scale, deviation));
  FIRN_ASSIGN(const ValueId moved, c.binary("moved", Kind::mul, mean, factor));
  FIRN_ASSIGN(const ValueId rest, c.binary("rest", Kind::sub, bias, moved));
  FIRN_ASSIGN(const ValueId factors, per_channel(c, "scale", factor, c.rank(x)));
  FIRN_ASSIGN(const ValueId offsets, per_channel(c, "shift", rest, c.rank(x)));
  FIRN_ASSIGN(const ValueId product, c.binary("", Kind::mul, x, factors));
  return c.bind(c.binary("add", Kind::add, product, offsets));
}

}  // namespace

Result<Normalized> normalize(Context& c, ValueId x, const std::vector<int32_t>& axes, float epsilon,
                             bool centre) {
  Normalized result;
  if (centre) {
    FIRN_ASSIGN(result.mean, c.reduce("mean", Reduce::Kind::mean, x, axes));
    FIRN_ASSIGN(x, c.binary("centred", Kind::sub, x, result.mean));
  }
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, x, x));
  FIRN_ASSIGN(const ValueId variance, c.reduce("variance", Reduce::Kind::mean, square, axes));
  FIRN_ASSIGN(const ValueId small, c.scalar("epsilon", DType::f32, epsilon));
  FIRN_ASSIGN(const ValueId raised, c.binary("raised", Kind::add, variance, small));
  FIRN_ASSIGN(result.deviation, c.unary("deviation", Unary::Kind::sqrt, raised));
  FIRN_ASSIGN(result.y, c.binary("normalized", Kind::div, x, result.deviation));
  return result;
}

namespace {

// Over the axes from `axis` on; scale and bias have the shape of those.
Status layer_norm(Context& c, bool centre) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId scale, c.input(1));
  const ValueId bias = centre ? c.optional_input(2) : ValueId::none;
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(const float epsilon, c.attr("epsilon", 1e-5f));
  static_cast<void>(c.find("stash_type"));  // all is computed in f32
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  std::vector<int32_t> axes;
  for (int32_t d = axis; d < c.rank(x); ++d) axes.push_back(d);
  const Shape innermost = axes.size() == 1 ? c.shape(x) : Shape{};
  const bool one_axis = innermost.rank > 0 && innermost[innermost.rank - 1] > 0;
  const auto is_row = [&](ValueId id) {
    return id == ValueId::none || c.shape(id) == Shape{innermost[innermost.rank - 1]};
  };
  if (one_axis && is_row(scale) && is_row(bias) && !c.wanted(1) && !c.wanted(2))
    return c.bind(c.emit("", LayerNorm{epsilon, centre}, {x, scale, bias}));
  FIRN_ASSIGN(const Normalized normalized, normalize(c, x, axes, epsilon, centre));
  FIRN_ASSIGN(ValueId y, c.binary("", Kind::mul, normalized.y, scale));
  if (bias != ValueId::none) {
    FIRN_ASSIGN(y, c.binary("add", Kind::add, y, bias));
  }
  if (c.wanted(1)) FIRN_TRY(c.bind(normalized.mean, 1));
  if (c.wanted(2)) {
    FIRN_TRY(c.bind(c.unary("inverse", Unary::Kind::reciprocal, normalized.deviation), 2));
  }
  return c.bind(y);
}

// [N, C, ...] as [N, groups, rest]; scales per group before opset 21, per channel since.
Status group_norm(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId scale, c.input(1));
  FIRN_ASSIGN(const ValueId bias, c.input(2));
  FIRN_ASSIGN(const float epsilon, c.attr("epsilon", 1e-5f));
  FIRN_ASSIGN(const int64_t stated, c.attr("num_groups", int64_t{0}));
  FIRN_ASSIGN(const int32_t groups, to_int32(c, "num_groups", stated));
  static_cast<void>(c.find("stash_type"));
  if (c.rank(x) < 3 || c.shape(x)[1] < 0) {
    return c.unsupported("an input of shape " + to_string(c.shape(x)));
  }
  if (groups < 1 || c.shape(x)[1] % groups != 0) {
    return c.malformed(std::to_string(c.shape(x)[1]) + " channels in " + std::to_string(groups) +
                       " groups");
  }
  FIRN_ASSIGN(
      const ValueId grouped,
      c.reshape("groups", x, {TargetDim::copy(0), TargetDim::of(groups), TargetDim::rest()}));
  FIRN_ASSIGN(const Normalized normalized, normalize(c, grouped, {2}, epsilon, true));
  const bool by_group = c.opset < 21;
  ValueId y = normalized.y;
  if (!by_group) {
    FIRN_ASSIGN(y, c.restore("shape", y, x, 1));
  }
  FIRN_ASSIGN(const ValueId factors, per_channel(c, "scale", scale, c.rank(y)));
  FIRN_ASSIGN(const ValueId offsets, per_channel(c, "shift", bias, c.rank(y)));
  FIRN_ASSIGN(y, c.binary("", Kind::mul, y, factors));
  FIRN_ASSIGN(y, c.binary("add", Kind::add, y, offsets));
  if (!by_group) return c.bind(y);
  return c.bind(c.restore("shape", y, x, 1));
}

Status instance_norm(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId scale, c.input(1));
  FIRN_ASSIGN(const ValueId bias, c.input(2));
  InstanceNorm op;
  FIRN_ASSIGN(op.epsilon, c.attr("epsilon", 1e-5f));
  const int rank = c.rank(x);
  if (rank < 3) return c.malformed("an input of rank " + std::to_string(rank));
  std::vector<int32_t> inwards{0}, outwards{0, rank - 1};
  for (int32_t d = 2; d < rank; ++d) {
    inwards.push_back(d);
    outwards.push_back(d - 1);
  }
  inwards.push_back(1);
  FIRN_ASSIGN(const ValueId inner, c.transpose("to_nhwc", x, inwards));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {inner, scale, bias}));
  return c.bind(c.transpose("to_nchw", y, outwards));
}

Status lrn(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  LocalResponseNorm op;
  FIRN_ASSIGN(op.alpha, c.attr("alpha", 1e-4f));
  FIRN_ASSIGN(op.beta, c.attr("beta", 0.75f));
  FIRN_ASSIGN(op.bias, c.attr("bias", 1.0f));
  FIRN_ASSIGN(const int64_t size, c.attr("size", int64_t{0}));
  FIRN_ASSIGN(op.size, to_int32(c, "size", size));
  const int rank = c.rank(x);
  if (rank != 3 && rank != 4) return c.unsupported("an input of rank " + std::to_string(rank));
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc}));
  return c.bind(from_nhwc(c, y, rank));
}

// x over its norm along an axis; a norm of zero leaves the zeros alone.
Status lp_norm(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{-1}));
  FIRN_ASSIGN(const int64_t p, c.attr("p", int64_t{2}));
  if (p != 1 && p != 2) return c.malformed("p is " + std::to_string(p) + ", expected 1 or 2");
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(x)));
  FIRN_ASSIGN(const ValueId norm,
              c.reduce("norm", p == 1 ? Reduce::Kind::l1 : Reduce::Kind::l2, x, {axis}));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", DType::f32, 0));
  FIRN_ASSIGN(const ValueId one, c.scalar("one", DType::f32, 1));
  FIRN_ASSIGN(const ValueId is_zero, c.binary("is_zero", Kind::equal, norm, zero));
  FIRN_ASSIGN(const ValueId divisor, c.emit("divisor", Where{}, {is_zero, one, norm}));
  return c.bind(c.binary("", Kind::div, x, divisor));
}

// The standard's definition adds its epsilon to the deviation, not to the variance.
Status mean_variance_norm(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(std::vector<int64_t> stated, c.attr_ints("axes"));
  if (stated.empty()) stated = {0, 2, 3};
  std::vector<int32_t> axes;
  for (const int64_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.axis(entry, c.rank(x)));
    axes.push_back(axis);
  }
  FIRN_ASSIGN(const ValueId mean, c.reduce("mean", Reduce::Kind::mean, x, axes));
  FIRN_ASSIGN(const ValueId centred, c.binary("centred", Kind::sub, x, mean));
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, centred, centred));
  FIRN_ASSIGN(const ValueId variance, c.reduce("variance", Reduce::Kind::mean, square, axes));
  FIRN_ASSIGN(const ValueId deviation, c.unary("deviation", Unary::Kind::sqrt, variance));
  FIRN_ASSIGN(const ValueId small, c.scalar("epsilon", DType::f32, 1e-9));
  FIRN_ASSIGN(const ValueId raised, c.binary("raised", Kind::add, deviation, small));
  return c.bind(c.binary("", Kind::div, centred, raised));
}

constexpr Operator kOperators[] = {
    {"BatchNormalization", batch_norm},
    {"GroupNormalization", group_norm},
    {"InstanceNormalization", instance_norm},
    {"LRN", lrn},
    {"LayerNormalization", [](Context& c) { return layer_norm(c, true); }},
    {"LpNormalization", lp_norm},
    {"MeanVarianceNormalization", mean_variance_norm},
    {"RMSNormalization", [](Context& c) { return layer_norm(c, false); }},
    // ONNX Runtime's name for it, which its optimizers write into the standard's domain.
    {"SimplifiedLayerNormalization", [](Context& c) { return layer_norm(c, false); }},
};

}  // namespace

std::span<const Operator> norm_operators() {
  return kOperators;
}

}  // namespace firn::onnx
