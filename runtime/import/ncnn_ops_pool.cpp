// SPDX-License-Identifier: Apache-2.0
// Pools: windowed, adaptive, global, and of statistics.
#include <algorithm>
#include <limits>

#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

constexpr WindowIds kPoolIds{{1, 11}, {-1, -1}, {2, 12}, 3, 14, 13, 15, -1};

enum PadMode : int32_t { kFull, kValid, kSameUpper, kSameLower };

std::vector<int32_t> spatial_axes(const Context& c, ValueId x) {
  std::vector<int32_t> axes;
  for (int32_t d = 2; d < c.rank(x); ++d) axes.push_back(d);
  return axes;
}

Result<Pool2d::Kind> read_kind(const Context& c) {
  FIRN_ASSIGN(const int32_t kind, c.param(0, 0));
  if (kind == 0) return Pool2d::Kind::max;
  if (kind == 1) return Pool2d::Kind::average;
  return c.malformed("pooling type is " + std::to_string(kind) + ", expected 0 or 1");
}

Reduce::Kind reduce_kind(Pool2d::Kind kind) {
  return kind == Pool2d::Kind::max ? Reduce::Kind::max : Reduce::Kind::mean;
}

// Padding mode full covers every input: the last window may reach past the right padding, into more
// of it.
Status cover_all(const Context& c, ValueId image, int dims, Pool2d& op) {
  Window& window = op.window;
  for (size_t a = 2 - static_cast<size_t>(dims); a < 2; ++a) {
    const int64_t size = c.shape(image)[static_cast<int>(a) + 1];
    if (size < 0) {  // where a size is open the operator rounds up itself
      if (op.count_pad) {
        return c.unsupported("counted padding of an input of open size " +
                             to_string(c.shape(image)));
      }
      op.ceil = true;
      return {};
    }
    const int64_t room = size + window.pad[a] + window.pad[a + 2] - window.kernel[a];
    const int64_t tail = room < 0 ? 0 : room % window.stride[a];
    if (tail != 0) {
      const int64_t pad = int64_t{window.pad[a + 2]} + window.stride[a] - tail;
      window.pad[a + 2] =
          static_cast<int32_t>(std::min<int64_t>(pad, std::numeric_limits<int32_t>::max()));
    }
  }
  return {};
}

// Of its windows, those that do not overlap evenly have sizes of their own.
Result<ValueId> adaptive_axis(Context& c, ValueId x, int axis, int32_t outputs, Reduce::Kind kind) {
  FIRN_ASSIGN(const int64_t size, c.known_dim(x, axis));
  if (size == outputs) return x;
  std::vector<ValueId> pieces;
  for (int64_t i = 0; i < outputs; ++i) {
    const int64_t begin = size * i / outputs, end = (size * (i + 1) + outputs - 1) / outputs;
    const std::string suffix = "part_" + std::to_string(axis) + "_" + std::to_string(i);
    FIRN_ASSIGN(const ValueId part,
                c.slice(suffix, x, axis, static_cast<int32_t>(begin), static_cast<int32_t>(end)));
    FIRN_ASSIGN(const ValueId reduced, c.reduce(suffix + "_pooled", kind, part, {axis}));
    pieces.push_back(reduced);
  }
  return c.emit("joined_" + std::to_string(axis), Concat{axis}, std::move(pieces));
}

// Pieces of one axis; a handful of them.
constexpr int32_t kMaxAdaptive = 64;

