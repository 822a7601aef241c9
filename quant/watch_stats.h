// SPDX-License-Identifier: Apache-2.0
// What a watch measures of an int8 graph's frames, and what it concludes from two sets of them.
#ifndef FIRN_QUANT_WATCH_STATS_H_
#define FIRN_QUANT_WATCH_STATS_H_

#include <memory>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "kernels/stats_s8.h"
#include "quant/drift.h"
#include "runtime/program.h"

namespace firn {

// An int8 activation, and at which ends of its range values can have been cut off: not where the
// operator can give nothing beyond, as a ReLU below zero.
struct WatchedTensor {
  std::string name;
  bool low_end = true, high_end = true;
};

// The activations of an int8 graph that are computed or converted; those that are moved hold the
// same values.
std::vector<WatchedTensor> tensors_to_watch(const Graph& graph);

// Over frames. Shares are in square roots: that makes the variance of rare counts independent of
// how rare they are (Bartlett, "The use of transformations", Biometrics 3, 1947).
struct TensorMoments {
  Moments root_saturated;  // of the share of values at the ends
  Moments unused_bits;     // 8 - log2(how many of the 256 steps the values span)
};

// One frame after another: begin, step after each step of the program, end.
class FrameCounter {
 public:
  // Values looked at per tensor and frame, about.
  static constexpr size_t kMaxValues = 4096;

  explicit FrameCounter(std::vector<WatchedTensor> tensors);

  const std::vector<WatchedTensor>& tensors() const { return tensors_; }
  void begin(const Program& program);
  void step(const Program& program, size_t step);
  // Adds the frame; `moments` has an entry a tensor.
  void end(std::vector<TensorMoments>& moments) const;

 private:
  struct Count {
    kernels::StatsS8 stats;
    size_t values = 0;
  };
  void see(const Program& program, ValueId id);

  std::vector<WatchedTensor> tensors_;
  std::vector<Count> counts_;
  // Places in tensors_ of the running program's values, -1: not watched.
  std::shared_ptr<const Graph> mapped_;
  std::vector<int> slot_;
};

// The tensors that have drifted, the surest first: more values at the ends than expected, or fewer
// bits in use, by more than the options' margins at their confidence. That holds for all tensors
// together (Bonferroni; Dunn, "Multiple comparisons among means", JASA 56, 1961).
std::vector<TensorDrift> find_drift(const std::vector<WatchedTensor>& tensors,
                                    const std::vector<TensorMoments>& expected,
                                    const std::vector<TensorMoments>& seen,
                                    const WatchOptions& options);

}  // namespace firn

#endif  // FIRN_QUANT_WATCH_STATS_H_
