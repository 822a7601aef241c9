// SPDX-License-Identifier: Apache-2.0
// Copies that find each element by one table per dimension: what pads, tiles and nearest resizes
// are made of.
#ifndef FIRN_RUNTIME_LOWER_TABLE_COPY_H_
#define FIRN_RUNTIME_LOWER_TABLE_COPY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/parallel.h"
#include "runtime/geometry.h"

namespace firn {

// The copy from x, dense, to y, dense and of the same rank.
class TableCopy {
 public:
  static constexpr int64_t kFill = -1;

  // source[d][i]: the index along dimension d of x that index i of y takes, or kFill.
  TableCopy(const Shape& x, const Shape& y, std::span<const std::vector<int64_t>> source,
            size_t element_bytes);

  // Elements without a source become `fill`, which has element_bytes bytes.
  void run(const std::byte* from, std::byte* to, const std::byte* fill, kernels::Pool& pool) const;

 private:
  // Neighbours in y that are neighbours in x, too: bytes of a row; kFill where they have no source.
  struct Piece {
    int64_t from;
    size_t bytes;
  };
  std::vector<std::vector<int64_t>> rows_;  // outer dimensions: offsets in bytes, or kFill
  std::vector<Piece> pieces_;               // of the innermost dimension
  size_t row_count_ = 1, row_bytes_ = 0, element_bytes_;
};

}  // namespace firn

#endif  // FIRN_RUNTIME_LOWER_TABLE_COPY_H_
