// SPDX-License-Identifier: Apache-2.0
// What the layers of detectors share.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_BOXES_H_
#define FIRN_RUNTIME_IMPORT_NCNN_BOXES_H_

#include "runtime/import/ncnn_context.h"

namespace firn::ncnn {

// Boxes [N,4] as x0, y0, x1, y1 from centres and sizes, [N,2] each.
Result<ValueId> box_corners(Context& c, ValueId centre, ValueId size);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_BOXES_H_
