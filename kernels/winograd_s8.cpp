// SPDX-License-Identifier: Apache-2.0
// The table of Winograd convolutions, and when one is worth it.
#include "kernels/winograd_s8.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace firn::kernels {

#define FIRN_VARIANT(isa) extern const WinogradS8 winograd_s8_##isa;
#include "kernels/winograd_s8.inc"
#undef FIRN_VARIANT

std::span<const WinogradS8* const> winograd_s8_table() {
#define FIRN_VARIANT(isa) &winograd_s8_##isa,
  static constexpr const WinogradS8* kTable[] = {
#include "kernels/winograd_s8.inc"
      nullptr};  // no array is empty
#undef FIRN_VARIANT
  return std::span(kTable).first(std::size(kTable) - 1);
}

bool winograd_s8_takes(const ConvShape& s, const int8_t* weights) {
  if (s.kernel_h != 3 || s.kernel_w != 3 || s.stride_h != 1 || s.stride_w != 1 ||
      s.dilation_h != 1 || s.dilation_w != 1 || s.groups != 1 || s.repeat != 1)
    return false;
  constexpr int64_t kMost = (int64_t{1} << 25) / 128;  // the sum of a filter's absolute weights
  const int64_t filter = int64_t{9} * s.in_c;
  for (int32_t n = 0; n < s.out_c; ++n, weights += filter) {
    int64_t sum = 0;
    for (int64_t i = 0; i < filter; ++i) sum += std::abs(int32_t{weights[i]});
    if (sum >= kMost) return false;
  }
  return true;
}

const WinogradS8* pick_winograd_s8(const ConvShape& s, IsaMask allowed) {
  const Isa direct = pick_gemm_s8(s, allowed).isa;
  for (const WinogradS8* variant : winograd_s8_table()) {
    if (variant->isa != direct) continue;
    const int64_t tiles = int64_t{s.batch} * ((s.out_h + 3) / 4) * ((s.out_w + 3) / 4);
    const bool worth = tiles >= variant->least_tiles && s.in_c >= variant->least_channels &&
                       s.out_c >= variant->least_channels;
    return worth ? variant : nullptr;
  }
  return nullptr;
}

}  // namespace firn::kernels
