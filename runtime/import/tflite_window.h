// SPDX-License-Identifier: Apache-2.0
// Sliding windows as TensorFlow Lite states them: a stride, and padding that keeps the size or
// none.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_WINDOW_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_WINDOW_H_

#include <array>

#include "runtime/import/tflite_context.h"

namespace firn::tflite {

struct WindowOptions {
  wire::Padding padding = wire::Padding::same;
  std::array<int32_t, 2> kernel{1, 1}, stride{1, 1}, dilation{1, 1};  // height, width
};

// Of convolutions and pools.
template <typename T>
WindowOptions window_options(const T& options, std::array<int32_t, 2> kernel) {
  WindowOptions window;
  window.padding = options.padding();
  window.kernel = kernel;
  window.stride = {options.stride_h(), options.stride_w()};
  return window;
}

// The window over x [N,H,W,C]. malformed where it has no size or does not move.
Result<Window> window_over(const Context& c, ValueId x, const WindowOptions& options);

// The rank that spatial operators need.
Status expect_image(const Context& c, ValueId x);

}  // namespace firn::tflite

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_WINDOW_H_
