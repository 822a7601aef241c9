// SPDX-License-Identifier: Apache-2.0
// Pools over three dimensions: first over height and width, then over depth. Neither maxima nor the
// numbers that an average divides by mind the order.
#include "runtime/import/onnx_pool_3d.h"

#include "runtime/import/onnx_window_3d.h"

namespace firn::onnx {

Result<ValueId> pool_3d(Context& c, ValueId x, Pool2d op) {
  FIRN_ASSIGN(const Window3d w, read_window_3d(c, {}));
  const Shape shape = c.shape(x);
  if (shape[1] < 0 || shape[2] < 0)
    return c.unsupported("channels and depth have to be known: " + to_string(shape));
  const int64_t planes = int64_t{shape[1]} * shape[2];
  FIRN_TRY(to_int32(c, "channels by depth", planes).status());
  FIRN_ASSIGN(const ValueId images, c.reshape("planes", x,
                                              {TargetDim::copy(0), TargetDim::of(planes),
                                               TargetDim::copy(3), TargetDim::copy(4)}));
  FIRN_ASSIGN(ValueId y, to_nhwc(c, images));
  op.window = w.plane();
  FIRN_ASSIGN(y, c.emit("", op, {y}));
  FIRN_ASSIGN(y, from_nhwc(c, y, 4));
  const Shape pooled = c.shape(y);
  if (pooled[2] < 0 || pooled[3] < 0)
    return c.unsupported("height and width have to be known: " + to_string(shape));
  FIRN_ASSIGN(y, c.reshape("columns", y,
                           {TargetDim::copy(0), TargetDim::of(shape[1]), TargetDim::of(shape[2]),
                            TargetDim::of(int64_t{pooled[2]} * pooled[3])}));
  FIRN_ASSIGN(y, to_nhwc(c, y));
  op.window = w.depth();
  FIRN_ASSIGN(y, c.emit("depth", op, {y}));
  FIRN_ASSIGN(y, from_nhwc(c, y, 4));
  return c.reshape("volume", y,
                   {TargetDim::copy(0), TargetDim::of(shape[1]), TargetDim::copy(2),
                    TargetDim::of(pooled[2]), TargetDim::of(pooled[3])});
}

}  // namespace firn::onnx
