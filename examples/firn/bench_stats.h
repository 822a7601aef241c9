// SPDX-License-Identifier: Apache-2.0
// What a benchmark reads off its runs and its process.
#ifndef FIRN_EXAMPLES_FIRN_BENCH_STATS_H_
#define FIRN_EXAMPLES_FIRN_BENCH_STATS_H_

#include <cstddef>
#include <vector>

#include "firn/model.h"
#include "firn/tensor.h"
#include "npy.h"

namespace firn::tool {

struct TimeStats {
  double median_ms = 0, min_ms = 0, p90_ms = 0;
};

// p90: the least time that nine of ten runs do not pass. At least one run.
TimeStats time_stats(std::vector<double> ms);

// The most memory this process ever had resident.
size_t peak_rss_bytes();

struct NoiseInputs {
  std::vector<Array> arrays;
  std::vector<NamedTensor> tensors;  // views of them
};

// Inputs for a model that one has no data for, the same at every call: floats from 0 to 1, any
// bytes, and zeros where numbers may be indices.
NoiseInputs noise_inputs(const std::vector<TensorInfo>& inputs);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_BENCH_STATS_H_
