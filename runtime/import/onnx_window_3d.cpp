// SPDX-License-Identifier: Apache-2.0
// Reads windows over three spatial dimensions.
#include "runtime/import/onnx_window_3d.h"

#include <algorithm>

namespace firn::onnx {
namespace {

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

}  // namespace

Result<Window3d> read_window_3d(Context& c, std::span<const int32_t> kernel) {
  Window3d window;
  if (kernel.empty() && c.find("kernel_shape") == nullptr)
    return c.malformed("kernel_shape is missing");
  FIRN_TRY(read(c, "kernel_shape", 0, window.kernel));
  if (c.find("kernel_shape") == nullptr) std::ranges::copy(kernel, window.kernel.begin());
  if (!kernel.empty() && !std::ranges::equal(kernel, window.kernel))
    return c.malformed("kernel_shape differs from the weights' shape");
  FIRN_TRY(read(c, "strides", 1, window.stride));
  FIRN_TRY(read(c, "dilations", 1, window.dilation));
  FIRN_TRY(read(c, "pads", 0, window.pad));
  const std::array<const std::array<int32_t, 3>*, 3> positive{&window.kernel, &window.stride,
                                                              &window.dilation};
  for (const auto* list : positive)
    if (*std::ranges::min_element(*list) < 1)
      return c.malformed("a kernel, stride or dilation is " +
                         std::to_string(*std::ranges::min_element(*list)));
  if (*std::ranges::min_element(window.pad) < 0)
    return c.malformed("a pad is " + std::to_string(*std::ranges::min_element(window.pad)));
  FIRN_ASSIGN(const std::string auto_pad, c.attr("auto_pad", "NOTSET"));
  if (auto_pad != "NOTSET" && auto_pad != "VALID")
    return c.unsupported("auto_pad '" + auto_pad + "' of three dimensions");
  return window;
}

Result<std::array<int32_t, 3>> read_three(Context& c, const char* name, int32_t missing) {
  std::array<int32_t, 3> entries{};
  FIRN_TRY(read(c, name, missing, entries));
  return entries;
}

}  // namespace firn::onnx
