// SPDX-License-Identifier: Apache-2.0
// Copies between two strided layouts: what transposes, slices, expansions and
// concatenations are made of.
#ifndef FIRN_RUNTIME_LOWER_STRIDED_COPY_H_
#define FIRN_RUNTIME_LOWER_STRIDED_COPY_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/parallel.h"
#include "runtime/geometry.h"

namespace firn {

// Element (i0, i1, ...) of `extent` goes from from_offset + sum(i * from_stride) to to_offset +
// sum(i * to_stride); all in elements. Strides may be negative.
struct StridedCopy {
  int rank = 0;
  std::array<int64_t, kMaxRank> extent{};
  Strides from_stride{}, to_stride{};
  int64_t from_offset = 0, to_offset = 0;
};

// Drops dimensions of extent 1 and merges those that lie behind one another on both sides.
StridedCopy simplified(const StridedCopy& copy);

// Elements of 1, 2, 4 or 8 bytes. Reads and writes nothing else. Large ones are shared by threads.
void run(const StridedCopy& copy, size_t element_bytes, const void* from, void* to,
         kernels::Pool& pool);

}  // namespace firn

#endif  // FIRN_RUNTIME_LOWER_STRIDED_COPY_H_