Result<ValueId> adaptive_pool(Context& c, ValueId x, int dims, Pool2d::Kind kind) {
  std::array<int32_t, 2> outputs{1, 0};
  FIRN_ASSIGN(outputs[1], c.param(8, 0));
  if (dims == 2) {
    FIRN_ASSIGN(outputs[0], c.param(18, outputs[1]));
  }
  Pool2d op;
  op.kind = kind;
  bool even = true;
  for (int a = 2 - dims; a < 2; ++a) {
    const auto at = static_cast<size_t>(a);
    FIRN_ASSIGN(const int32_t size, c.known_dim(x, c.rank(x) - 2 + a));
    if (outputs[at] == -233) outputs[at] = size;
    if (outputs[at] < 1) return c.malformed("output size is " + std::to_string(outputs[at]));
    even = even && size % outputs[at] == 0;
    op.window.kernel[at] = op.window.stride[at] = std::max(size / outputs[at], 1);
  }
  if (even) {
    FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
    FIRN_ASSIGN(const ValueId y, c.emit("", op, {image}));
    return from_nhwc(c, y, c.dims(x));
  }
  ValueId y = x;
  for (int a = 2 - dims; a < 2; ++a) {
    const int32_t wanted = outputs[static_cast<size_t>(a)];
    if (wanted > kMaxAdaptive) {
      return c.unsupported("adaptive pooling of " + to_string(c.shape(x)) + " to " +
                           std::to_string(wanted) + " uneven windows");
    }
    // A mean of means over windows of one size each is the mean.
    FIRN_ASSIGN(y, adaptive_axis(c, y, c.rank(x) - 2 + a, wanted, reduce_kind(kind)));
  }
  return y;
}

Status pool(Context& c, int dims) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, dims + 1, dims + 1));
  FIRN_ASSIGN(const Pool2d::Kind kind, read_kind(c));
  FIRN_ASSIGN(const bool global, c.flag(4, false));
  if (global) return c.bind(c.reduce("", reduce_kind(kind), x, spatial_axes(c, x), false));
  FIRN_ASSIGN(const bool adaptive, c.flag(7, false));
  if (adaptive) return c.bind(adaptive_pool(c, x, dims, kind));

  Pool2d op;
  op.kind = kind;
  FIRN_ASSIGN(WindowParams params, read_window(c, kPoolIds, dims));
  FIRN_ASSIGN(const int32_t mode, c.param(5, 0));
  FIRN_ASSIGN(op.count_pad, c.flag(6, false));
  op.count_pad = op.count_pad && kind == Pool2d::Kind::average;
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  switch (mode) {
    case kFull:
      op.window = params.window;
      FIRN_TRY(cover_all(c, image, dims, op));
      break;
    case kValid:
      op.window = params.window;
      break;
    case kSameUpper:
    case kSameLower: {
      params.same = mode == kSameUpper ? Same::upper : Same::lower;
      op.count_pad = kind == Pool2d::Kind::average;  // always, in ncnn
      FIRN_TRY(resolve_same(c, image, params));
      op.window = params.window;
      break;
    }
    default:
      return c.malformed("pad mode is " + std::to_string(mode) + ", expected 0 to 3");
  }
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image}));
  return c.bind(from_nhwc(c, y, c.dims(x)));
}

// Means of each channel, and with the flag their deviations behind them.
Status statistics(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 4));
  FIRN_ASSIGN(const bool deviation, c.flag(0, false));
  const std::vector<int32_t> axes = spatial_axes(c, x);
  FIRN_ASSIGN(const ValueId mean, c.reduce("", Reduce::Kind::mean, x, axes, false));
  if (!deviation) return c.bind(mean);
  FIRN_ASSIGN(const ValueId kept, c.reduce("mean", Reduce::Kind::mean, x, axes, true));
  FIRN_ASSIGN(const ValueId centred, c.binary("centred", Binary::Kind::sub, x, kept));
  FIRN_ASSIGN(const ValueId square, c.binary("square", Binary::Kind::mul, centred, centred));
  FIRN_ASSIGN(const ValueId variance,
              c.reduce("variance", Reduce::Kind::mean, square, axes, false));
  FIRN_ASSIGN(const ValueId root, c.unary("deviation", Unary::Kind::sqrt, variance));
  return c.bind(c.emit("both", Concat{1}, {mean, root}));
}

constexpr Operator kOperators[] = {
    {"Pooling", [](Context& c) { return pool(c, 2); }},
    {"Pooling1D", [](Context& c) { return pool(c, 1); }},
    {"StatisticsPooling", statistics},
};

}  // namespace

std::span<const Operator> pool_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
