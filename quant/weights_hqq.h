// SPDX-License-Identifier: Apache-2.0
// Half-quadratic quantization of a block's weights: Badri & Shaji, "Half-Quadratic Quantization of
// Large Machine Learning Models", 2023 (https://mobiusml.github.io/hqq_blog/).
#ifndef FIRN_QUANT_WEIGHTS_HQQ_H_
#define FIRN_QUANT_WEIGHTS_HQQ_H_

#include <span>

#include "quant/weights_block.h"

namespace firn {

// Minimizes sum |w - scale (q - zero)|^p, p = 0.7, over scale and zero point, from `start` on: a
// norm below 1 lets a few large weights be far off where that serves the many. Half-quadratic: an
// outlier e of each weight takes what a proximal step leaves of its error, then scale and zero
// point are those of least squares for w - e; the weight of the quadratic term grows. What had
// the least mean absolute error on the way is the result. The paper
// solves for the zero point alone and lets it be any number; here it is an integer, so that
// products stay in integers, and the scale is solved for, too.
Block fit_hqq(std::span<const float> weights, const Levels& levels, bool symmetric, Block start);

}  // namespace firn

#endif  // FIRN_QUANT_WEIGHTS_HQQ_H_
