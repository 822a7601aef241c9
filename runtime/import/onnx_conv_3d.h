// SPDX-License-Identifier: Apache-2.0
// Convolutions over three spatial dimensions.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_CONV_3D_H_
#define FIRN_RUNTIME_IMPORT_ONNX_CONV_3D_H_

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

// The node's attributes say the rest. The bias may be none. unsupported: sizes but the batch that
// are open, SAME padding, and of the transposed one output_shape.
Result<ValueId> conv_3d(Context& c, ValueId x, ValueId w, ValueId bias);
Result<ValueId> conv_transpose_3d(Context& c, ValueId x, ValueId w, ValueId bias);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_CONV_3D_H_
