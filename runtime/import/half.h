// SPDX-License-Identifier: Apache-2.0
// IEEE 754 binary16, as weights are stored in.
#ifndef FIRN_RUNTIME_IMPORT_HALF_H_
#define FIRN_RUNTIME_IMPORT_HALF_H_

#include <bit>
#include <cstdint>

namespace firn::imports {

// Exact.
inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t bits = exponent == 0x1F ? 0x7F800000 | (mantissa << 13)
                                         : ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | bits);
}

}  // namespace firn::imports

#endif  // FIRN_RUNTIME_IMPORT_HALF_H_
