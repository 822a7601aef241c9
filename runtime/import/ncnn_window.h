// SPDX-License-Identifier: Apache-2.0
// Sliding windows, NHWC frames and fused activations, shared by convolutions, pools and their kin.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_WINDOW_H_
#define FIRN_RUNTIME_IMPORT_NCNN_WINDOW_H_

#include <array>
#include <vector>

#include "runtime/import/ncnn_context.h"

namespace firn::ncnn {

enum class Same : uint8_t { no, upper, lower };

// A window over `dims` spatial dimensions; one becomes the second of two.
struct WindowParams {
  Window window;
  Same same = Same::no;
  float pad_value = 0;
  int dims = 2;
};

// The parameters' numbers, width first; what is not stated for the height is the width's.
struct WindowIds {
  std::array<int, 2> kernel, dilation, stride;
  int pad_left, pad_right, pad_top, pad_bottom;
  int pad_value;  // -1: none
};
inline constexpr WindowIds kConvIds{{1, 11}, {2, 12}, {3, 13}, 4, 15, 14, 16, 18};
inline constexpr WindowIds kDeconvIds{{1, 11}, {2, 12}, {3, 13}, 4, 15, 14, 16, -1};

// `kernel` is stated by the weights where they are another layer's.
Result<WindowParams> read_window(const Context& c, const WindowIds& ids, int dims,
                                 std::optional<std::array<int32_t, 2>> kernel = std::nullopt);
// Sets the pads of SAME padding for an input in NHWC: ceil(in / stride) outputs. unsupported where
// the size matters and is open.
Status resolve_same(const Context& c, ValueId nhwc, WindowParams& params);
// Pads with the value, where that is not 0, ahead of the window.
Result<ValueId> pad_ahead(Context& c, ValueId nhwc, WindowParams& params);

// A blob of c,h,w or c,w (or with `flat`, w alone as channels) to [1,h,w,c], and back to `dims`
// dimensions. Quantization goes along.
Result<ValueId> to_nhwc(Context& c, ValueId x);
Result<ValueId> from_nhwc(Context& c, ValueId y, int dims);

// activation_type and activation_params, by default at 9 and 10.
struct Activation {
  enum Kind : uint8_t { none, relu, leaky_relu, clip, sigmoid, mish, hard_swish };
  Kind kind = none;
  float a = 0, b = 0;

  // What an operator does itself, and whether that is all of it.
  Clamp clamp() const;
  bool is_clamp() const { return kind == none || kind == relu || kind == clip; }
};
Result<Activation> read_activation(const Context& c, int type_id = 9, int params_id = 10);
// What is not a clamp.
Result<ValueId> activate(Context& c, ValueId x, const Activation& activation);
// x * clamp(alpha x + beta, 0, 1).
Result<ValueId> hard_swish(Context& c, std::string_view suffix, ValueId x, float alpha, float beta);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_WINDOW_H_
