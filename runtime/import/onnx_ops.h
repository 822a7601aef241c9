// SPDX-License-Identifier: Apache-2.0
// The table of ONNX operators and their translations, in groups by file. A new operator is one
// function and one line in its group's table.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_OPS_H_
#define FIRN_RUNTIME_IMPORT_ONNX_OPS_H_

#include <span>
#include <string_view>

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

struct Operator {
  std::string_view type;
  Status (*translate)(Context&);
};

std::span<const Operator> attention_operators();
std::span<const Operator> binary_operators();
std::span<const Operator> constant_operators();
std::span<const Operator> contrib_operators();
std::span<const Operator> conv_operators();
std::span<const Operator> index_operators();
std::span<const Operator> integer_operators();
std::span<const Operator> layout_operators();
std::span<const Operator> matrix_operators();
std::span<const Operator> norm_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> qlinear_operators();
std::span<const Operator> quant_operators();
std::span<const Operator> recurrent_operators();
std::span<const Operator> reduce_operators();
std::span<const Operator> region_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> select_operators();
std::span<const Operator> shape_operators();
std::span<const Operator> unary_operators();

// Of the domain com.microsoft.
std::span<const Operator> qlinear_contrib_operators();

// Of the domain "" (ai.onnx) or com.microsoft; null where there is none of this type, or it meant
// something else in that opset.
const Operator* find_operator(std::string_view domain, std::string_view type, int64_t opset);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_OPS_H_
