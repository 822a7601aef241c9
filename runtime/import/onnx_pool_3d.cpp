// SPDX-License-Identifier: Apache-2.0
// Pools over three dimensions: first over height and width, then over depth. Neither maxima nor the
// numbers that an average divides by mind the order.
#include "runtime/import/onnx_pool_3d.h"

#include <array>
#include <limits>

#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

constexpr size_t kDims = 3;

struct Window3d {
  std::array<int32_t, kDims> kernel{}, stride{}, dilation{};
  std::array<int32_t, 2 * kDims> pad{};
};

template <size_t n>
Status read(Context& c, const char* name, int32_t missing, std::array<int32_t, n>& to) {
  to.fill(missing);
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.attr_ints(name));
  if (stated.empty()) return {};
  if (stated.size() != n)
    return c.malformed(std::string(name) + " has " + std::to_string(stated.size()) +
                       " entries, expected " + std::to_string(n));
  for (size_t i = 0; i < n; ++i) {
    FIRN_ASSIGN(to[i], to_int32(c, name, stated[i]));
  }
  return {};
}

Result<Window3d> read_window_3d(Context& c) {
  Window3d window;
  if (c.find("kernel_shape") == nullptr) return c.malformed("kernel_shape is missing");
  FIRN_TRY(read(c, "kernel_shape", 1, window.kernel));
  FIRN_TRY(read(c, "strides", 1, window.stride));
  FIRN_TRY(read(c, "dilations", 1, window.dilation));
  FIRN_TRY(read(c, "pads", 0, window.pad));
  FIRN_ASSIGN(const std::string auto_pad, c.attr("auto_pad", "NOTSET"));
  if (auto_pad != "NOTSET" && auto_pad != "VALID")
    return c.unsupported("auto_pad '" + auto_pad + "' of three dimensions");
  return window;
}

}  // namespace

Result<ValueId> pool_3d(Context& c, ValueId x, Pool2d op) {
  FIRN_ASSIGN(const Window3d w, read_window_3d(c));
  const Shape shape = c.shape(x);
  if (shape[1] < 0 || shape[2] < 0)
    return c.unsupported("channels and depth have to be known: " + to_string(shape));
  const int64_t planes = int64_t{shape[1]} * shape[2];
  FIRN_TRY(to_int32(c, "channels by depth", planes).status());
  FIRN_ASSIGN(const ValueId images, c.reshape("planes", x,
                                              {TargetDim::copy(0), TargetDim::of(planes),
                                               TargetDim::copy(3), TargetDim::copy(4)}));
  FIRN_ASSIGN(ValueId y, to_nhwc(c, images));
  op.window = {{w.kernel[1], w.kernel[2]},
               {w.stride[1], w.stride[2]},
               {w.dilation[1], w.dilation[2]},
               {w.pad[1], w.pad[2], w.pad[4], w.pad[5]}};
  FIRN_ASSIGN(y, c.emit("", op, {y}));
  FIRN_ASSIGN(y, from_nhwc(c, y, 4));
  const Shape pooled = c.shape(y);
  if (pooled[2] < 0 || pooled[3] < 0)
    return c.unsupported("height and width have to be known: " + to_string(shape));
  FIRN_ASSIGN(y, c.reshape("columns", y,
                           {TargetDim::copy(0), TargetDim::of(shape[1]), TargetDim::of(shape[2]),
                            TargetDim::of(int64_t{pooled[2]} * pooled[3])}));
  FIRN_ASSIGN(y, to_nhwc(c, y));
  op.window = {{w.kernel[0], 1}, {w.stride[0], 1}, {w.dilation[0], 1}, {w.pad[0], 0, w.pad[3], 0}};
  FIRN_ASSIGN(y, c.emit("depth", op, {y}));
  FIRN_ASSIGN(y, from_nhwc(c, y, 4));
  return c.reshape("volume", y,
                   {TargetDim::copy(0), TargetDim::of(shape[1]), TargetDim::copy(2),
                    TargetDim::of(pooled[2]), TargetDim::of(pooled[3])});
}

}  // namespace firn::onnx
