// SPDX-License-Identifier: Apache-2.0
// Normalizations: by stored statistics, or over axes of the input.
#include <algorithm>
#include <cmath>

#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

using Kind = Binary::Kind;

// (x - mean) / sqrt(variance + epsilon) * slope + bias, as one product and one sum.
Status batch_norm(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t channels, c.at_least(1, 0, "the number of channels", 0));
  FIRN_ASSIGN(const float epsilon, c.param(1, 0.0f));
  FIRN_ASSIGN(std::vector<float> factor, c.weight_floats(channels, Spread::of_factors()));
  FIRN_ASSIGN(const std::vector<float> mean, c.weight_floats(channels, Spread::of_biases()));
  FIRN_ASSIGN(const std::vector<float> variance, c.weight_floats(channels, Spread::of_factors()));
  FIRN_ASSIGN(std::vector<float> offset, c.weight_floats(channels, Spread::of_biases()));
  for (size_t i = 0; i < factor.size(); ++i) {
    const float deviation = std::sqrt(variance[i] + epsilon);
    factor[i] = deviation == 0 ? 0 : factor[i] / deviation;
    offset[i] -= mean[i] * factor[i];
  }
  FIRN_ASSIGN(const ValueId factors, c.constant<float>("factor", {channels}, factor));
  FIRN_ASSIGN(const ValueId offsets, c.constant<float>("offset", {channels}, offset));
  FIRN_ASSIGN(const ValueId scale, c.per_channel("scale", factors, x));
  FIRN_ASSIGN(const ValueId shift, c.per_channel("shift", offsets, x));
  FIRN_ASSIGN(const ValueId product, c.binary("", Kind::mul, x, scale));
  return c.bind(c.binary("add", Kind::add, product, shift));
}

// x over the root of its mean square along `axes`, after its mean was taken off where `centre`.
Result<ValueId> normalize(Context& c, ValueId x, const std::vector<int32_t>& axes, float epsilon,
                          bool centre) {
  if (centre) {
    FIRN_ASSIGN(const ValueId mean, c.reduce("mean", Reduce::Kind::mean, x, axes));
    FIRN_ASSIGN(x, c.binary("centred", Kind::sub, x, mean));
  }
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, x, x));
  FIRN_ASSIGN(const ValueId variance, c.reduce("variance", Reduce::Kind::mean, square, axes));
  FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Kind::add, variance, epsilon));
  FIRN_ASSIGN(const ValueId deviation, c.unary("deviation", Unary::Kind::sqrt, raised));
  return c.binary("normalized", Kind::div, x, deviation);
}

// Factors and, if wanted, offsets of the innermost dimensions, `count` elements.
Status layer_norm(Context& c, bool centre) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t count, c.at_least(0, 0, "the number of factors", 0));
  FIRN_ASSIGN(const float epsilon, c.param(1, 0.001f));
  FIRN_ASSIGN(const bool affine, c.flag(2, true));
  // Of a blob of three dimensions, one or two are normalized over: the count says which.
  const int last = c.rank(x) - 1;
  std::vector<int32_t> axes{last};
  if (c.dims(x) >= 3) {
    FIRN_ASSIGN(const int32_t width, c.known_dim(x, last));
    if (count != width) axes.insert(axes.begin(), last - 1);
    if (c.dims(x) == 4 && count != width) {
      FIRN_ASSIGN(const int32_t height, c.known_dim(x, last - 1));
      if (count != int64_t{width} * height) axes.insert(axes.begin(), last - 2);
    }
  }
  FIRN_ASSIGN(ValueId y, normalize(c, x, axes, epsilon, centre));
  if (!affine) return c.bind(y);
  std::vector<TargetDim> to;
  int64_t elements = 1;
  for (const int32_t axis : axes) {
    FIRN_ASSIGN(const int32_t size, c.known_dim(x, axis));
    to.push_back(TargetDim::of(size));
    elements *= size;
  }
  if (elements != count) {
    return c.malformed(std::to_string(count) + " factors for " + to_string(c.shape(x)));
  }
  FIRN_ASSIGN(const ValueId gamma, c.weight("gamma", {count}, Spread::of_factors()));
  FIRN_ASSIGN(const ValueId factors, c.reshape("factors", gamma, to));
  FIRN_ASSIGN(y, c.binary("", Kind::mul, y, factors));
  if (!centre) return c.bind(y);
  FIRN_ASSIGN(const ValueId beta, c.weight("beta", {count}, Spread::of_biases()));
  FIRN_ASSIGN(const ValueId offsets, c.reshape("offsets", beta, to));
  return c.bind(c.binary("add", Kind::add, y, offsets));
}

