// SPDX-License-Identifier: Apache-2.0
// What a calibration reads from a float tensor in one pass: extremes, finiteness, a few samples.
#ifndef FIRN_KERNELS_STATS_F32_H_
#define FIRN_KERNELS_STATS_F32_H_

#include <cstddef>
#include <cstdint>
#include <limits>

namespace firn::kernels {

// finite: no NaN, no infinity; min and max mean nothing otherwise. Of no elements: {inf, -inf,
// true}.
struct StatsF32 {
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
  bool finite = true;
};

StatsF32 stats_f32(size_t n, const float* x);

// Which of n elements are sampled: one out of each run of `stride`, at an offset that walks through
// the run as multiples of the golden ratio do, so that no channel count can fall into step with the
// stride, as it would with a constant offset. `phase` shifts all offsets: frames that differ in it
// are sampled at different places.
struct SamplePattern {
  size_t stride, count;
  uint32_t phase;

  SamplePattern(size_t n, size_t max_count, uint32_t phase = 0)
      : stride(n <= max_count ? 1 : (n + max_count - 1) / max_count),
        count(n / stride),
        phase(phase) {}
  size_t operator[](size_t i) const {
    const uint32_t fraction =
        phase + static_cast<uint32_t>(i) * 2654435769u;  // 2^32 / golden ratio
    return i * stride + static_cast<size_t>((static_cast<uint64_t>(fraction) * stride) >> 32);
  }
};

// stats_f32, and the pattern's samples to `samples`, each taken while its neighbourhood is in
// cache.
StatsF32 sample_f32(size_t n, const float* x, const SamplePattern& pattern, float* samples);

// sum[c] += x[pixel * channels + c] over the pattern's pixels.
void sum_channels_f32(size_t channels, const float* x, const SamplePattern& pixels, float* sum);

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_STATS_F32_H_
