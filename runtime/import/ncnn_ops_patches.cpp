// SPDX-License-Identifier: Apache-2.0
// Windows of an image as columns, [channels * window, places], and the sum of columns as an image.
#include <limits>

#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

// Elements of a window; each is a node of the graph.
constexpr int64_t kMaxWindow = 256;

int64_t window_size(const Window& window) {
  return int64_t{window.kernel[0]} * window.kernel[1];
}

// How far a window reaches along axis a.
int64_t reach(const Window& window, size_t a) {
  return int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
}

// How many windows fit in `size` along axis a; malformed where none does.
Result<int32_t> places(const Context& c, const Window& window, size_t a, int64_t size) {
  const int64_t room = size - reach(window, a);
  if (room >= 0 && room / window.stride[a] < std::numeric_limits<int32_t>::max())
    return static_cast<int32_t>(room / window.stride[a] + 1);
  return c.malformed("windows that reach " + std::to_string(reach(window, a)) + " in " +
                     std::to_string(size));
}

Status unfold(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(WindowParams params, read_window(c, kConvIds, 2));
  const Window& window = params.window;
  if (window_size(window) > kMaxWindow)
    return c.unsupported("a window of " + std::to_string(window_size(window)) + " elements");
  FIRN_ASSIGN(ValueId image, to_nhwc(c, x));
  FIRN_TRY(resolve_same(c, image, params));
  Pad pad;
  pad.before = {0, window.pad[0], window.pad[1], 0};
  pad.after = {0, window.pad[2], window.pad[3], 0};
  pad.value = params.pad_value;
  FIRN_ASSIGN(image, c.emit("padded", std::move(pad), {image}));
  std::array<int32_t, 2> count{};
  for (size_t a = 0; a < 2; ++a) {
    FIRN_ASSIGN(const int32_t size, c.known_dim(image, static_cast<int>(a) + 1));
    FIRN_ASSIGN(count[a], places(c, window, a, size));
  }
  FIRN_ASSIGN(const int32_t channels, c.known_dim(image, 3));
  const auto of = [](int64_t number) { return TargetDim::of(number); };
  std::vector<ValueId> parts;
  for (int32_t u = 0; u < window.kernel[0]; ++u) {
    for (int32_t v = 0; v < window.kernel[1]; ++v) {
      const std::array<int32_t, 2> begin{window.dilation[0] * u, window.dilation[1] * v};
      Slice op{{0, begin[0], begin[1], 0},
               {1, 0, 0, channels},
               {1, window.stride[0], window.stride[1], 1}};
      for (size_t a = 0; a < 2; ++a)
        op.end[a + 1] = begin[a] + (count[a] - 1) * window.stride[a] + 1;
      const std::string suffix = "part" + std::to_string(parts.size());
      FIRN_ASSIGN(const ValueId part, c.emit(suffix, std::move(op), {image}));
      FIRN_ASSIGN(const ValueId column,
                  c.reshape(suffix + "_column", part,
                            {of(int64_t{count[0]} * count[1]), of(channels), of(1)}));
      parts.push_back(column);
    }
  }
  FIRN_ASSIGN(const ValueId all, c.emit("parts", Concat{2}, std::move(parts)));
  FIRN_ASSIGN(const ValueId turned, c.transpose("columns", all, {1, 2, 0}));
  return c.bind(c.as_blob("", turned, {of(channels * window_size(window)), TargetDim::rest()}));
}

// The gradient of a convolution whose filters pick one element of the window each.
Status fold(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 2, 2));
  FIRN_ASSIGN(const WindowParams params, read_window(c, kDeconvIds, 2));
  if (params.same != Same::no) return c.unsupported("SAME padding");
  ConvTranspose2d op;
  op.window = params.window;
  std::array<int32_t, 2> size{}, count{};
  FIRN_ASSIGN(size[1], c.at_least(1, 20, "the output width", 0));
  FIRN_ASSIGN(size[0], c.at_least(1, 21, "the output height", size[1]));
  for (size_t a = 0; a < 2; ++a) {
    const int64_t padded = int64_t{size[a]} + op.window.pad[a] + op.window.pad[a + 2];
    FIRN_ASSIGN(count[a], places(c, op.window, a, padded));
    const int64_t covered = (count[a] - int64_t{1}) * op.window.stride[a] + reach(op.window, a);
    op.output_pad[a] = static_cast<int32_t>(padded - covered);
  }
  FIRN_ASSIGN(const int32_t rows, c.known_dim(x, 1));
  FIRN_ASSIGN(const int32_t columns, c.known_dim(x, 2));
  const int64_t elements = window_size(op.window);
  if (rows % elements != 0 || int64_t{count[0]} * count[1] != columns)
    return c.malformed("input " + to_string(c.shape(x)) + " for windows of " +
                       std::to_string(elements) + " at " + std::to_string(count[0]) + " by " +
                       std::to_string(count[1]) + " places");
  const auto window = static_cast<size_t>(elements);
  op.groups = static_cast<int32_t>(rows / elements);
  FIRN_TRY(c.allow(static_cast<size_t>(rows) * window * sizeof(float)));
  std::vector<float> picks(static_cast<size_t>(rows) * window);
  // Filters are [groups,KH,KW,window]: of each group a unit matrix.
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row)
    picks[row * window + row % window] = 1;
  const Shape filters{op.groups, op.window.kernel[0], op.window.kernel[1],
                      static_cast<int32_t>(elements)};
  FIRN_ASSIGN(const ValueId weights, c.constant<float>("filters", filters, picks));
  FIRN_ASSIGN(const ValueId grid,
              c.as_blob("places", x,
                        {TargetDim::copy(1), TargetDim::of(count[0]), TargetDim::of(count[1])}));
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, grid));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image, weights}));
  return c.bind(from_nhwc(c, y, 3));
}

constexpr Operator kOperators[] = {{"Fold", fold}, {"Unfold", unfold}};

}  // namespace

std::span<const Operator> patch_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
