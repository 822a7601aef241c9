// SPDX-License-Identifier: Apache-2.0
// Strided copies, simplified to few loops, with a tiled one for transposes.
#include "runtime/lower/strided_copy.h"

#include <algorithm>
#include <cstring>

namespace firn {
namespace {

constexpr int64_t kTile = 32;

// A plane whose source is contiguous along the outer index and whose target along the inner one: in
// tiles, so that every cache line is used whole.
template <typename T>
void transpose_plane(const T* from, T* to, int64_t outer, int64_t inner, int64_t from_inner,
                     int64_t to_outer) {
  for (int64_t o = 0; o < outer; o += kTile) {
    const int64_t o_end = std::min(outer, o + kTile);
    for (int64_t i = 0; i < inner; i += kTile) {
      const int64_t i_end = std::min(inner, i + kTile);
      for (int64_t oo = o; oo < o_end; ++oo)
        for (int64_t ii = i; ii < i_end; ++ii) to[oo * to_outer + ii] = from[oo + ii * from_inner];
    }
  }
}

// The same for the few planes of a picture, whole and interleaved: the inner loop unrolled.
template <int kPlanes, typename T>
void interleave(const T* __restrict from, T* __restrict to, int64_t pixels, int64_t plane) {
  for (int64_t i = 0; i < pixels; ++i)
    for (int p = 0; p < kPlanes; ++p) to[i * kPlanes + p] = from[i + p * plane];
}

template <typename T>
void copy_level(const StridedCopy& c, int level, const T* from, T* to) {
  const auto l = static_cast<size_t>(level);
  const int64_t n = c.extent[l], fs = c.from_stride[l], ts = c.to_stride[l];
  if (level + 1 == c.rank) {
    if (fs == 1 && ts == 1) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * ts] = from[i * fs];
    }
    return;
  }
  if (level + 2 == c.rank && fs == 1 && c.to_stride[l + 1] == 1) {
    const int64_t inner = c.extent[l + 1], from_inner = c.from_stride[l + 1];
    if (inner == 3 && ts == 3) return interleave<3>(from, to, n, from_inner);
    if (inner == 4 && ts == 4) return interleave<4>(from, to, n, from_inner);
    return transpose_plane(from, to, n, inner, from_inner, ts);
  }
  for (int64_t i = 0; i < n; ++i) copy_level(c, level + 1, from + i * fs, to + i * ts);
}

template <typename T>
void copy_all(const StridedCopy& c, const void* from, void* to) {
  const T* f = static_cast<const T*>(from) + c.from_offset;
  T* t = static_cast<T*>(to) + c.to_offset;
  if (c.rank == 0) {
    *t = *f;
  } else {
    copy_level(c, 0, f, t);
  }
}

}  // namespace

StridedCopy simplified(const StridedCopy& copy) {
  StridedCopy out;
  out.from_offset = copy.from_offset;
  out.to_offset = copy.to_offset;
  for (size_t i = 0; i < static_cast<size_t>(copy.rank); ++i) {
    if (copy.extent[i] == 1) continue;
    const auto last = static_cast<size_t>(out.rank) - 1;
    if (out.rank > 0 && out.from_stride[last] == copy.from_stride[i] * copy.extent[i] &&
        out.to_stride[last] == copy.to_stride[i] * copy.extent[i]) {
      out.extent[last] *= copy.extent[i];
      out.from_stride[last] = copy.from_stride[i];
      out.to_stride[last] = copy.to_stride[i];
      continue;
    }
    const auto next = static_cast<size_t>(out.rank++);
    out.extent[next] = copy.extent[i];
    out.from_stride[next] = copy.from_stride[i];
    out.to_stride[next] = copy.to_stride[i];
  }
  return out;
}

namespace {

void run(const StridedCopy& copy, size_t element_bytes, const void* from, void* to) {
  switch (element_bytes) {
    case 1:
      return copy_all<uint8_t>(copy, from, to);
    case 2:
      return copy_all<uint16_t>(copy, from, to);
    case 4:
      return copy_all<uint32_t>(copy, from, to);
    default:
      return copy_all<uint64_t>(copy, from, to);
  }
}

}  // namespace

void run(const StridedCopy& copy, size_t element_bytes, const void* from, void* to,
         kernels::Pool& pool) {
  int64_t elements = 1;
  for (int i = 0; i < copy.rank; ++i) elements *= copy.extent[static_cast<size_t>(i)];
  if (elements == 0) return;
  constexpr int64_t kGrain = int64_t{1} << 15;  // elements worth a wake-up
  if (copy.rank == 0 || elements <= kGrain) return run(copy, element_bytes, from, to);
  const int64_t row = elements / copy.extent[0];
  // Whole tiles of a transposed plane.
  const int64_t grain = ((kGrain + row - 1) / row + kTile - 1) / kTile * kTile;
  pool.parallel_for(static_cast<size_t>(copy.extent[0]), static_cast<size_t>(grain),
                    [&](size_t begin, size_t end) {
                      const auto first = static_cast<int64_t>(begin);
                      StridedCopy part = copy;
                      part.extent[0] = static_cast<int64_t>(end) - first;
                      part.from_offset += first * copy.from_stride[0];
                      part.to_offset += first * copy.to_stride[0];
                      run(part, element_bytes, from, to);
                    });
}

}  // namespace firn
