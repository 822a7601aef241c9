// SPDX-License-Identifier: Apache-2.0
// The expected shift of a layer's output from its weights' rounding errors and its input's means.
#include "quant/bias_correct.h"

namespace firn {

std::vector<double> expected_shift(std::span<const float> weights,
                                   std::span<const int8_t> quantized, std::span<const float> scale,
                                   std::span<const double> input_mean, size_t groups) {
  const size_t channels = scale.size(), row = weights.size() / channels;
  const size_t in_per_group = input_mean.size() / groups, out_per_group = channels / groups;
  std::vector<double> shift(channels);
  for (size_t c = 0; c < channels; ++c) {
    const double* mean = input_mean.data() + c / out_per_group * in_per_group;
    for (size_t tap = 0; tap < row; tap += in_per_group) {
      const size_t at = c * row + tap;
      for (size_t i = 0; i < in_per_group; ++i) {
        const double error = static_cast<double>(scale[c]) * quantized[at + i] - weights[at + i];
        shift[c] += error * mean[i];
      }
    }
  }
  return shift;
}

}  // namespace firn
