// SPDX-License-Identifier: Apache-2.0
// Inputs for benchmarks of whole networks.
#ifndef FIRN_BENCH_NOISE_H_
#define FIRN_BENCH_NOISE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "firn/session.h"

namespace firn::bench {

// Inputs of values spread over [-1, 1], or over all bytes.
struct Noise {
  std::deque<std::vector<float>> floats;
  std::deque<std::vector<std::byte>> bytes;
  std::vector<NamedTensor> tensors;

  Noise(const std::vector<TensorInfo>& inputs, uint32_t seed) {
    const auto next = [&] { return (seed = seed * 1664525u + 1013904223u) >> 8; };
    for (const TensorInfo& input : inputs) {
      const size_t n = input.shape.elements();
      void* data = nullptr;
      if (input.type == DType::f32) {
        auto& values = floats.emplace_back(n);
        for (float& v : values) v = static_cast<float>(next()) / (1 << 23) - 1;
        data = values.data();
      } else {
        // Integers wider than a byte may be indices: zeros.
        auto& values = bytes.emplace_back(n * sizeof(int64_t));
        if (input.type == DType::i8 || input.type == DType::u8)
          for (std::byte& v : values) v = static_cast<std::byte>(next());
        data = values.data();
      }
      tensors.push_back({input.name, {input.type, input.shape, data}});
    }
  }
};

}  // namespace firn::bench

#endif  // FIRN_BENCH_NOISE_H_
