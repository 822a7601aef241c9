// SPDX-License-Identifier: Apache-2.0
// Bias correction: takes back the shift of a layer's mean output that rounding its weights makes.
#ifndef FIRN_QUANT_BIAS_CORRECT_H_
#define FIRN_QUANT_BIAS_CORRECT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace firn {

// For each output channel the expected value of (quantized - float) output, given the means of the
// input channels: the sum over taps and input channels of (scale * quantized - weight) * mean.
// Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight Equalization and
// Bias Correction", ICCV 2019, section 4.2, with measured means. Taps on padding count as if they
// saw the mean as well.
// Row c of `weights` and `quantized` is [taps][input_mean.size() / groups], channels in group
// order.
std::vector<double> expected_shift(std::span<const float> weights,
                                   std::span<const int8_t> quantized, std::span<const float> scale,
                                   std::span<const double> input_mean, size_t groups);

}  // namespace firn

#endif  // FIRN_QUANT_BIAS_CORRECT_H_
