// SPDX-License-Identifier: Apache-2.0
// Signal-to-noise ratios and the matching of names.
#include "quant/report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace firn {

void Sqnr::add(std::span<const float> reference, std::span<const float> other) {
  // In lanes, so that it vectorizes; where squares leave the range of floats, one by one.
  constexpr size_t kLanes = 16, kBlock = 1024;
  constexpr double kSmallest = 0x1p-60;
  for (size_t begin = 0; begin < reference.size(); begin += kBlock) {
    const size_t n = std::min(kBlock, reference.size() - begin), even = n / kLanes * kLanes;
    const std::span<const float> r = reference.subspan(begin, n), o = other.subspan(begin, n);
    float squares[kLanes] = {}, errors[kLanes] = {};
    for (size_t i = 0; i < even; i += kLanes)
      for (size_t l = 0; l < kLanes; ++l) {
        const float want = r[i + l], error = want - o[i + l];
        squares[l] += want * want;
        errors[l] += error * error;
      }
    Sqnr sum;
    for (size_t l = 0; l < kLanes; ++l)
      sum = {sum.signal + double{squares[l]}, sum.noise + double{errors[l]}};
    size_t next = even;
    if (!std::isfinite(sum.signal) || !std::isfinite(sum.noise) || sum.signal < kSmallest) {
      sum = {};
      next = 0;
    }
    for (; next < n; ++next) sum.add(r[next], o[next]);
    signal += sum.signal;
    noise += sum.noise;
  }
}

void Sqnr::add(double reference, double other) {
  if (std::isfinite(reference)) signal += reference * reference;
  if (reference == other || (std::isnan(reference) && std::isnan(other))) return;
  const double error = reference - other;
  noise += std::isfinite(error) ? error * error : std::numeric_limits<double>::infinity();
}

double Sqnr::db() const {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

double sqnr_db(std::span<const float> reference, std::span<const float> other) {
  Sqnr sqnr;
  sqnr.add(reference, other);
  return sqnr.db();
}

bool matches_layer(std::string_view pattern, std::string_view name, std::string_view op) {
  constexpr std::string_view kType = "type:";
  return pattern.starts_with(kType) ? matches(pattern.substr(kType.size()), op)
                                    : matches(pattern, name);
}

// Greedy: a mismatch goes back to the last star and lets it take one character more.
bool matches(std::string_view pattern, std::string_view text) {
  constexpr size_t kNone = std::string_view::npos;
  size_t p = 0, star = kNone, resume = 0;
  for (size_t t = 0; t < text.size();) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != kNone) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace firn
