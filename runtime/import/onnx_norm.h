// SPDX-License-Identifier: Apache-2.0
// Normalization over axes, shared by the operators that are made of it.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_NORM_H_
#define FIRN_RUNTIME_IMPORT_ONNX_NORM_H_

#include <vector>

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

struct Normalized {
  ValueId y = ValueId::none, mean = ValueId::none, deviation = ValueId::none;
};

// x over the root of its mean square along `axes`, after its mean was taken off where `centre`.
Result<Normalized> normalize(Context& c, ValueId x, const std::vector<int32_t>& axes, float epsilon,
                             bool centre);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_NORM_H_
