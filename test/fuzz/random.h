// SPDX-License-Identifier: Apache-2.0
// The dice of the fuzzer: the same numbers for the same seed and file number on every machine.
#ifndef FIRN_TEST_FUZZ_RANDOM_H_
#define FIRN_TEST_FUZZ_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace firn::fuzz {

// SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014): any
// two of its seeds give unrelated streams, so that each file has one of its own.
class Random {
 public:
  Random(uint64_t seed, uint64_t file) : state_(seed) {
    state_ = next() + file;
    state_ = next();
  }

  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // In [0, count); 0 where count is 0.
  size_t below(size_t count) { return count == 0 ? 0 : next() % count; }
  bool one_in(size_t count) { return below(count) == 0; }
  template <typename T>
  T& pick(std::span<T> from) {
    return from[below(from.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace firn::fuzz

#endif  // FIRN_TEST_FUZZ_RANDOM_H_
