// SPDX-License-Identifier: Apache-2.0
// The one pass of a calibration over a float tensor, in plain C++ that compilers vectorize.
#include "kernels/stats_f32.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace firn::kernels {
namespace {

// Four floats in the vector extension of g++ and clang: from this form both make packed minima,
// while g++ 12 turns the scalar loop into compares and blends five times as slow. Where `v` is the
// second operand, minps needs no copy of it.
using Vec = float __attribute__((vector_size(16)));
constexpr size_t kVecs = 4;  // independent chains, to cover the latency
constexpr size_t kLanes = kVecs * sizeof(Vec) / sizeof(float);

// A sum is NaN or infinite when a term is. It also is when finite terms overflow: then all are
// looked at one by one.
struct Lanes {
  Vec min[kVecs], max[kVecs], sum[kVecs];

  Lanes() {
    const StatsF32 identity;
    for (size_t j = 0; j < kVecs; j++) {
      sum[j] = Vec{};
      min[j] = sum[j] + identity.min;
      max[j] = sum[j] + identity.max;
    }
  }

  // n: a multiple of kLanes.
  void see(size_t n, const float* x) {
    Lanes at = *this;  // in registers
    for (size_t i = 0; i < n; i += kLanes) {
#pragma GCC unroll 4
      for (size_t j = 0; j < kVecs; j++) {
        Vec v;
        std::memcpy(&v, x + i + j * kLanes / kVecs, sizeof v);
        at.min[j] = at.min[j] < v ? at.min[j] : v;
        at.max[j] = at.max[j] > v ? at.max[j] : v;
        at.sum[j] += v;
      }
    }
    *this = at;
  }
};

bool all_finite(size_t n, const float* x) {
  for (size_t i = 0; i < n; i++) {
    if (!std::isfinite(x[i])) return false;
  }
  return true;
}

// The lanes have seen all but the tail of x.
StatsF32 fold(const Lanes& lanes, size_t n, const float* x) {
  StatsF32 all;
  float sum = 0;
  for (size_t j = 0; j < kLanes; j++) {
    const size_t vec = j % kVecs, lane = j / kVecs;
    all.min = std::min(all.min, lanes.min[vec][lane]);
    all.max = std::max(all.max, lanes.max[vec][lane]);
    sum += lanes.sum[vec][lane];
  }
  for (size_t i = n / kLanes * kLanes; i < n; i++) {
    all.min = x[i] < all.min ? x[i] : all.min;
    all.max = x[i] > all.max ? x[i] : all.max;
    sum += x[i];
  }
  all.finite = std::isfinite(sum) || all_finite(n, x);
  return all;
}

}  // namespace

StatsF32 stats_f32(size_t n, const float* x) {
  Lanes lanes;
  lanes.see(n / kLanes * kLanes, x);
  return fold(lanes, n, x);
}

StatsF32 sample_f32(size_t n, const float* x, const SamplePattern& pattern, float* samples) {
  constexpr size_t kBlock = 4096;  // elements: 16 KB, part of the smallest first-level cache
  Lanes lanes;
  size_t next = 0;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = std::min(n, begin + kBlock);
    lanes.see((end - begin) / kLanes * kLanes, x + begin);
    const size_t until = std::min(pattern.count, end / pattern.stride);
    for (; next < until; next++) samples[next] = x[pattern[next]];
  }
  return fold(lanes, n, x);
}

void sum_channels_f32(size_t channels, const float* x, const SamplePattern& pixels, float* sum) {
  for (size_t p = 0; p < pixels.count; p++) {
    const float* row = x + pixels[p] * channels;
    for (size_t c = 0; c < channels; c++) sum[c] += row[c];
  }
}

}  // namespace firn::kernels
