// SPDX-License-Identifier: Apache-2.0
// The table of ncnn layer types and their translations, in groups by file. A new layer is one
// function and one line in its group's table.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_OPS_H_
#define FIRN_RUNTIME_IMPORT_NCNN_OPS_H_

#include <span>
#include <string_view>

#include "runtime/import/ncnn_context.h"

namespace firn::ncnn {

// Parameters that ncnn's layer of that type does not read have no meaning and are passed over; one
// that it reads and firn does not support is refused by the translation.
struct Operator {
  std::string_view type;
  Status (*translate)(Context&);
};

std::span<const Operator> activation_operators();
std::span<const Operator> arithmetic_operators();
std::span<const Operator> attention_operators();
std::span<const Operator> conv_operators();
std::span<const Operator> detect_operators();
std::span<const Operator> layout_operators();
std::span<const Operator> matrix_operators();
std::span<const Operator> norm_operators();
std::span<const Operator> patch_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> prior_operators();
std::span<const Operator> recurrent_operators();
std::span<const Operator> reduce_operators();
std::span<const Operator> region_operators();
std::span<const Operator> resize_operators();
std::span<const Operator> select_operators();

// Null where there is none of this type.
const Operator* find_operator(std::string_view type);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_OPS_H_
