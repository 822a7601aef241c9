// SPDX-License-Identifier: Apache-2.0
// Joins the operator groups into the one table that the importer looks in.
#include "runtime/import/onnx_ops.h"

#include <algorithm>
#include <array>

#include "runtime/import/onnx.h"

namespace firn {
namespace onnx {
namespace {

std::array<std::span<const Operator>, 16> groups() {
  return {attention_operators(), binary_operators(),  constant_operators(), conv_operators(),
          integer_operators(),   layout_operators(),  matrix_operators(),   norm_operators(),
          pool_operators(),      qlinear_operators(), quant_operators(),    reduce_operators(),
          resize_operators(),    select_operators(),  shape_operators(),    unary_operators()};
}

const Operator* find_in(std::span<const Operator> group, std::string_view type) {
  const auto found = std::ranges::find(group, type, &Operator::type);
  return found == group.end() ? nullptr : &*found;
}

}  // namespace

const Operator* find_operator(std::string_view domain, std::string_view type) {
  if (domain == "com.microsoft") {
    // Exporters state the standard's own there, too, for types that it has only had of late.
    const Operator* op = find_in(qlinear_contrib_operators(), type);
    return op != nullptr ? op : find_in(quant_operators(), type);
  }
  if (!domain.empty() && domain != "ai.onnx") return nullptr;
  for (const std::span<const Operator> group : groups())
    if (const Operator* op = find_in(group, type)) return op;
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
