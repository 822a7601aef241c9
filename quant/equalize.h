// SPDX-License-Identifier: Apache-2.0
// Cross-layer equalization: channels that would leave most of an int8 range unused are made larger
// by one layer's weights and smaller again by the next one's.
#ifndef FIRN_QUANT_EQUALIZE_H_
#define FIRN_QUANT_EQUALIZE_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "firn/status.h"
#include "quant/channel_classes.h"

namespace firn {

// The largest magnitudes of a value's channels, over each half of some frames: how far the halves
// differ tells what other frames may bring. Empty where the value was not seen.
struct ChannelPeaks {
  std::vector<float> half[2];
};

// A factor per class. After Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization
// Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1, with measured
// activations: these have one scale a tensor, while weights have one a channel. Factors are 1 or
// more, the root of what would make channels equal, so that the next layer's weights stay alike as
// well; and a channel stays below a clamp that it has not reached, and below its tensor's largest
// one then, by as much as the halves' peaks differ. Channels that reach a clamp keep their scale.
// `peaks` by value.
std::vector<float> activation_factors(const ChannelClasses& classes,
                                      std::span<const ChannelPeaks> peaks);

// For weights with one scale a layer: factors that give each channel's largest weights the same
// magnitude on the side that makes it and on the side that reads it, as the paper has it, but for
// channels that are small in their tensor: those must not become smaller still. Their clamps
// are to move with them; the paper opens those.
std::vector<float> weight_factors(const Graph& graph, const ChannelClasses& classes,
                                  std::span<const ChannelPeaks> peaks);

// What becomes of a ReLU6 and its like where the channels that it clamps have factors.
enum class Clamps : uint8_t {
  stay,  // the channels stay below it
  move,  // it becomes a ReLU and "<layer>.bound", a minimum with a bound a channel, which reads
         // "<value>.open"
};

// Multiplies the channels of each class by its factor: in the weights of the layers around them.
// By name, the factors of the values that change. out_of_memory.
Result<std::map<std::string, std::vector<float>>> scale_channels(Graph& graph,
                                                                 const ChannelClasses& classes,
                                                                 std::span<const float> factors,
                                                                 Clamps clamps = Clamps::stay);

}  // namespace firn

#endif  // FIRN_QUANT_EQUALIZE_H_
