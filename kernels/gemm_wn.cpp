// SPDX-License-Identifier: Apache-2.0
// The table of products with weights of few bits, packing, and the scalar variant: the meaning of
// all others.
#include "kernels/gemm_wn.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace firn::kernels {
namespace {

struct Plane {
  int32_t width = 0, shift = 0;
};

using Planes = std::array<Plane, 3>;

// Of `bits`, in order; the rest are empty.
Planes planes_of(int32_t bits) {
  Planes planes{};
  size_t count = 0;
  int32_t shift = 0;
  for (const int32_t width : {8, 4, 2, 1}) {
    if ((bits & width) == 0) continue;
    planes[count++] = {width, shift};
    shift += width;
  }
  return planes;
}

// Calls f(byte, lowest bit there, plane) for each plane of number i of a step.
template <typename F>
void for_planes(const Planes& planes, size_t step, size_t i, const F& f) {
  size_t row = 0;
  for (const Plane& plane : planes) {
    if (plane.width == 0) break;
    const auto width = static_cast<size_t>(plane.width), each = 8 / width;
    f((row + step / each) * kWnStepBytes + i, step % each * width, plane);
    row += width;
  }
}

// u at k of a column of the panel.
int32_t unsigned_at(const WeightShape& s, const uint8_t* panel, size_t column, size_t k) {
  const uint8_t* group = panel + k / kWnGroup * wn_group_bytes(s.bits);
  int32_t u = 0;
  for_planes(planes_of(s.bits), k % kWnGroup / 4, column * 4 + k % 4,
             [&](size_t at, size_t bit, const Plane& plane) {
               u |= (group[at] >> bit & ((1 << plane.width) - 1)) << plane.shift;
             });
  return u;
}

void quantize_row(const WeightShape& s, const float* x, const RowsWN& out) {
  uint32_t most = 0;
  for (size_t i = 0; i < s.k; ++i) most = std::max(most, std::bit_cast<uint32_t>(x[i]) << 1 >> 1);
  const float m = std::bit_cast<float>(most);
  const bool zero = m < 1e-30f;
  const float inverse = zero ? 0.0f : 127.0f / m;
  out.scale[0] = zero ? 0.0f : m / 127.0f;
  std::fill_n(out.sums, wn_blocks(s), 0);
  std::fill_n(out.q, wn_row_bytes(s), int8_t{0});
  for (size_t i = 0; i < s.k; ++i) {
    float y = x[i] * inverse;
    y = y > -127.0f ? y : -127.0f;
    y = y < 127.0f ? y : 127.0f;
    out.q[i] = static_cast<int8_t>(std::nearbyintf(y));
    out.sums[i / s.block] += out.q[i];
  }
}

void run(const WeightShape& s, const GemmWNArgs& a, size_t begin, size_t end) {
  for (size_t column = begin * kWnColumns; column < std::min(s.n, end * kWnColumns); ++column) {
    const auto* panel =
        static_cast<const uint8_t*>(a.packed) + column / kWnColumns * wn_panel_bytes(s);
    const size_t c = column % kWnColumns;
    const auto* scale = reinterpret_cast<const float*>(panel + wn_scale_offset(s));
    const uint8_t* zero = panel + wn_zero_offset(s);
    for (size_t r = 0; r < a.rows; ++r) {
      const int8_t* x = a.q + r * wn_row_bytes(s);
      float sum = 0;
      for (size_t b = 0; b < wn_blocks(s); ++b) {
        int32_t d = 0;
        const int32_t z = s.zeros ? zero[b * kWnColumns + c] : 1 << (s.bits - 1);
        for (size_t k = b * s.block; k < std::min(s.k, (b + 1) * s.block); ++k)
          d += x[k] * (unsigned_at(s, panel, c, k) - z);
        sum = sum + static_cast<float>(d) * scale[b * kWnColumns + c];
      }
      const float y = sum * a.scale[r] + (a.bias == nullptr ? 0.0f : a.bias[column]);
      const float above = a.lo > y ? a.lo : y;
      a.y[static_cast<ptrdiff_t>(r) * a.y_stride + static_cast<ptrdiff_t>(column)] =
          a.hi < above ? a.hi : above;
    }
  }
}

}  // namespace

#define FIRN_VARIANT(isa) extern const GemmWN gemm_wn_##isa;
#include "kernels/gemm_wn.inc"
#undef FIRN_VARIANT

const GemmWN gemm_wn_scalar = {"gemm_wn_scalar", Isa::scalar, quantize_row, run};

std::span<const GemmWN> gemm_wn_table() {
#define FIRN_VARIANT(isa) gemm_wn_##isa,
  static const GemmWN table[] = {
#include "kernels/gemm_wn.inc"
  };
#undef FIRN_VARIANT
  return table;
}

void pack_wn(const WeightShape& s, const int8_t* q, const float* scale, const int32_t* zero,
             void* packed) {
  const int32_t half = 1 << (s.bits - 1);
  const size_t blocks = wn_blocks(s);
  const Planes planes = planes_of(s.bits);
  std::memset(packed, 0, wn_panels(s) * wn_panel_bytes(s));
  for (size_t column = 0; column < s.n; ++column) {
    auto* panel = static_cast<uint8_t*>(packed) + column / kWnColumns * wn_panel_bytes(s);
    const size_t c = column % kWnColumns;
    for (size_t k = 0; k < s.k; ++k) {
      uint8_t* group = panel + k / kWnGroup * wn_group_bytes(s.bits);
      const int32_t u = q[column * s.k + k] + half;
      for_planes(planes, k % kWnGroup / 4, c * 4 + k % 4,
                 [&](size_t at, size_t bit, const Plane& plane) {
                   const int32_t field = u >> plane.shift & ((1 << plane.width) - 1);
                   group[at] = static_cast<uint8_t>(group[at] | field << bit);
                 });
    }
    for (size_t b = 0; b < blocks; ++b) {
      std::memcpy(panel + wn_scale_offset(s) + (b * kWnColumns + c) * sizeof(float),
                  scale + column * blocks + b, sizeof(float));
      if (s.zeros)
        panel[wn_zero_offset(s) + b * kWnColumns + c] =
            static_cast<uint8_t>(zero[column * blocks + b] + half);
    }
  }
}

}  // namespace firn::kernels
