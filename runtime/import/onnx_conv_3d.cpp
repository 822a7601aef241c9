// SPDX-License-Identifier: Apache-2.0
// Convolutions over three dimensions as such over two: planes along the depth are a batch. What the
// depth of the filters adds is a sum of convolutions or, transposed, one more over the depth alone.
#include "runtime/import/onnx_conv_3d.h"

#include <algorithm>
#include <limits>

#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_window_3d.h"

namespace firn::onnx {
namespace {

// x [N,C,D,H,W] and its weights, all sizes but the batch known.
struct Volume {
  Shape x, w;
  Window3d window;
  int32_t groups = 1;
};

Result<Volume> read_volume(Context& c, ValueId x, ValueId w) {
  Volume volume;
  volume.x = c.shape(x);
  volume.w = c.shape(w);
  if (volume.w.rank != 5)
    return c.malformed("weights are " + to_string(volume.w) + ", the input has rank 5");
  const auto open = [](int32_t size) { return size < 0; };
  if (std::ranges::any_of(volume.x.dims().subspan(1), open) || !volume.w.known())
    return c.unsupported("open sizes: " + to_string(volume.x) + " and " + to_string(volume.w));
  FIRN_ASSIGN(volume.window, read_window_3d(c, volume.w.dims().subspan(2)));
  FIRN_ASSIGN(const int64_t group, c.attr("group", int64_t{1}));
  FIRN_ASSIGN(volume.groups, to_int32(c, "group", group));
  return volume;
}

// Planes [N*D,H,W,C] of a volume [N,D,C,H,W].
Result<ValueId> as_planes(Context& c, const std::string& suffix, ValueId x, const Shape& shape) {
  FIRN_ASSIGN(const ValueId planes, c.reshape(suffix + "_planes", x,
                                              {TargetDim::rest(), TargetDim::of(shape[1]),
                                               TargetDim::of(shape[3]), TargetDim::of(shape[4])}));
  return c.transpose(suffix + "_nhwc", planes, {0, 2, 3, 1});
}

// [N*D,H,W,C] as [N,C,D,H,W].
Result<ValueId> as_volume(Context& c, ValueId planes, int64_t depth) {
  const Shape shape = c.shape(planes);
  FIRN_ASSIGN(const ValueId volume,
              c.reshape("volume", planes,
                        {TargetDim::rest(), TargetDim::of(depth), TargetDim::of(shape[1]),
                         TargetDim::of(shape[2]), TargetDim::of(shape[3])}));
  return c.transpose("ncdhw", volume, {0, 4, 1, 2, 3});
}

}  // namespace

Result<ValueId> conv_3d(Context& c, ValueId x, ValueId w, ValueId bias) {
  FIRN_ASSIGN(const Volume volume, read_volume(c, x, w));
  const Window3d& window = volume.window;
  const int64_t stride = window.stride[0], dilation = window.dilation[0];
  const int64_t size = int64_t{volume.x[2]} + window.pad[0] + window.pad[3];
  const int64_t room = size - (window.kernel[0] - int64_t{1}) * dilation - 1;
  if (room < 0)
    return c.malformed("a kernel of depth " + std::to_string(window.kernel[0]) + " in " +
                       std::to_string(size));
  const int64_t depth = room / stride + 1;
  constexpr int32_t kMaxDepth = 64;  // of filters; each plane is a node
  if (window.kernel[0] > kMaxDepth)
    return c.unsupported("a kernel of depth " + std::to_string(window.kernel[0]));
  FIRN_TRY(to_int32(c, "the padded depth", size).status());
  FIRN_ASSIGN(const ValueId outer, c.transpose("by_depth", x, {0, 2, 1, 3, 4}));
  Pad pad;
  pad.before = {0, window.pad[0], 0, 0, 0};
  pad.after = {0, window.pad[3], 0, 0, 0};
  FIRN_ASSIGN(const ValueId padded, c.emit("padded", std::move(pad), {outer}));
  FIRN_ASSIGN(const ValueId filters, c.transpose("filters", w, {2, 0, 3, 4, 1}));
  Conv2d op;
  op.window = window.plane();
  op.groups = volume.groups;
  ValueId sum = ValueId::none;
  for (int32_t k = 0; k < window.kernel[0]; ++k) {
    const std::string suffix = "depth" + std::to_string(k);
    const int64_t begin = k * dilation, end = begin + (depth - 1) * stride + 1;
    FIRN_ASSIGN(const ValueId part,
                c.slice(suffix, padded, 1, static_cast<int32_t>(begin), static_cast<int32_t>(end),
                        static_cast<int32_t>(stride)));
    FIRN_ASSIGN(const ValueId planes, as_planes(c, suffix, part, volume.x));
    FIRN_ASSIGN(const ValueId filter, c.slice(suffix + "_filter", filters, 0, k, k + 1));
    FIRN_ASSIGN(const ValueId weights, c.reshape(suffix + "_weights", filter,
                                                 {TargetDim::copy(1), TargetDim::copy(2),
                                                  TargetDim::copy(3), TargetDim::copy(4)}));
    FIRN_ASSIGN(const ValueId y,
                c.emit(suffix + "_conv", op, {planes, weights, k == 0 ? bias : ValueId::none}));
    if (k == 0) {
      sum = y;
    } else {
      FIRN_ASSIGN(sum, c.binary(suffix + "_sum", Binary::Kind::add, sum, y));
    }
  }
  return as_volume(c, sum, depth);
}

Result<ValueId> conv_transpose_3d(Context& c, ValueId x, ValueId w, ValueId bias) {
  FIRN_ASSIGN(const Volume volume, read_volume(c, x, w));
  const Window3d& window = volume.window;
  if (c.find("output_shape") != nullptr) return c.unsupported("output_shape of three dimensions");
  FIRN_ASSIGN(const auto output_pad, read_three(c, "output_padding", 0));
  const int64_t kernel = window.kernel[0];
  const int64_t outputs = int64_t{volume.w[1]} * volume.groups, channels = outputs * kernel;
  FIRN_TRY(to_int32(c, "the number of output channels", channels).status());
  // Over planes, an output channel for each plane of a filter.
  FIRN_ASSIGN(const ValueId outer, c.transpose("by_depth", x, {0, 2, 1, 3, 4}));
  FIRN_ASSIGN(const ValueId planes, as_planes(c, "input", outer, volume.x));
  FIRN_ASSIGN(ValueId filters,
              c.reshape("filters", w,
                        {TargetDim::of(volume.w[0]), TargetDim::of(volume.w[1] * kernel),
                         TargetDim::of(volume.w[3]), TargetDim::of(volume.w[4])}));
  FIRN_ASSIGN(filters, transposed_filter(c, filters, volume.groups));
  ConvTranspose2d op{window.plane(), {output_pad[1], output_pad[2]}, volume.groups};
  FIRN_ASSIGN(const ValueId flat, c.emit("planes", op, {planes, filters}));
  // Over the depth: each plane to where its part of the filter puts it.
  const Shape plane = c.shape(flat);
  FIRN_ASSIGN(const ValueId columns,
              c.reshape("columns", flat,
                        {TargetDim::rest(), TargetDim::of(volume.x[2]),
                         TargetDim::of(int64_t{plane[1]} * plane[2]), TargetDim::of(channels)}));
  FIRN_TRY(c.allow(static_cast<size_t>(channels * kernel) * sizeof(float)));
  std::vector<float> picks(static_cast<size_t>(channels * kernel));
  for (int64_t row = 0; row < channels; ++row)
    picks[static_cast<size_t>(row * kernel + row % kernel)] = 1;
  const auto of = [](int64_t size) { return static_cast<int32_t>(size); };
  FIRN_ASSIGN(const ValueId unit,
              c.constant<float>("depth_filters", {of(outputs), of(kernel), 1, of(kernel)}, picks));
  ConvTranspose2d along{window.depth(), {output_pad[0], 0}, of(outputs)};
  FIRN_ASSIGN(const ValueId deep, c.emit("depth", along, {columns, unit, bias}));
  const int64_t depth = c.shape(deep)[1];
  FIRN_ASSIGN(const ValueId stacked, c.reshape("stacked", deep,
                                               {TargetDim::rest(), TargetDim::of(plane[1]),
                                                TargetDim::of(plane[2]), TargetDim::of(outputs)}));
  return as_volume(c, stacked, depth);
}

}  // namespace firn::onnx
