// SPDX-License-Identifier: Apache-2.0
// Small tools of reports and options: signal-to-noise ratios and name patterns.
#ifndef FIRN_QUANT_REPORT_H_
#define FIRN_QUANT_REPORT_H_

#include <span>
#include <string_view>

namespace firn {

// Signal-to-quantization-noise ratio that can be summed up over several frames.
struct Sqnr {
  double signal = 0, noise = 0;

  // Of equal sizes. A NaN or infinity in `other` that `reference` does not share is infinite noise.
  void add(std::span<const float> reference, std::span<const float> other);
  void add(double reference, double other);
  // +inf without noise, -inf with infinite noise or without signal.
  double db() const;
};

double sqnr_db(std::span<const float> reference, std::span<const float> other);

// Whether a pattern of layers, a name with * and ? or "type:" and an operator's, describes this
// one.
bool matches_layer(std::string_view pattern, std::string_view name, std::string_view op);

// Whether the pattern describes the whole text; * stands for any characters, ? for one byte.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace firn

#endif  // FIRN_QUANT_REPORT_H_
