// SPDX-License-Identifier: Apache-2.0
// Searches whose number of results is a shape: inference and the reference share them.
#ifndef FIRN_RUNTIME_POSITIONS_H_
#define FIRN_RUNTIME_POSITIONS_H_

#include <cstdint>

#include "runtime/graph.h"

namespace firn {

bool is_nonzero(const Tensor& x, size_t i);
int64_t count_nonzero(const Tensor& x);

}  // namespace firn

#endif  // FIRN_RUNTIME_POSITIONS_H_
