// SPDX-License-Identifier: Apache-2.0
// What a benchmark reads off its runs and its process.
#include "bench_stats.h"

#include <sys/resource.h>

#include <algorithm>
#include <random>

namespace firn::tool {

TimeStats time_stats(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  const size_t n = ms.size();
  TimeStats stats;
  stats.min_ms = ms.front();
  stats.median_ms = (ms[(n - 1) / 2] + ms[n / 2]) / 2;
  stats.p90_ms = ms[(9 * n + 9) / 10 - 1];  // the nearest rank: ceil(0.9 n), from 1
  return stats;
}

size_t peak_rss_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  constexpr size_t kUnit = 1;
#else
  constexpr size_t kUnit = 1024;  // Linux and the BSDs count in KiB
#endif
  return static_cast<size_t>(usage.ru_maxrss) * kUnit;
}

NoiseInputs noise_inputs(const std::vector<TensorInfo>& inputs) {
  std::mt19937 random(1);
  NoiseInputs noise;
  for (const TensorInfo& input : inputs) {
    Array& array = noise.arrays.emplace_back(input.type, input.shape);
    if (input.type == DType::f32) {
      constexpr float kStep = 1.0f / 4294967296.0f;  // the generator's range is 2^32
      std::generate_n(array.as<float>(), array.shape.elements(),
                      [&] { return static_cast<float>(random()) * kStep; });
    } else if (input.type == DType::i8 || input.type == DType::u8) {
      std::generate(array.data.begin(), array.data.end(),
                    [&] { return static_cast<std::byte>(random() >> 24); });
    }
    noise.tensors.push_back({input.name, array.view()});
  }
  return noise;
}

}  // namespace firn::tool
