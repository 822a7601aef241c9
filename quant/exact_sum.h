// SPDX-License-Identifier: Apache-2.0
// Sums of floats without rounding, so that their order changes nothing.
#ifndef FIRN_QUANT_EXACT_SUM_H_
#define FIRN_QUANT_EXACT_SUM_H_

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace firn {

// A fixed-point number wide enough for every finite float, in digits of 32 bits that carry only
// when read: exact for 2^31 terms. (Kulisch, "Computer Arithmetic and Validity", 2008.)
class ExactSum {
 public:
  static constexpr size_t kDigits = 9;  // 2^-149 to 2^128, and what two digits of a term overhang

  void add(float x) {  // finite
    const uint32_t bits = std::bit_cast<uint32_t>(x), exponent = bits >> 23 & 0xff;
    const uint64_t mantissa = (bits & 0x7fffff) | (exponent > 0 ? 0x800000u : 0);
    const uint32_t place = exponent > 0 ? exponent - 1 : 0;  // of the mantissa, from 2^-149
    const uint64_t shifted = mantissa << place % 32;
    const int64_t sign = bits >> 31 ? -1 : 1;
    digits_[place / 32] += sign * static_cast<int64_t>(shifted & 0xffffffff);
    digits_[place / 32 + 1] += sign * static_cast<int64_t>(shifted >> 32);
  }
  void merge(const ExactSum& other) {
    for (size_t i = 0; i < kDigits; ++i) digits_[i] += other.digits_[i];
  }
  double value() const {
    double sum = 0;
    for (size_t i = kDigits; i-- > 0;)
      sum += std::ldexp(static_cast<double>(digits_[i]), static_cast<int>(i) * 32 - 149);
    return sum;
  }

  const std::array<int64_t, kDigits>& digits() const { return digits_; }
  static ExactSum of(const std::array<int64_t, kDigits>& digits) {
    ExactSum sum;
    sum.digits_ = digits;
    return sum;
  }
  bool operator==(const ExactSum&) const = default;

 private:
  std::array<int64_t, kDigits> digits_{};
};

}  // namespace firn

#endif  // FIRN_QUANT_EXACT_SUM_H_
