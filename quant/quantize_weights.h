// SPDX-License-Identifier: Apache-2.0
// Weight-only quantization, with what is known of the activations.
#ifndef FIRN_QUANT_QUANTIZE_WEIGHTS_H_
#define FIRN_QUANT_QUANTIZE_WEIGHTS_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "runtime/model_impl.h"

namespace firn {

// Means of the innermost dimension's channels, by value.
using ChannelMeans = std::map<std::string, std::vector<double>>;

// A layer's bits, and weights that share a scale, or 0: those of a row.
struct WeightChoice {
  int bits = 4, block = 32;
  bool operator==(const WeightChoice&) const = default;
};
// By layer.
using WeightChoices = std::map<std::string, WeightChoice>;

// As the public quantize_weights(). Layers whose input's means are given have their biases
// corrected (Nagel et al., 2019, section 4.2, with measured means); the others' rows are balanced.
// Choices, where given, take the place of the options' bits and blocks; other layers stay in float.
Result<WeightModel> quantize_weights(const ModelImpl& model, const WeightOptions& options,
                                     const ChannelMeans& means,
                                     const WeightChoices* choices = nullptr);
// The same of a graph alone.
Result<Graph> with_few_bits(const Graph& graph, const WeightOptions& options,
                            const ChannelMeans& means, const WeightChoices* choices);

// A layer whose weights can have few bits, and those that no layer before it reads.
struct StoredLayer {
  struct Weights {
    std::span<const float> values;
    size_t row;  // that many share a scale at the most
  };
  std::string name;
  std::vector<Weights> weights;
};
Result<std::vector<StoredLayer>> layers_to_store(const Graph& graph, const WeightOptions& options);

}  // namespace firn

#endif  // FIRN_QUANT_QUANTIZE_WEIGHTS_H_
