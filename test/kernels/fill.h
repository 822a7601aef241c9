// SPDX-License-Identifier: Apache-2.0
// What kernel tests share: reproducible and adversarial contents, buffers with guard bytes, and a
// comparison that says where two results part.
#ifndef FIRN_TEST_KERNELS_FILL_H_
#define FIRN_TEST_KERNELS_FILL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>

#include "kernels/units.h"

namespace firn::test {

// splitmix64 (Steele, Lea, Flood 2014): the same numbers with every standard library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [lo, hi].
  int64_t integer(int64_t lo, int64_t hi) {
    return lo + static_cast<int64_t>(next() % static_cast<uint64_t>(hi - lo + 1));
  }
  // In [lo, hi).
  float real(float lo, float hi) {
    return lo + (hi - lo) * static_cast<float>(next() >> 40) * 0x1p-24f;
  }

 private:
  uint64_t state_;
};

// random: the whole range of an integer type; extremes: lowest and highest at random; unit: -1
// or 1.
enum class Fill { random, lowest, highest, extremes, unit };
inline constexpr std::array kFills = {Fill::random, Fill::lowest, Fill::highest, Fill::extremes,
                                      Fill::unit};

inline const char* fill_name(Fill how) {
  constexpr std::array names = {"random", "lowest", "highest", "extremes", "unit"};
  return names[static_cast<size_t>(how)];
}

// Fills with values within [lo, hi].
template <typename T>
void fill(std::span<T> out, Fill how, uint64_t seed, T lo = std::numeric_limits<T>::lowest(),
          T hi = std::numeric_limits<T>::max()) {
  Random random(seed);
  for (T& x : out) {
    const bool coin = (random.next() & 1) != 0;
    switch (how) {
      case Fill::random:
        if constexpr (std::is_floating_point_v<T>) {
          x = random.real(lo, hi);
        } else {
          x = static_cast<T>(random.integer(lo, hi));
        }
        break;
      case Fill::lowest:
        x = lo;
        break;
      case Fill::highest:
        x = hi;
        break;
      case Fill::extremes:
        x = coin ? lo : hi;
        break;
      case Fill::unit:
        x = static_cast<T>(coin ? 1 : -1);
        break;
    }
  }
}

// `size` elements, 64-byte aligned, between guards; everything starts as the guard byte, so that
// gaps inside the buffer (strides) are guarded by comparing them with kGuard too. The guard behind
// serves as the readable slack that kernels ask for.
template <typename T>
class Guarded {
 public:
  static constexpr uint8_t kGuard = 0xa5;
  static constexpr size_t kGuardBytes = 128;

  explicit Guarded(size_t size)
      : size_(size),
        bytes_(new (std::align_val_t{64}) uint8_t[size * sizeof(T) + 2 * kGuardBytes]) {
    std::memset(bytes_.get(), kGuard, size * sizeof(T) + 2 * kGuardBytes);
  }
  T* data() { return reinterpret_cast<T*>(bytes_.get() + kGuardBytes); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.get() + kGuardBytes); }
  size_t size() const { return size_; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  // Whether nobody wrote outside.
  bool intact() const {
    const uint8_t* behind = bytes_.get() + kGuardBytes + size_ * sizeof(T);
    const auto is_guard = [](uint8_t b) { return b == kGuard; };
    return std::all_of(bytes_.get(), bytes_.get() + kGuardBytes, is_guard) &&
           std::all_of(behind, behind + kGuardBytes, is_guard);
  }

 private:
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  size_t size_;
  std::unique_ptr<uint8_t[], Free> bytes_;
};

// Empty where both hold the same bytes; else the first difference as "row r, column c" and its
// neighbours. Bytes, not values: -0.0f and NaN count too.
template <typename T>
std::string difference(std::span<const T> got, std::span<const T> want, size_t row_size) {
  if (got.size() != want.size()) return "sizes differ";
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
    std::ostringstream out;
    out << "row " << i / row_size << ", column " << i % row_size << ": got";
    const size_t end = std::min(got.size(), i + 8);
    for (size_t j = i; j < end; ++j) out << ' ' << +got[j];
    out << ", want";
    for (size_t j = i; j < end; ++j) out << ' ' << +want[j];
    return out.str();
  }
  return {};
}

// Ranges of `piece` units, the last one first.
class Backwards : public kernels::Units {
 public:
  Backwards(size_t units, size_t piece)
      : Units(units - std::min(units, piece), units, more), piece_(piece) {}

 private:
  static bool more(Units& units) {
    units.end = units.begin;
    units.begin -= std::min(units.begin, static_cast<Backwards&>(units).piece_);
    return units.end > 0;
  }
  size_t piece_;
};

// Of weights [channels][repeat][...]: for most channels there are none beyond the first time.
inline void clear_repeated(std::span<int8_t> weights, int32_t channels, int32_t repeat) {
  const size_t once = weights.size() / static_cast<size_t>(channels * repeat);
  for (int32_t c = 0; c < channels; ++c)
    for (int32_t time = 1; time < repeat; ++time)
      if (c % (40 * time) != 7)
        std::ranges::fill(weights.subspan(static_cast<size_t>(c * repeat + time) * once, once),
                          int8_t{0});
}

}  // namespace firn::test

#endif  // FIRN_TEST_KERNELS_FILL_H_
