// SPDX-License-Identifier: Apache-2.0
// Reads sliding windows; emits the Transposes around NHWC operators.
#include "runtime/import/onnx_window.h"

#include <algorithm>
#include <limits>

namespace firn::onnx {
namespace {

// `values` as two int32, padded in front for one dimension; `missing` where there are none.
Result<std::array<int32_t, 2>> pair_of(const Context& c, const char* what,
                                       std::vector<int64_t> values, int dims, int32_t missing) {
  std::array<int32_t, 2> pair{missing, missing};
  if (values.empty()) return pair;
  if (values.size() != static_cast<size_t>(dims)) {
    return c.malformed(std::string(what) + " has " + std::to_string(values.size()) +
                       " entries, the input has " + std::to_string(dims) + " spatial dimensions");
  }
  values = two_dims(std::move(values), 1);
  for (size_t a = 0; a < 2; ++a) {
    FIRN_ASSIGN(pair[a], to_int32(c, what, values[a]));
  }
  return pair;
}

}  // namespace

Result<int32_t> to_int32(const Context& c, const char* what, int64_t value) {
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    return c.malformed(std::string(what) + " is " + std::to_string(value));
  }
  return static_cast<int32_t>(value);
}

std::vector<int64_t> two_dims(std::vector<int64_t> values, int64_t first) {
  if (values.size() == 1) values.insert(values.begin(), first);
  return values;
}

Result<WindowAttributes> read_window(Context& c, int rank, const std::vector<int32_t>& kernel) {
  WindowAttributes result;
  result.dims = rank - 2;
  if (rank != 3 && rank != 4) {
    return c.unsupported("an input of rank " + std::to_string(rank) + ", supported are 3 and 4");
  }
  FIRN_ASSIGN(std::vector<int64_t> stated, c.attr_ints("kernel_shape"));
  if (stated.empty()) stated.assign(kernel.begin(), kernel.end());
  if (stated.empty()) return c.malformed("kernel_shape is missing");
  if (!kernel.empty() && !std::ranges::equal(stated, kernel)) {
    return c.malformed("kernel_shape differs from the weights' shape");
  }
  FIRN_ASSIGN(result.window.kernel, pair_of(c, "kernel_shape", stated, result.dims, 1));
  FIRN_ASSIGN(const std::vector<int64_t> strides, c.attr_ints("strides"));
  FIRN_ASSIGN(result.window.stride, pair_of(c, "strides", strides, result.dims, 1));
  FIRN_ASSIGN(const std::vector<int64_t> dilations, c.attr_ints("dilations"));
  FIRN_ASSIGN(result.window.dilation, pair_of(c, "dilations", dilations, result.dims, 1));
  FIRN_ASSIGN(const std::vector<int64_t> pads, c.attr_ints("pads"));
  FIRN_ASSIGN(const std::string auto_pad, c.attr("auto_pad", "NOTSET"));
  if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    result.same = true;
    result.same_lower = auto_pad == "SAME_LOWER";
  } else if (auto_pad == "NOTSET" && !pads.empty()) {
    const size_t dims = static_cast<size_t>(result.dims);
    if (pads.size() != 2 * dims) {
      return c.malformed("pads has " + std::to_string(pads.size()) + " entries, expected " +
                         std::to_string(2 * dims));
    }
    for (size_t i = 0; i < dims; ++i) {
      const size_t a = 2 - dims + i;
      FIRN_ASSIGN(result.window.pad[a], to_int32(c, "pads", pads[i]));
      FIRN_ASSIGN(result.window.pad[a + 2], to_int32(c, "pads", pads[dims + i]));
    }
  } else if (auto_pad != "NOTSET" && auto_pad != "VALID") {
    return c.malformed("auto_pad is '" + auto_pad + "'");
  }
  return result;
}

void split_padding(WindowAttributes& attributes, size_t a, int64_t total) {
  const int64_t half = total / 2, rest = total - half;
  attributes.window.pad[a] = static_cast<int32_t>(attributes.same_lower ? rest : half);
  attributes.window.pad[a + 2] = static_cast<int32_t>(attributes.same_lower ? half : rest);
}

Status resolve_same(const Context& c, ValueId x, WindowAttributes& attributes) {
  if (!attributes.same) return {};
  const Window& window = attributes.window;
  for (size_t a = 2 - static_cast<size_t>(attributes.dims); a < 2; ++a) {
    const int64_t reach = int64_t{window.dilation[a]} * (window.kernel[a] - int64_t{1}) + 1;
    const int64_t stride = window.stride[a];
    if (stride < 1) return c.malformed("a stride is " + std::to_string(stride));
    const int64_t size = c.shape(x)[c.rank(x) - 2 + static_cast<int>(a)];
    if (stride == 1) {  // the same for every size
      split_padding(attributes, a, std::max<int64_t>(reach - 1, 0));
    } else if (size < 0) {
      return c.unsupported("auto_pad needs the size of input '" + c.builder.value(x).name +
                           "', which is " + to_string(c.shape(x)));
    } else {
      const int64_t outputs = (size + stride - 1) / stride;
      split_padding(attributes, a, std::max<int64_t>((outputs - 1) * stride + reach - size, 0));
    }
  }
  return {};
}

Result<ValueId> to_nhwc(Context& c, ValueId x) {
  if (c.rank(x) == 3) {
    FIRN_ASSIGN(x, c.reshape("as_image", x,
                             {TargetDim::copy(0), TargetDim::copy(1), TargetDim::of(1),
                              TargetDim::copy(2)}));
  }
  return c.transpose("to_nhwc", x, {0, 2, 3, 1});
}

Result<ValueId> from_nhwc(Context& c, ValueId y, int rank) {
  FIRN_ASSIGN(y, c.transpose("to_nchw", y, {0, 3, 1, 2}));
  if (rank == 4) return y;
  return c.reshape("as_row", y, {TargetDim::copy(0), TargetDim::copy(1), TargetDim::copy(3)});
}

}  // namespace firn::onnx
