// SPDX-License-Identifier: Apache-2.0
// Shape rules of resizes along any axes, sampling by a grid, and the choice of boxes.
#include <algorithm>
#include <cmath>

#include "runtime/boxes.h"
#include "runtime/geometry.h"
#include "runtime/infer_context.h"

namespace firn {

Result<Inferred> infer_op(const InferContext& c, const Resize& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  if (op.kind != Resize::Kind::nearest) FIRN_TRY(c.expect_real(0));
  const Shape& x = c.shape(0);
  const size_t n = op.axes.size();
  const bool crops = op.coordinates == Resize::Coordinates::crop;
  const auto one_each = [&](const auto& list, bool needed) {
    return list.size() == n || (!needed && list.empty());
  };
  if (!one_each(op.size, op.scale.empty()) || !one_each(op.scale, op.size.empty()) ||
      !one_each(op.begin, crops) || op.end.size() != op.begin.size())
    return c.malformed(std::to_string(n) + " axes, but " + std::to_string(op.size.size()) +
                       " sizes, " + std::to_string(op.scale.size()) + " scales, " +
                       std::to_string(op.begin.size()) + " and " + std::to_string(op.end.size()) +
                       " ends of what is cropped");
  if (!std::isfinite(op.cubic)) return c.malformed("the cubic coefficient is not finite");
  for (size_t i = 0; i < op.begin.size(); ++i)
    if (!std::isfinite(op.begin[i]) || !std::isfinite(op.end[i]))
      return c.malformed("what is cropped has no finite ends");
  Shape y = x;
  std::array<bool, kMaxRank> chosen{};
  for (size_t i = 0; i < n; ++i) {
    const int axis = op.axes[i];
    if (axis < 0 || axis >= x.rank || chosen[static_cast<size_t>(axis)])
      return c.malformed("axis " + std::to_string(axis) + " is out of place, input is " +
                         to_string(x));
    chosen[static_cast<size_t>(axis)] = true;
    const int32_t size = op.size.empty() ? 0 : op.size[i];
    if (size < 0) return c.malformed("size is " + std::to_string(size));
    if (size == 0 && (op.scale.empty() || !(op.scale[i] > 0 && std::isfinite(op.scale[i]))))
      return c.malformed("axis " + std::to_string(axis) + " has no size and no scale above 0");
    if (x[axis] < 1) return c.malformed("input " + to_string(x) + " would be resized to nothing");
  }
  for (size_t i = 0; i < n; ++i) {
    const ResizeAxis axis = resize_axis(op, x, i);
    if (axis.out < 1) return c.malformed("input " + to_string(x) + " would be resized to nothing");
    FIRN_ASSIGN(y[op.axes[i]], c.dimension("resized axis", axis.out));
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const GridSample& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_real(1));
  const Shape& x = c.shape(0);
  const Shape& grid = c.shape(1);
  const int spatial = x.rank - 2;
  const bool fits = (spatial == 2 || spatial == 3) && grid.rank == x.rank && grid[0] == x[0] &&
                    grid[grid.rank - 1] == spatial;
  if (!fits)
    return c.malformed("input " + c.name(0) + " is " + to_string(x) + ", grid " + c.name(1) +
                       " is " + to_string(grid));
  if (op.kind == GridSample::Kind::cubic && spatial != 2)
    return c.unsupported("cubic interpolation of " + std::to_string(spatial) + " dimensions");
  Shape y = grid;
  y[y.rank - 1] = x[x.rank - 1];
  for (int i = 1; i <= spatial; ++i)
    if (x[i] < 1 && y.elements() > 0)
      return c.malformed("samples input " + c.name(0) + ", which is empty: " + to_string(x));
  return Inferred{DType::f32, y};
}

Result<Inferred> infer_op(const InferContext& c, const NonMaxSuppression& op) {
  FIRN_TRY(c.expect_inputs(2, 5));
  std::array<Tensor, 5> in{};
  for (size_t i = 0; i < 5; ++i) {
    if (c.in(i) == nullptr) continue;
    FIRN_ASSIGN(in[i], c.constant_tensor(i));
    const DType expected = i == 2 ? DType::i64 : DType::f32;
    if (in[i].type != expected || c.in(i)->quant)
      return c.unsupported("input " + c.name(i) + " is " + dtype_name(in[i].type) +
                           ", expected plain " + dtype_name(expected));
    if (i >= 2 && in[i].shape.elements() != 1)
      return c.malformed("input " + c.name(i) + " is " + to_string(in[i].shape) +
                         ", expected a scalar");
  }
  const Shape& boxes = in[0].shape;
  const Shape& scores = in[1].shape;
  if (boxes.rank != 3 || scores.rank != 3 || boxes[2] != 4 || boxes[0] != scores[0] ||
      boxes[1] != scores[2])
    return c.malformed("boxes are " + to_string(boxes) + ", scores " + to_string(scores));
  FIRN_ASSIGN(const int32_t selected,
              c.dimension("the number of boxes selected",
                          static_cast<int64_t>(select_boxes(op, in).size())));
  return Inferred{DType::i64, Shape{selected, 3}};
}

}  // namespace firn
