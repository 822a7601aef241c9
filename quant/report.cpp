// SPDX-License-Identifier: Apache-2.0
// Signal-to-noise ratios and the matching of names.
#include "quant/report.h"

#include <cmath>
#include <cstddef>
#include <limits>

namespace firn {

void Sqnr::add(std::span<const float> reference, std::span<const float> other) {
  for (size_t i = 0; i < reference.size(); ++i) {
    const double r = reference[i], o = other[i];
    if (std::isfinite(r)) signal += r * r;
    if (r == o || (std::isnan(r) && std::isnan(o))) continue;
    const double error = r - o;
    noise += std::isfinite(error) ? error * error : std::numeric_limits<double>::infinity();
  }
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
