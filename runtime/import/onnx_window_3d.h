// SPDX-License-Identifier: Apache-2.0
// The attributes of windows over three spatial dimensions.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_WINDOW_3D_H_
#define FIRN_RUNTIME_IMPORT_ONNX_WINDOW_3D_H_

#include <array>

#include "runtime/import/onnx_window.h"

namespace firn::onnx {

// Depth, height, width; pads of all their beginnings, then of their ends.
struct Window3d {
  std::array<int32_t, 3> kernel{}, stride{}, dilation{};
  std::array<int32_t, 6> pad{};

  // Over height and width.
  Window plane() const {
    return {{kernel[1], kernel[2]},
            {stride[1], stride[2]},
            {dilation[1], dilation[2]},
            {pad[1], pad[2], pad[4], pad[5]}};
  }
  // Over the depth, as the first of two dimensions.
  Window depth() const {
    return {{kernel[0], 1}, {stride[0], 1}, {dilation[0], 1}, {pad[0], 0, pad[3], 0}};
  }
};

// `kernel` is what the weights say, or empty. unsupported: SAME padding.
Result<Window3d> read_window_3d(Context& c, std::span<const int32_t> kernel);
// The attribute's entries, one a spatial dimension; all `missing` where there is none.
Result<std::array<int32_t, 3>> read_three(Context& c, const char* name, int32_t missing);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_WINDOW_3D_H_
