// SPDX-License-Identifier: Apache-2.0
// Joins the operator groups into the one table that the importer looks in.
#include "runtime/import/onnx_ops.h"

#include <algorithm>
#include <array>

#include "runtime/import/onnx.h"

namespace firn {
namespace onnx {
namespace {

std::array<std::span<const Operator>, 14> groups() {
  return {attention_operators(), binary_operators(), constant_operators(), conv_operators(),
          layout_operators(),    matrix_operators(), norm_operators(),     pool_operators(),
          quant_operators(),     reduce_operators(), resize_operators(),   select_operators(),
          shape_operators(),     unary_operators()};
}

}  // namespace

const Operator* find_operator(std::string_view type) {
  for (const std::span<const Operator> group : groups()) {
    for (const Operator& op : group) {
      if (op.type == type) return &op;
    }
  }
  return nullptr;
}

}  // namespace onnx

std::vector<std::string> onnx_operators() {
  std::vector<std::string> names;
  for (const std::span<const onnx::Operator> group : onnx::groups()) {
    for (const onnx::Operator& op : group) names.emplace_back(op.type);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace firn
