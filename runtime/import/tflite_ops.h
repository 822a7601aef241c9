// SPDX-License-Identifier: Apache-2.0
// The table of TensorFlow Lite operators and their translations, in groups by file. A new operator
// is one function and one line in its group's table.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_OPS_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_OPS_H_

#include <span>
#include <string_view>

#include "runtime/import/tflite_context.h"

namespace firn::tflite {

struct Operator {
  wire::BuiltinOperator code;
  Status (*translate)(Context&);
};

std::span<const Operator> binary_operators();
std::span<const Operator> conv_operators();
std::span<const Operator> layout_operators();
std::span<const Operator> matrix_operators();
std::span<const Operator> norm_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> recurrent_operators();
std::span<const Operator> reduce_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> search_operators();
std::span<const Operator> select_operators();
std::span<const Operator> shape_operators();
std::span<const Operator> slice_operators();
std::span<const Operator> unary_operators();

struct CustomOperator {
  std::string_view name;
  Status (*translate)(Context&);
};

std::span<const CustomOperator> custom_operators();

// Null where there is none.
const Operator* find_operator(wire::BuiltinOperator code);
const CustomOperator* find_custom_operator(std::string_view name);

}  // namespace firn::tflite

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_OPS_H_
