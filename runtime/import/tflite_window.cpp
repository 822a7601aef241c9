// SPDX-License-Identifier: Apache-2.0
// Turns SAME and VALID into numbers of pixels.
#include "runtime/import/tflite_window.h"

#include <algorithm>

namespace firn::tflite {
namespace {

// The padding before and after one axis: as little as gives ceil(size / stride) outputs.
Result<std::array<int32_t, 2>> same_padding(const Context& c, int64_t size, int64_t kernel,
                                            int64_t stride, int64_t dilation) {
  const int64_t reach = (kernel - 1) * dilation + 1;
  if (size < 0 && stride != 1) {
    return c.unsupported("SAME padding of an open dimension with stride " + std::to_string(stride));
  }
  const int64_t steps = size < 0 ? 0 : (size + stride - 1) / stride - 1;
  const int64_t total =
      std::max<int64_t>(0, stride == 1 ? reach - 1 : steps * stride + reach - size);
  if (total > INT32_MAX) return c.malformed("padding of " + std::to_string(total));
  const auto before = static_cast<int32_t>(total / 2);
  return std::array{before, static_cast<int32_t>(total) - before};
}

}  // namespace

Status expect_image(const Context& c, ValueId x) {
  if (c.rank(x) == 4) return {};
  return c.malformed("its input is " + to_string(c.shape(x)) + ", expected 4 dimensions");
}

Result<Window> window_over(const Context& c, ValueId x, const WindowOptions& options) {
  Window window;
  window.kernel = options.kernel;
  window.stride = options.stride;
  window.dilation = options.dilation;
  for (size_t a = 0; a < 2; ++a) {
    const std::string axis = a == 0 ? " of rows" : " of columns";
    if (window.kernel[a] < 1) {
      return c.malformed("a window" + axis + " of " + std::to_string(window.kernel[a]));
    }
    if (window.stride[a] < 1) {
      return c.malformed("a stride" + axis + " of " + std::to_string(window.stride[a]));
    }
    if (window.dilation[a] < 1) {
      return c.malformed("a dilation" + axis + " of " + std::to_string(window.dilation[a]));
    }
    if (options.padding != wire::Padding::same) continue;
    FIRN_ASSIGN(const auto pad,
                same_padding(c, c.shape(x)[static_cast<int>(a) + 1], window.kernel[a],
                             window.stride[a], window.dilation[a]));
    window.pad[a] = pad[0];
    window.pad[a + 2] = pad[1];
  }
  return window;
}

}  // namespace firn::tflite
