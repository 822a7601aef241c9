// SPDX-License-Identifier: Apache-2.0
// Weights and biases of one layer to int8 and int32.
#ifndef FIRN_QUANT_WEIGHTS_H_
#define FIRN_QUANT_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "firn/status.h"
#include "runtime/int8_ops.h"

namespace firn {

// Row c: the weights of output channel c. value ~= scale[c] * weights, symmetric in [-127, 127].
// bias ~= input_scale * scale[c] * bias.
struct QuantizedWeights {
  std::vector<int8_t> weights;
  std::vector<float> scale;
  std::vector<int32_t> bias;      // empty where there is none and none is asked for
  std::vector<double> real_bias;  // what they stand for
};

// Integers for weights, and what one of each channel stands for.
struct RoundedWeights {
  std::vector<float> scale;
  std::vector<int8_t> weights;
};

// To nearest. `weights` holds channels * row finite values; a channel of zeros has the scale 0.
RoundedWeights nearest_weights(size_t channels, std::span<const float> weights, WeightScale method,
                               bool per_channel);

// How a layer's scales are found.
struct WeightGrid {
  WeightScale method = WeightScale::max_abs;
  bool per_channel = true;            // otherwise one scale for all
  std::span<const float> given = {};  // one a channel, in place of all that; positive
  // The weights' integers where somebody has chosen them: taken for channels whose scale they were
  // made for.
  const RoundedWeights* rounded = nullptr;
};

// What quantizing does to the layer's mean output: see bias_correct.h.
struct InputMeans {
  std::span<const double> mean;  // per input channel; empty: no correction
  size_t groups = 1;
};

// `weights` holds channels * row values, row <= kLongestRow, `bias` channels or none. A channel's
// scale is raised where its bias would pass 2^30 or its sums int32, and chosen by its bias where
// its weights are all zero. malformed, with the layer's name: a weight or bias is NaN or infinite.
Result<QuantizedWeights> quantize_weights(const std::string& name, size_t channels,
                                          std::span<const float> weights,
                                          std::span<const float> bias, float input_scale,
                                          const WeightGrid& grid, const InputMeans& means = {});

}  // namespace firn

#endif  // FIRN_QUANT_WEIGHTS_H_
