// SPDX-License-Identifier: Apache-2.0
// Strided loops, simplified to few dimensions.
#include "runtime/lower/strided_loop.h"

namespace firn {

StridedLoop strided_loop(const Shape& shape, std::initializer_list<Strides> operands) {
  StridedLoop loop;
  loop.elements = shape.elements();
  for (size_t d = 0; d < shape.rank; ++d) {
    const int64_t extent = shape.dim[d];
    if (extent == 1) continue;
    StridedLoop::Offsets stride{}, across{};
    size_t k = 0;
    for (const Strides& operand : operands) {
      across[k] = operand[d] * extent;
      stride[k++] = operand[d];
    }
    if (loop.rank > 0 && loop.stride[loop.rank - 1] == across) {
      loop.extent[loop.rank - 1] *= extent;
      loop.stride[loop.rank - 1] = stride;
      continue;
    }
    loop.extent[loop.rank] = extent;
    loop.stride[loop.rank++] = stride;
  }
  if (loop.rank == 0) loop.extent[loop.rank++] = 1;
  return loop;
}

}  // namespace firn
