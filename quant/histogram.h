// SPDX-License-Identifier: Apache-2.0
// A histogram of one tensor's values in constant memory, whatever its range turns out to be.
#ifndef FIRN_QUANT_HISTOGRAM_H_
#define FIRN_QUANT_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "quant/exact_sum.h"

namespace firn {

class ByteReader;
class ByteWriter;

// Bins are [i * width, (i + 1) * width), mirrored for negative values, for i < kSide. The width is
// a power of two and the least one that holds all values: when a larger value comes, pairs of bins
// merge, exactly. So the histogram depends on the values alone, not on their order, and histograms
// of parts of the data merge to the very histogram of all of it.
class Histogram {
 public:
  static constexpr int kSide = 2048;

  // One frame: the extremes of all its values, and those that are counted. All finite.
  void add_frame(float min, float max, std::span<const float> samples);
  void merge(const Histogram& other);
  bool operator==(const Histogram&) const = default;

  size_t frames() const { return frames_; }
  // Exact extremes of all frames. Of none: {inf, -inf}.
  float min() const { return min_; }
  float max() const { return max_; }
  // The means of the frames' extremes. Of no frames: 0.
  double mean_min() const { return mean(sum_min_); }
  double mean_max() const { return mean(sum_max_); }
  // Values counted, and those of them that are 0, which are in no bin.
  uint64_t samples() const { return samples_; }
  uint64_t zeros() const { return zeros_; }

  double width() const;
  // i in [-kSide, kSide): values in [i * width, (i + 1) * width).
  uint64_t operator[](int i) const {
    return bins_.empty() ? 0 : bins_[static_cast<size_t>(kSide + i)];
  }
  // The bins with anything in them lie in [first, last).
  int first() const;
  int last() const;

  // Its part of a calibration file. read: into an empty one; false where it does not add up.
  void write(ByteWriter& to) const;
  bool read(ByteReader& from);

 private:
  // 2^-100: smaller values all fall into the innermost bins. With 2^117 the largest float fits.
  static constexpr int kMinExponent = -100, kMaxExponent = 117;

  void widen(int exponent);
  double mean(const ExactSum& sum) const {
    return frames_ == 0 ? 0 : sum.value() / static_cast<double>(frames_);
  }

  int exponent_ = kMinExponent;  // of the width
  size_t frames_ = 0;
  uint64_t samples_ = 0, zeros_ = 0;
  float min_ = std::numeric_limits<float>::infinity();
  float max_ = -std::numeric_limits<float>::infinity();
  ExactSum sum_min_, sum_max_;  // of the frames' extremes
  std::vector<uint64_t> bins_;  // 2 * kSide, from the most negative; empty at first
};

}  // namespace firn

#endif  // FIRN_QUANT_HISTOGRAM_H_