struct Affine {
  ValueId factors = ValueId::none, offsets = ValueId::none;
};

// Parameter `id` says whether factors and offsets of each channel are stored.
Result<Affine> read_affine(Context& c, int id, int32_t channels) {
  Affine result;
  FIRN_ASSIGN(const bool affine, c.flag(id, true));
  if (!affine) return result;
  FIRN_ASSIGN(result.factors, c.weight("gamma", {channels}, Spread::of_factors()));
  FIRN_ASSIGN(result.offsets, c.weight("beta", {channels}, Spread::of_biases()));
  return result;
}

Result<ValueId> apply_affine(Context& c, ValueId y, const Affine& affine) {
  if (affine.factors == ValueId::none) return y;
  FIRN_ASSIGN(const ValueId factors, c.per_channel("factors", affine.factors, y));
  FIRN_ASSIGN(const ValueId offsets, c.per_channel("offsets", affine.offsets, y));
  FIRN_ASSIGN(const ValueId product, c.binary("", Kind::mul, y, factors));
  return c.binary("add", Kind::add, product, offsets);
}

// The outermost dimension in groups, each normalized as a whole.
Status group_norm(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const int32_t groups, c.at_least(1, 0, "the number of groups", 1));
  FIRN_ASSIGN(const int32_t channels, c.at_least(1, 1, "the number of channels", 0));
  FIRN_ASSIGN(const float epsilon, c.param(2, 0.001f));
  FIRN_ASSIGN(const int32_t size, c.known_dim(x, 1));
  if (size != channels || channels % groups != 0) {
    return c.malformed(std::to_string(channels) + " channels in " + std::to_string(groups) +
                       " groups, the input has " + std::to_string(size));
  }
  FIRN_ASSIGN(const Affine affine, read_affine(c, 3, channels));
  FIRN_ASSIGN(const ValueId grouped,
              c.reshape_blob("groups", x, {TargetDim::of(groups), TargetDim::rest()}));
  FIRN_ASSIGN(const ValueId normal, normalize(c, grouped, {2}, epsilon, true));
  FIRN_ASSIGN(const ValueId y, c.restore("shape", normal, x, 1));
  return c.bind(apply_affine(c, y, affine));
}

Status instance_norm(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 4));
  FIRN_ASSIGN(const float epsilon, c.param(1, 0.001f));
  FIRN_ASSIGN(const bool is_affine, c.flag(2, true));
  FIRN_ASSIGN(const int32_t stated, c.at_least(is_affine ? 1 : 0, 0, "the number of channels", 0));
  FIRN_ASSIGN(const Affine affine, read_affine(c, 2, stated));
  std::vector<int32_t> axes;
  for (int32_t d = 2; d < c.rank(x); ++d) axes.push_back(d);
  FIRN_ASSIGN(const ValueId y, normalize(c, x, axes, epsilon, true));
  return c.bind(apply_affine(c, y, affine));
}

// x over sqrt(variance) + epsilon, or only less its mean.
Status mean_variance_norm(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 4));
  FIRN_ASSIGN(const bool by_variance, c.flag(0, false));
  FIRN_ASSIGN(const bool across, c.flag(1, false));
  FIRN_ASSIGN(const float epsilon, c.param(2, 0.0001f));
  std::vector<int32_t> axes;
  for (int32_t d = across ? 1 : 2; d < c.rank(x); ++d) axes.push_back(d);
  FIRN_ASSIGN(const ValueId mean, c.reduce("mean", Reduce::Kind::mean, x, axes));
  FIRN_ASSIGN(const ValueId centred, c.binary("", Kind::sub, x, mean));
  if (!by_variance) return c.bind(centred);
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, centred, centred));
  FIRN_ASSIGN(const ValueId variance, c.reduce("variance", Reduce::Kind::mean, square, axes));
  FIRN_ASSIGN(const ValueId root, c.unary("root", Unary::Kind::sqrt, variance));
  FIRN_ASSIGN(const ValueId divisor, c.with_number("divisor", Kind::add, root, epsilon));
  return c.bind(c.binary("normalized", Kind::div, centred, divisor));
}

