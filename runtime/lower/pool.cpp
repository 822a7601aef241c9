// SPDX-License-Identifier: Apache-2.0
// Pools, means and resizing.
#include "kernels/xnn.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

using kernels::XnnOp;

// Sets the geometry of a window that slides over single channels.
kernels::ConvShape pool_shape(const LowerContext& context, const Window& window, ValueId x,
                              ValueId y) {
  return window_shape(context, window, context.value(x).shape[3], x, y);
}

Lowered lower_pool_s8(const LowerContext& context, const Node& node, const Pool2d& op,
                      std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  const Value& in = context.value(x);
  const Value& out = context.value(y);
  const kernels::VecS8& vec = context.vec();
  const bool max = op.kind == Pool2d::Kind::max;
  kernels::PoolS8 pool;
  pool.shape = pool_shape(context, op.window, x, y);
  pool.in_zero = in.quant->zero[0];
  pool.count_pad = op.count_pad;
  pool.clamp = clamp8(Clamp{}, *out.quant);
  std::vector<float> scale;
  const double ratio = double{in.quant->scale[0]} / out.quant->scale[0];
  for (int32_t n = 1; n <= pool.shape.kernel_h * pool.shape.kernel_w; ++n)
    scale.push_back(kernels::rescale(ratio / n));
  const auto rows = static_cast<size_t>(pool.shape.batch) * static_cast<size_t>(pool.shape.out_h);
  // Every element is read once per window that it is in.
  const size_t grain = kElementsWorthSharing / (out.shape.elements() / rows * scale.size()) + 1;
  steps.push_back(
      describe_step(context, node,
                    make_step([=, run = max ? vec.max_pool : vec.average_pool,
                               scale = std::move(scale)](const Frame& frame) -> Status {
                      kernels::PoolS8 now = pool;
                      now.scale = scale.data();
                      frame.pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
                        run(now, frame.at<const int8_t>(x), frame.at<int8_t>(y), begin, end);
                      });
                      return {};
                    }),
                    vec.name));
  return true;
}

}  // namespace

Lowered lower_pool(const LowerContext& context, const Node& node, const Pool2d& op,
                   std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  if (context.value(x).type == DType::i8 && context.value(y).type == DType::i8)
    return lower_pool_s8(context, node, op, steps);
  const kernels::ConvShape s = pool_shape(context, op.window, x, y);
  const auto [bottom, right] = pad_bottom_right(s);
  if (op.kind == Pool2d::Kind::max) {
    FIRN_ASSIGN(const bool done,
                push_xnn(context, node, XnnOp::max_pool(s, bottom, right, context.pool),
                         {node.in[0]}, steps));
    return done ? true : lower_pool_plain(context, node, op, steps);
  }
  const bool padded = s.pad_top != 0 || s.pad_left != 0 || bottom != 0 || right != 0;
  const bool dilated = s.dilation_h != 1 || s.dilation_w != 1;
  if ((padded && op.count_pad) || dilated) return lower_pool_plain(context, node, op, steps);
  FIRN_ASSIGN(const bool done,
              push_xnn(context, node, XnnOp::average_pool(s, bottom, right, context.pool),
                       {node.in[0]}, steps));
  return done ? true : lower_pool_plain(context, node, op, steps);
}

Lowered lower_reduce(const LowerContext& context, const Node& node, const Reduce& op,
                     std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  const Value& in = context.value(x);
  const Value& out = context.value(y);
  if (op.kind != Reduce::Kind::mean || in.shape.rank != 4 || op.axes != std::vector<int32_t>{1, 2})
    return lower_reduce_plain(context, node, op, steps);
  const auto batch = static_cast<size_t>(in.shape[0]);
  const auto pixels = static_cast<size_t>(in.shape[1]) * static_cast<size_t>(in.shape[2]);
  const auto c = static_cast<size_t>(in.shape[3]);
  if (in.type == DType::f32)
    return push_xnn(context, node, XnnOp::global_average_pool(batch, pixels, c, context.pool),
                    {node.in[0]}, steps);
  if (in.type != DType::i8 || out.type != DType::i8) return false;
  const kernels::VecS8& vec = context.vec();
  const float scale = kernels::rescale(double{in.quant->scale[0]} /
                                       (double{out.quant->scale[0]} * static_cast<double>(pixels)));
  steps.push_back(
      describe_step(context, node,
                    make_step([=, mean = vec.mean, zero = in.quant->zero[0],
                               clamp = clamp8(Clamp{}, *out.quant)](const Frame& frame) -> Status {
                      for (size_t n = 0; n < batch; ++n)
                        mean(pixels, c, c, frame.at<const int8_t>(x) + n * pixels * c,
                             frame.at<int8_t>(y) + n * c, zero, scale, clamp);
                      return {};
                    }),
                    vec.name));
  return true;
}

Lowered lower_resize(const LowerContext& context, const Node& node, const Resize2d& op,
                     std::vector<LoweredStep>& steps) {
  if (op.kind == Resize2d::Kind::nearest) return lower_resize_nearest(context, node, op, steps);
  const ValueId x = node.in[0], y = node.out[0];
  // XNNPACK takes the ratio of the sizes; a given scale may differ from it.
  const Shape& in = context.value(x).shape;
  const Shape& out = context.value(y).shape;
  bool plain = false;
  for (int i = 0; i < 2; ++i)
    plain = plain || (op.size[static_cast<size_t>(i)] == 0 &&
                      static_cast<float>(in[i + 1]) * op.scale[static_cast<size_t>(i)] !=
                          static_cast<float>(out[i + 1]));
  const bool corners = op.coordinates == Resize2d::Coordinates::align_corners;
  // It differs from half_pixel only where the output is one pixel.
  const bool half =
      op.coordinates == Resize2d::Coordinates::half_pixel ||
      (op.coordinates == Resize2d::Coordinates::pytorch_half_pixel && out[1] > 1 && out[2] > 1);
  if (plain || (!corners && !half)) return lower_resize_bilinear(context, node, op, steps);
  FIRN_ASSIGN(const bool done, push_xnn(context, node,
                                        XnnOp::resize_bilinear(pool_shape(context, Window{}, x, y),
                                                               corners, context.pool),
                                        {x}, steps));
  return done ? true : lower_resize_bilinear(context, node, op, steps);
}

}  // namespace firn
