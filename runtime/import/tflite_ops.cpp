// SPDX-License-Identifier: Apache-2.0
// Joins the operator groups into the one table that the importer looks in.
#include "runtime/import/tflite_ops.h"

#include <algorithm>
#include <array>

namespace firn::tflite {

const Operator* find_operator(wire::BuiltinOperator code) {
  const std::array groups{binary_operators(), conv_operators(),      layout_operators(),
                          matrix_operators(), norm_operators(),      pool_operators(),
                          reduce_operators(), recurrent_operators(), resize_operators(),
                          search_operators(), select_operators(),    shape_operators(),
                          unary_operators()};
  for (const std::span<const Operator> group : groups) {
    const auto found = std::ranges::find(group, code, &Operator::code);
    if (found != group.end()) return &*found;
  }
  return nullptr;
}

}  // namespace firn::tflite
