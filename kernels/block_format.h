// SPDX-License-Identifier: Apache-2.0
// How weights of 2 to 8 bits lie in memory for gemm_wn: the same on every machine.
//
// A panel holds 16 output columns: groups of 32 values of k, then the scales of its blocks, then,
// where there are, their zero points. Numbers are unsigned: u = q + 2^(bits - 1).
//
// A group is 8 steps of 64 numbers, [16 columns][4 values of k]. Its bits are cut into planes of 4,
// 2 and 1 bits, as the binary digits of `bits` say (8: one of 8), the lowest bits of u in the
// first. A plane of w bits takes w rows of 64 bytes: byte i of row j has number i of the steps j *
// 8 / w on, the first in its lowest bits. So a few shifts and masks of whole vectors unpack any
// number of bits.
#ifndef FIRN_KERNELS_BLOCK_FORMAT_H_
#define FIRN_KERNELS_BLOCK_FORMAT_H_

#include <stddef.h>
#include <stdint.h>

namespace firn::kernels {

// n columns (outputs) of k weights, every `block` of a column's with a scale.
struct WeightShape {
  size_t n = 1, k = 1;
  int32_t bits = 4;    // 2 to 8
  size_t block = 32;   // 32, 64, 128 or 256; the last of a column may be shorter
  bool zeros = false;  // a zero point each, too
};

inline constexpr size_t kWnColumns = 16;
inline constexpr size_t kWnGroup = 32, kWnSteps = 8;
inline constexpr size_t kWnStepBytes = 64;
inline constexpr size_t kWnLongestBlock = 256;

constexpr size_t wn_groups(const WeightShape& s) {
  return (s.k + kWnGroup - 1) / kWnGroup;
}
constexpr size_t wn_blocks(const WeightShape& s) {
  return (s.k + s.block - 1) / s.block;
}
constexpr size_t wn_panels(const WeightShape& s) {
  return (s.n + kWnColumns - 1) / kWnColumns;
}
constexpr size_t wn_group_bytes(int32_t bits) {
  return kWnStepBytes * static_cast<size_t>(bits);
}
// Where a panel's scales, 16 floats a block, and zero points, 16 bytes a block, begin.
constexpr size_t wn_scale_offset(const WeightShape& s) {
  return wn_groups(s) * wn_group_bytes(s.bits);
}
constexpr size_t wn_zero_offset(const WeightShape& s) {
  return wn_scale_offset(s) + wn_blocks(s) * kWnColumns * sizeof(float);
}
// Between panels: a multiple of 64.
constexpr size_t wn_panel_bytes(const WeightShape& s) {
  const size_t zeros = s.zeros ? wn_blocks(s) * kWnColumns : 0;
  return (wn_zero_offset(s) + zeros + 63) / 64 * 64;
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_BLOCK_FORMAT_H_
