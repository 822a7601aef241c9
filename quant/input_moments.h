// SPDX-License-Identifier: Apache-2.0
// How the inputs of a layer's weights vary together, over samples of its output positions.
#ifndef FIRN_QUANT_INPUT_MOMENTS_H_
#define FIRN_QUANT_INPUT_MOMENTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gemm_f32.h"
#include "runtime/graph.h"

namespace firn {

// Sums over samples of what the rows of one layer's weights are multiplied with, padding as zeros:
// row = KH * KW * Cin / groups values for each group.
class InputMoments {
 public:
  // `node` is a weighted Conv2d or Dense of the graph.
  InputMoments(const Graph& graph, const Node& node);

  // The values one needs memory for: groups * row * row.
  static size_t size(const Graph& graph, const Node& node);

  // The layer's input in one frame; takes at most `most` output positions, others for each `phase`.
  // `rows` is room for them, which layers can share.
  void add(std::span<const float> x, size_t most, uint32_t phase,
           const kernels::GemmF32Kernel& kernel, std::vector<float>& rows);

  size_t groups() const { return groups_; }
  size_t row() const { return row_; }
  size_t samples() const { return samples_; }
  // row x row, shrunk towards its diagonal the more the fewer samples there are for a row: so few
  // say little of how inputs vary together (Ledoit and Wolf, "A well-conditioned estimator for
  // large-dimensional covariance matrices", 2004; here with the intensity row / (row + samples)).
  // Inputs vary by `noise`, a variance, beside what was sampled.
  std::vector<float> covariance(size_t group, double noise = 0) const;

 private:
  void gather(std::span<const float> x, size_t position, float* rows) const;
  void multiply(const float* rows, size_t count, const kernels::GemmF32Kernel& kernel);
  template <size_t kLanes>
  void multiply_side_by_side(const float* rows, size_t count, size_t group);

  Window window_{};
  Shape x_, y_;
  size_t groups_ = 1, row_ = 0, in_ = 0;
  // Depthwise: groups are neighbours, [tap][group] in samples and sums, [tap][tap][group] in
  // products. Otherwise each group has its own.
  bool side_by_side_ = false;
  size_t samples_ = 0;
  std::vector<double> sum_;
  std::vector<float> product_;  // on the diagonal and left of it; not all beside it is 0
};

}  // namespace firn

#endif  // FIRN_QUANT_INPUT_MOMENTS_H_
