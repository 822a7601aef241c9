// SPDX-License-Identifier: Apache-2.0
// Loops over the elements of a shape where several tensors are read or written, each by strides of
// its own: what broadcasting operators are made of.
#ifndef FIRN_RUNTIME_LOWER_STRIDED_LOOP_H_
#define FIRN_RUNTIME_LOWER_STRIDED_LOOP_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "runtime/geometry.h"

namespace firn {

struct StridedLoop {
  static constexpr size_t kOperands = 4;
  using Offsets = std::array<int64_t, kOperands>;

  size_t rank = 0;  // at least 1; dimension rank - 1 is the innermost
  size_t elements = 0;
  std::array<int64_t, kMaxRank> extent{};
  std::array<Offsets, kMaxRank> stride{};  // per dimension: of each operand

  const Offsets& inner() const { return stride[rank - 1]; }
};

// Dimensions of 1 dropped, and merged where all operands allow it.
StridedLoop strided_loop(const Shape& shape, std::initializer_list<Strides> operands);

// Calls f(offsets, n) for elements [begin, end) in order, in runs along the innermost dimension:
// n elements from `offsets` on, inner() apart.
template <typename F>
void for_runs(const StridedLoop& loop, size_t begin, size_t end, F&& f) {
  std::array<int64_t, kMaxRank> index{};
  StridedLoop::Offsets at{};
  size_t rest = begin;
  for (size_t d = loop.rank; d-- > 0;) {
    const auto extent = static_cast<size_t>(loop.extent[d]);
    index[d] = static_cast<int64_t>(rest % extent);
    rest /= extent;
    for (size_t k = 0; k < at.size(); ++k) at[k] += index[d] * loop.stride[d][k];
  }
  const size_t last = loop.rank - 1;
  const auto step = [&](size_t d, int64_t count) {
    index[d] += count;
    for (size_t k = 0; k < at.size(); ++k) at[k] += count * loop.stride[d][k];
  };
  while (begin < end) {
    const int64_t left = loop.extent[last] - index[last];
    const int64_t n = std::min(left, static_cast<int64_t>(end - begin));
    f(at, static_cast<size_t>(n));
    begin += static_cast<size_t>(n);
    step(last, n);
    for (size_t d = last; d > 0 && index[d] == loop.extent[d]; --d) {
      step(d, -loop.extent[d]);
      step(d - 1, 1);
    }
  }
}

}  // namespace firn

#endif  // FIRN_RUNTIME_LOWER_STRIDED_LOOP_H_
