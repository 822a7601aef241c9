// SPDX-License-Identifier: Apache-2.0
// Sliding windows and the NCHW <-> NHWC frame, shared by convolutions, pools and their kin.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_WINDOW_H_
#define FIRN_RUNTIME_IMPORT_ONNX_WINDOW_H_

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

// ONNX's attributes kernel_shape, strides, dilations, pads and auto_pad. One dimension (NCW)
// becomes the second of two.
struct WindowAttributes {
  Window window;  // pads as stated; of SAME_*, zero
  bool same = false, same_lower = false;
  int dims = 2;  // spatial dimensions of the input
};

// Reads them for an input of `rank`; `kernel` is what the weights say, or empty. unsupported: other
// than one or two spatial dimensions.
Result<WindowAttributes> read_window(Context& c, int rank, const std::vector<int32_t>& kernel);

// Splits `total` between the two sides of axis a (0: rows); the odd one goes to the end, or to the
// beginning for SAME_LOWER.
void split_padding(WindowAttributes& attributes, size_t a, int64_t total);

// Sets the pads of SAME_*: so that there are ceil(in / stride) outputs. unsupported where the
// input's size is not known.
Status resolve_same(const Context& c, ValueId x, WindowAttributes& attributes);

// [N,C,H,W] or [N,C,W] to [N,H,W,C], and back to the rank of `like`.
Result<ValueId> to_nhwc(Context& c, ValueId x);
Result<ValueId> from_nhwc(Context& c, ValueId y, int rank);

// One spatial dimension's numbers as the second of two, the first being `first`.
std::vector<int64_t> two_dims(std::vector<int64_t> values, int64_t first);

// malformed outside of int32.
Result<int32_t> to_int32(const Context& c, const char* what, int64_t value);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_WINDOW_H_