// Of a sum of squares, what ncnn's modes of guarding against 0 divide by.
Result<ValueId> guarded_norm(Context& c, ValueId sum, float epsilon, int32_t mode) {
  switch (mode) {
    case 0: {
      FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Kind::add, sum, epsilon));
      return c.unary("norm", Unary::Kind::sqrt, raised);
    }
    case 1: {
      FIRN_ASSIGN(const ValueId root, c.unary("root", Unary::Kind::sqrt, sum));
      return c.with_number("norm", Kind::max, root, epsilon);
    }
    case 2: {
      FIRN_ASSIGN(const ValueId least, c.with_number("least", Kind::max, sum, epsilon));
      return c.unary("norm", Unary::Kind::sqrt, least);
    }
    default:
      return c.malformed("eps_mode is " + std::to_string(mode) + ", expected 0 to 2");
  }
}

// x over its norm, times stored factors.
Status lp_normalize(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 4));
  FIRN_ASSIGN(const bool spatial, c.flag(0, false));
  FIRN_ASSIGN(const bool across, c.flag(4, true));
  FIRN_ASSIGN(const bool shared, c.flag(1, false));
  FIRN_ASSIGN(const float epsilon, c.param(2, 0.0001f));
  FIRN_ASSIGN(const int32_t mode, c.param(9, 0));
  FIRN_ASSIGN(const int32_t count, c.at_least(1, 3, "the number of factors", 0));
  FIRN_ASSIGN(ValueId factors, c.weight("factors", {count}, Spread::of_factors()));
  std::vector<int32_t> axes;
  if (across) axes.push_back(1);
  for (int32_t d = 2; spatial && d < c.rank(x); ++d) axes.push_back(d);
  if (axes.empty()) return c.unsupported("a norm of single elements");
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, x, x));
  FIRN_ASSIGN(const ValueId sum, c.reduce("sum", Reduce::Kind::sum, square, axes));
  FIRN_ASSIGN(const ValueId norm, guarded_norm(c, sum, epsilon, mode));
  FIRN_ASSIGN(const ValueId unit, c.binary("unit", Kind::div, x, norm));
  if (shared) {
    FIRN_ASSIGN(factors, c.slice("factor", factors, 0, 0, 1));
  } else {
    FIRN_ASSIGN(factors, c.per_channel("scale", factors, x));
  }
  return c.bind(c.binary("", Kind::mul, unit, factors));
}

// x / (bias + alpha * mean of the squares around)^beta, across channels or in a window of one.
Status local_response_norm(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(const bool within, c.flag(0, false));
  LocalResponseNorm op;
  FIRN_ASSIGN(op.size, c.at_least(1, 1, "the window", 5));
  FIRN_ASSIGN(op.alpha, c.param(2, 1.0f));
  FIRN_ASSIGN(op.beta, c.param(3, 0.75f));
  FIRN_ASSIGN(op.bias, c.param(4, 1.0f));
  if (!within && op.size % 2 == 0) {
    // ncnn's window reaches half its size to both sides, and divides by the size.
    op.alpha *= static_cast<float>(op.size + 1) / static_cast<float>(op.size);
    ++op.size;
  }
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  if (!within) {
    FIRN_ASSIGN(const ValueId y, c.emit("", op, {image}));
    return c.bind(from_nhwc(c, y, 3));
  }
  Pool2d window;
  window.kind = Pool2d::Kind::average;
  window.count_pad = true;
  const int32_t before = op.size / 2, after = op.size - before - 1;
  window.window.kernel = {op.size, op.size};
  window.window.pad = {before, before, after, after};
  FIRN_ASSIGN(const ValueId square, c.binary("square", Kind::mul, image, image));
  FIRN_ASSIGN(const ValueId mean, c.emit("mean", window, {square}));
  FIRN_ASSIGN(const ValueId scaled, c.with_number("scaled", Kind::mul, mean, op.alpha));
  FIRN_ASSIGN(const ValueId raised, c.with_number("raised", Kind::add, scaled, op.bias));
  FIRN_ASSIGN(const ValueId power, c.with_number("power", Kind::pow, raised, op.beta));
  FIRN_ASSIGN(const ValueId y, c.binary("", Kind::div, image, power));
  return c.bind(from_nhwc(c, y, 3));
}

constexpr Operator kOperators[] = {
    {"BatchNorm", batch_norm},
    {"GroupNorm", group_norm},
    {"InstanceNorm", instance_norm},
    {"LRN", local_response_norm},
    {"LayerNorm", [](Context& c) { return layer_norm(c, true); }},
    {"MVN", mean_variance_norm},
    {"Normalize", lp_normalize},
    {"RMSNorm", [](Context& c) { return layer_norm(c, false); }},
};

}  // namespace

std::span<const Operator> norm_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
