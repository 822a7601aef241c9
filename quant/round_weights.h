// SPDX-License-Identifier: Apache-2.0
// Rounding a layer's weights such that its output, rather than each weight, changes least.
#ifndef FIRN_QUANT_ROUND_WEIGHTS_H_
#define FIRN_QUANT_ROUND_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gemm_f32.h"

namespace firn {

// `weights` and q are rows of n, as many as there are scales; `covariance` is n x n, symmetric: how
// the inputs of a row's weights vary together. Lowers the expected squared error of each row's
// output, (s q - w)^T covariance (s q - w), by moving one weight at a time to the best of its
// integers given the others, until none moves or `sweeps` have gone over all; q are the integers to
// start from. It is layer-wise rounding as in Nagel et al.,
// "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, and Frantar and
// Alistarh, "Optimal Brain Compression", NeurIPS 2022, by plain coordinate descent, which needs no
// inverse and never makes it worse. Integers stay in [-most, most].
void round_rows(std::span<const float> weights, std::span<const float> scale,
                std::span<const float> covariance, int sweeps, int most, std::span<int8_t> q,
                const kernels::GemmF32Kernel& kernel);

}  // namespace firn

#endif  // FIRN_QUANT_ROUND_WEIGHTS_H_
