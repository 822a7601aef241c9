// SPDX-License-Identifier: Apache-2.0
// Searches what a channel's sums start from to be floats.
#include "kernels/float_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace firn::kernels {
namespace {

constexpr int64_t kFirst = int64_t{1} << 23, kLast = 2 * kFirst - 1;  // C and C + sum
// Products of larger sums are not all told apart by floats, and half of all C are left.
constexpr int64_t kMost = 1 << 22;
// How many units C * scale may be beside a float. Each number has a chance of one in a few.
constexpr int64_t kMaxBeside = 1 << 12;

FloatSum make(int64_t c, double offset) {
  return {std::bit_cast<int32_t>(static_cast<float>(c)), static_cast<float>(offset)};
}

// Whether x and x + beside are rounded to a float and then to the same integer, for all products x
// of a sum and the scale that are nearest to the middle between two outputs.
bool same_outputs(double scale, double beside, const Clamp8& clamp) {
  constexpr double kRound = 0x1.8p52;  // added, leaves integers
  constexpr float kRoundFloat = 0x1.8p23f;
  const double inverse = 1 / scale;
  int different = 0;
  for (int y = clamp.lo - clamp.zero - 1; y <= clamp.hi - clamp.zero; ++y) {
    const double x = ((y + 0.5) * inverse + kRound - kRound) * scale;
    const auto now = static_cast<float>(x), then = static_cast<float>(x + beside);
    different += now + kRoundFloat != then + kRoundFloat ? 1 : 0;
  }
  return different == 0;
}

// Of an odd number, modulo 2^32, by Newton's iteration: each step doubles the digits, the number
// itself has 3.
uint32_t inverse_of(uint32_t odd) {
  uint32_t x = odd;
  for (int i = 0; i < 4; ++i) x *= 2 - odd * x;
  return x;
}

}  // namespace

bool find_float_sum(float scale, int64_t least, int64_t most, const Clamp8& clamp, FloatSum& out) {
  if (!(scale >= 0 && scale < 1)) return false;
  if (least <= INT32_MIN) return false;  // sums may have begun anew at INT32_MAX
  const double exact = scale;
  if (clamp.lo == clamp.zero) {
    out = {kFloatBits, -kFloatStart * scale};
    return most <= kLargestFloatSum;
  }
  if (least < -kMost || most > kMost || most - least > kMost) return false;
  // C is at least, and at most, or sums would leave the range.
  const int64_t low = kFirst - std::min<int64_t>(least, 0);
  const int64_t high = kLast - std::max<int64_t>(most, 0);
  if (exact * static_cast<double>(std::max(-least, most) + 1) < 0.5) {
    // All outputs are the zero point.
    out = make(low, -exact * static_cast<double>(low));
    return true;
  }
  // scale = odd * unit, with so many digits.
  int exponent;
  const auto mantissa = static_cast<uint32_t>(std::ldexp(std::frexp(exact, &exponent), 24));
  const int zeros = std::countr_zero(mantissa), digits = 24 - zeros;
  const uint32_t odd = mantissa >> zeros;
  const double unit = std::ldexp(1.0, exponent - digits);
  // C * odd has to be so many units more than a multiple of 2^digits: that has 24 digits at most.
  const uint32_t inverse = inverse_of(odd);
  const int64_t period = int64_t{1} << digits;
  for (int64_t i = 0; i <= 2 * kMaxBeside; ++i) {
    const int64_t beside = i % 2 == 0 ? -i / 2 : i / 2 + 1;
    const int64_t remainder = (static_cast<uint32_t>(beside) * inverse) & (period - 1);
    const int64_t c = low + ((remainder - low) & (period - 1));
    if (c > high) continue;
    const double added = static_cast<double>(beside) * unit;
    if (beside != 0 && !same_outputs(exact, added, clamp)) continue;
    out = make(c, added - exact * static_cast<double>(c));
    return true;
  }
  return false;
}

}  // namespace firn::kernels
