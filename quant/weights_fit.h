// SPDX-License-Identifier: Apache-2.0
// Steps that the methods of fitting a block share.
#ifndef FIRN_QUANT_WEIGHTS_FIT_H_
#define FIRN_QUANT_WEIGHTS_FIT_H_

#include <span>

#include "quant/weights_block.h"

namespace firn {

// The scale, or the least that quantization parameters may have.
float safe_scale(float scale);

// The scale and zero point of least squares for `targets`, of the levels that the weights are
// rounded to now; the same block where there are none. As many targets as weights, or the weights
// themselves.
Block refit(std::span<const float> weights, std::span<const float> targets, const Levels& levels,
            bool symmetric, const Block& block);

}  // namespace firn

#endif  // FIRN_QUANT_WEIGHTS_FIT_H_
