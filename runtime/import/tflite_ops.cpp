// SPDX-License-Identifier: Apache-2.0
// Joins the operator groups into the one table that the importer looks in.
#include "runtime/import/tflite_ops.h"

#include <algorithm>
#include <array>

#include "runtime/import/tflite.h"

namespace firn {
namespace tflite {
namespace {

auto groups() {
  return std::array{binary_operators(), conv_operators(),      layout_operators(),
                    matrix_operators(), norm_operators(),      pool_operators(),
                    reduce_operators(), recurrent_operators(), resize_operators(),
                    search_operators(), select_operators(),    shape_operators(),
                    slice_operators(),  unary_operators()};
}

}  // namespace

const Operator* find_operator(wire::BuiltinOperator code) {
  for (const std::span<const Operator> group : groups()) {
    const auto found = std::ranges::find(group, code, &Operator::code);
    if (found != group.end()) return &*found;
  }
  return nullptr;
}

}  // namespace tflite

std::vector<std::string> tflite_operators() {
  std::vector<std::string> names;
  for (const std::span<const tflite::Operator> group : tflite::groups()) {
    for (const tflite::Operator& op : group)
      names.emplace_back(tflite::wire::EnumNameBuiltinOperator(op.code));
  }
  for (const tflite::CustomOperator& op : tflite::custom_operators()) names.emplace_back(op.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace firn
