// SPDX-License-Identifier: Apache-2.0
// Pools over three dimensions.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_POOL_3D_H_
#define FIRN_RUNTIME_IMPORT_ONNX_POOL_3D_H_

#include "runtime/import/onnx_context.h"

namespace firn::onnx {

// x [N,C,D,H,W]; reads the window's attributes. `op` has the rest of them.
Result<ValueId> pool_3d(Context& c, ValueId x, Pool2d op);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_POOL_3D_H_
