// SPDX-License-Identifier: Apache-2.0
// Weight-only quantization, with what is known of the activations.
#ifndef FIRN_QUANT_QUANTIZE_WEIGHTS_H_
#define FIRN_QUANT_QUANTIZE_WEIGHTS_H_

#include <map>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "runtime/model_impl.h"

namespace firn {

// Means of the innermost dimension's channels, by value.
using ChannelMeans = std::map<std::string, std::vector<double>>;

// As the public quantize_weights(). Layers whose input's means are given have their biases
// corrected (Nagel et al., 2019, section 4.2, with measured means); the others' rows are balanced.
Result<WeightModel> quantize_weights(const ModelImpl& model, const WeightOptions& options,
                                     const ChannelMeans& means);

}  // namespace firn

#endif  // FIRN_QUANT_QUANTIZE_WEIGHTS_H_
