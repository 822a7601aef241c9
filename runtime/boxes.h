// SPDX-License-Identifier: Apache-2.0
// The choice of boxes that overlap little: how many there are is a shape, so inference makes it,
// too.
#ifndef FIRN_RUNTIME_BOXES_H_
#define FIRN_RUNTIME_BOXES_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "firn/tensor.h"
#include "runtime/ops.h"

namespace firn {

struct SelectedBox {
  int64_t batch, cls, box;
};
// `in`: the operator's inputs, null where they are left out. Of each batch and class, by falling
// score, equals in their order.
std::vector<SelectedBox> select_boxes(const NonMaxSuppression& op, std::span<const Tensor> in);

}  // namespace firn

#endif  // FIRN_RUNTIME_BOXES_H_
