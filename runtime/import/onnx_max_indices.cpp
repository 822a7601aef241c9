// SPDX-License-Identifier: Apache-2.0
// Where the maxima of a pool come from: its windows' elements side by side, the first largest of
// each, and that one's place in the input.
#include "runtime/import/onnx_max_indices.h"

#include <algorithm>
#include <limits>

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

// Elements of a window; each is a node of the graph.
constexpr int64_t kMaxWindow = 256;

}  // namespace

Result<ValueId> max_indices(Context& c, ValueId x, const Window& window, Shape pooled,
                            bool by_columns) {
  const Shape shape = c.shape(x);
  if (shape.rank != 4 || !shape.known() || !pooled.known())
    return c.unsupported("its Indices output for an input of shape " + to_string(shape));
  const int64_t elements = int64_t{window.kernel[0]} * window.kernel[1];
  if (elements > kMaxWindow)
    return c.unsupported("its Indices output for windows of " + std::to_string(elements));
  // Whatever a window reaches beyond the input is less than anything in it.
  Pad pad;
  pad.value = -std::numeric_limits<float>::infinity();
  pad.before = {0, 0, window.pad[0], window.pad[1]};
  pad.after = {0, 0, 0, 0};
  std::array<std::vector<int64_t>, 2> starts, offsets;
  for (size_t a = 0; a < 2; ++a) {
    const auto axis = static_cast<int>(a) + 2;
    const int64_t stride = window.stride[a], dilation = window.dilation[a];
    const int64_t last =
        (pooled[axis] - int64_t{1}) * stride + (window.kernel[a] - int64_t{1}) * dilation + 1;
    FIRN_ASSIGN(const int32_t after,
                to_int32(c, "padding", std::max<int64_t>(last - window.pad[a] - shape[axis], 0)));
    pad.after[a + 2] = after;
    FIRN_TRY(c.allow(static_cast<size_t>(pooled[axis]) * sizeof(int64_t)));
    for (int64_t i = 0; i < pooled[axis]; ++i) starts[a].push_back(i * stride - window.pad[a]);
  }
  FIRN_ASSIGN(const ValueId padded, c.emit("padded", std::move(pad), {x}));
  std::vector<ValueId> parts;
  for (int32_t u = 0; u < window.kernel[0]; ++u) {
    for (int32_t v = 0; v < window.kernel[1]; ++v) {
      const std::array<int32_t, 2> begin{u * window.dilation[0], v * window.dilation[1]};
      Slice op{{0, 0, begin[0], begin[1]},
               {shape[0], shape[1], 0, 0},
               {1, 1, window.stride[0], window.stride[1]}};
      for (size_t a = 0; a < 2; ++a) {
        op.end[a + 2] = begin[a] + (pooled[static_cast<int>(a) + 2] - 1) * window.stride[a] + 1;
        offsets[a].push_back(begin[a]);
      }
      const std::string suffix = "element" + std::to_string(parts.size());
      FIRN_ASSIGN(const ValueId part, c.emit(suffix, std::move(op), {padded}));
      FIRN_ASSIGN(const ValueId own,
                  c.reshape(suffix + "_own", part,
                            {TargetDim::copy(0), TargetDim::copy(1), TargetDim::copy(2),
                             TargetDim::copy(3), TargetDim::of(1)}));
      parts.push_back(own);
    }
  }
  FIRN_ASSIGN(const ValueId all, c.emit("elements", Concat{4}, std::move(parts)));
  FIRN_ASSIGN(const ValueId first, c.emit("largest", ArgMax{4, false, false}, {all}));

  std::array<ValueId, 2> place{};
  for (size_t a = 0; a < 2; ++a) {
    const std::string suffix = a == 0 ? "row" : "column";
    const auto count = static_cast<int32_t>(offsets[a].size());
    FIRN_ASSIGN(const ValueId table, c.constant<int64_t>(suffix + "_offsets", {count}, offsets[a]));
    FIRN_ASSIGN(const ValueId offset, c.emit(suffix + "_offset", Gather{0}, {table, first}));
    const Shape along = a == 0 ? Shape{pooled[2], 1} : Shape{pooled[3]};
    FIRN_ASSIGN(const ValueId start, c.constant<int64_t>(suffix + "_starts", along, starts[a]));
    FIRN_ASSIGN(place[a], c.binary(suffix, Kind::add, offset, start));
  }
  // The number of the element in the whole input, row by row or column by column.
  std::vector<int64_t> images;
  FIRN_TRY(
      c.allow(static_cast<size_t>(shape[0]) * static_cast<size_t>(shape[1]) * sizeof(int64_t)));
  const int64_t area = int64_t{shape[2]} * shape[3];
  for (int64_t i = 0; i < int64_t{shape[0]} * shape[1]; ++i) images.push_back(i * area);
  FIRN_ASSIGN(const ValueId image,
              c.constant<int64_t>("image", {shape[0], shape[1], 1, 1}, images));
  FIRN_ASSIGN(const ValueId length,
              c.scalar("length", DType::i64, static_cast<double>(shape[by_columns ? 2 : 3])));
  const auto [outer, inner] =
      by_columns ? std::pair(place[1], place[0]) : std::pair(place[0], place[1]);
  FIRN_ASSIGN(const ValueId before, c.binary("before", Kind::mul, outer, length));
  FIRN_ASSIGN(const ValueId within, c.binary("within", Kind::add, before, inner));
  return c.binary("indices", Kind::add, within, image);
}

}  // namespace firn::onnx
