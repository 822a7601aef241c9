// SPDX-License-Identifier: Apache-2.0
// Weights alone to 2 to 8 bits, in blocks that share a scale and a zero point.
#ifndef FIRN_QUANT_WEIGHTS_BLOCK_H_
#define FIRN_QUANT_WEIGHTS_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "firn/status.h"

namespace firn {

struct BlockFormat {
  unsigned bits = 4;
  bool symmetric = true;  // every zero point is 0
  WeightRounding rounding = WeightRounding::hqq;
};

// weights ~= scale * (q - zero).
struct Block {
  float scale = 1;
  int32_t zero = 0;
};

// The numbers that q may be. Symmetric ones of 8 bits leave -128 out, as everywhere in firn.
struct Levels {
  int32_t lo, hi;
};
Levels levels_of(const BlockFormat& format);

// q of one weight.
int8_t round_to(const Block& block, const Levels& levels, float weight);

// The scale and zero point of a block's weights, which are finite:
//   max_abs  all weights within the levels
//   mse      least squared error: scales tried from the largest weight's down, each refined by
//   least
//            squares for the levels that the weights are rounded to
//   hqq      see weights_hqq.h
Block fit_block(std::span<const float> weights, const BlockFormat& format);

struct BlockWeights {
  std::vector<int8_t> q;
  std::vector<float> scale;   // rows * ceil(row / block)
  std::vector<int32_t> zero;  // as many
};

// Rows of `row` weights, each cut into blocks of `block`, the last shorter. Scales are rounded to
// f16 where all of them keep their precision there. malformed, with the layer's name: a weight is
// NaN or infinite.
Result<BlockWeights> quantize_blocks(const std::string& name, std::span<const float> weights,
                                     size_t row, size_t block, const BlockFormat& format);

// Rounds some weights of each row the other way, those that were nearest to it, until the row's
// errors add up to about nothing: then inputs that are all positive, as behind a ReLU, do not shift
// the row's output. After Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal
// Hessian Approximation", ICLR 2022, whose flips keep sums of errors within half a step.
void balance_rows(std::span<const float> weights, size_t row, size_t block,
                  const BlockFormat& format, BlockWeights& made);

}  // namespace firn

#endif  // FIRN_QUANT_WEIGHTS_BLOCK_H_
