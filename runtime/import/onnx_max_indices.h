// SPDX-License-Identifier: Apache-2.0
// MaxPool's second output.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_MAX_INDICES_H_
#define FIRN_RUNTIME_IMPORT_ONNX_MAX_INDICES_H_

#include "runtime/import/onnx_window.h"

namespace firn::onnx {

// For x [N,C,H,W] and the shape of its maxima: which of x's elements they are, i64, counted row by
// row, or with by_columns column by column of each image. unsupported where a size is open.
Result<ValueId> max_indices(Context& c, ValueId x, const Window& window, Shape pooled,
                            bool by_columns);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_MAX_INDICES_H_
