// SPDX-License-Identifier: Apache-2.0
// Bias correction on frames: takes back the shift of each layer's output that is measured with all
// that comes before it quantized.
#ifndef FIRN_QUANT_MEASURE_BIAS_H_
#define FIRN_QUANT_MEASURE_BIAS_H_

#include <memory>
#include <span>

#include "quant/refine.h"

namespace firn {

// What to add to a channel's output that is off by sums[f] over counts[f] samples of frame f: the
// mean, shrunk towards 0 by how much it varies among frames (the positive part of James and Stein,
// "Estimation with Quadratic Loss", 1961, with the variance of a ratio of sums over clusters:
// Cochran, "Sampling Techniques", 1977, section 6.3). 0 without samples in two frames.
double shrunk_shift(std::span<const double> sums, std::span<const double> counts);

// The quantized graph with other biases of its int8 layers, or itself where those bring its outputs
// no closer to the float graph's on all of these frames, `kept` and `held`. Measured on `kept`
// alone: one layer after the other, in order, each with the inputs that the corrected layers before
// it then give, over outputs that no clamp holds. Both graphs' layers have the same names.
// Empirical bias correction as in Nagel et al., "Data-Free Quantization Through Weight Equalization
// and Bias Correction", ICCV 2019, appendix D. Runs the quantized graph up to every layer on every
// frame.
Result<std::shared_ptr<const Graph>> correct_biases(const SessionImpl& impl,
                                                    const std::shared_ptr<const Graph>& original,
                                                    const std::shared_ptr<const Graph>& quantized,
                                                    Frames kept, Frames held);

}  // namespace firn

#endif  // FIRN_QUANT_MEASURE_BIAS_H_
