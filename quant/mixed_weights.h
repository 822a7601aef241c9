// SPDX-License-Identifier: Apache-2.0
// Bits and blocks for the weights of each layer, so that a limit on the outputs' error holds at a
// small size: what errors cost is measured layer by layer, what they are is known for every choice.
#ifndef FIRN_QUANT_MIXED_WEIGHTS_H_
#define FIRN_QUANT_MIXED_WEIGHTS_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "quant/quantize_weights.h"

namespace firn {

// A way to store a layer's weights.
struct WeightOption {
  WeightChoice choice;
  size_t bytes = 0;
  double error = 0;  // of the weights: squared, summed
  double noise = 0;  // of the outputs: power relative to the signal's
};

struct WeightCandidate {
  std::string name;
  std::vector<WeightOption> options;
};

// Every layer that options let have few bits, with 2 to 8 bits and blocks of 32, 64, 128 or a whole
// row. Errors are those of max_abs rounding, of some rows where there are many; no noise yet.
Result<std::vector<WeightCandidate>> weight_candidates(const Graph& graph,
                                                       const WeightOptions& options);

// From what two options of a layer were measured to cost, the noise of all: a power of the error.
void predict_noise(WeightCandidate& candidate, const WeightOption& coarse,
                   const WeightOption& fine);

// Steps from the best options of all layers to the smallest, those first that add least noise for
// the bytes they save. Of a layer's options only those on the convex hull of bytes and noise.
class WeightPath {
 public:
  explicit WeightPath(std::span<const WeightCandidate> candidates);
  size_t steps() const { return steps_.size(); }
  // After so many steps.
  WeightChoices choices(size_t steps) const;

 private:
  struct Step {
    size_t layer;
    WeightChoice to;
    double noise_per_byte;
  };
  std::span<const WeightCandidate> candidates_;
  std::vector<WeightChoice> best_;  // per layer
  std::vector<Step> steps_;
};

// The least SQNR of the outputs in dB with these layers' weights so, all others in float.
using MeasureWeightsDb = std::function<Result<double>(const WeightChoices&)>;

// Choices for all layers with which `measure_all` gives at least the limit. Calls `measure_one`
// twice a layer, with that layer alone, and `measure_all` about as often as the number of steps has
// bits. refused, with what the best options give, where they do not reach the limit.
Result<WeightChoices> choose_weights(std::vector<WeightCandidate> candidates, double limit_db,
                                     const MeasureWeightsDb& measure_one,
                                     const MeasureWeightsDb& measure_all);

}  // namespace firn

#endif  // FIRN_QUANT_MIXED_WEIGHTS_H_
