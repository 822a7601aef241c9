// SPDX-License-Identifier: Apache-2.0
// Counting into power-of-two bins, widening them and merging histograms.
#include "quant/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "kernels/stats_f32.h"

namespace firn {
namespace {

constexpr int kLog2Side = std::countr_zero(static_cast<unsigned>(Histogram::kSide));

// The least exponent e with largest < kSide * 2^e; largest > 0.
int exponent_for(float largest) {
  int e;
  std::frexp(largest, &e);  // largest < 2^e
  return e - kLog2Side;
}

// Merges 2^shift neighbouring bins into one, on the side whose bin i is side[i * step].
void merge_bins(uint64_t* side, ptrdiff_t step, int shift) {
  for (ptrdiff_t i = 0; i < Histogram::kSide; ++i) {
    const uint64_t count = std::exchange(side[i * step], 0);
    side[(shift < kLog2Side ? i >> shift : 0) * step] += count;
  }
}

}  // namespace

double Histogram::width() const {
  return std::ldexp(1.0, exponent_);
}

void Histogram::widen(int exponent) {
  if (exponent <= exponent_) return;
  if (!bins_.empty()) {
    merge_bins(bins_.data() + kSide, 1, exponent - exponent_);
    merge_bins(bins_.data() + kSide - 1, -1, exponent - exponent_);
  }
  exponent_ = exponent;
}

void Histogram::add_frame(float min, float max, std::span<const float> samples) {
  ++frames_;
  min_ = std::min(min_, min);
  max_ = std::max(max_, max);
  sum_min_.add(min);
  sum_max_.add(max);
  if (samples.empty()) return;
  samples_ += samples.size();
  const kernels::StatsF32 stats = kernels::stats_f32(samples.size(), samples.data());
  const float largest = std::max(-stats.min, stats.max);
  if (largest > 0) widen(exponent_for(largest));
  bins_.resize(size_t{2} * kSide);

  // Multiplying by a power of two is exact, or underflows to the bin where the value belongs.
  const float per_width = std::ldexp(1.0f, -exponent_);
  constexpr size_t kBlock = 1024;
  for (size_t begin = 0; begin < samples.size(); begin += kBlock) {
    const std::span<const float> block =
        samples.subspan(begin, std::min(kBlock, samples.size() - begin));
    // First the places, which vectorizes, then the zeros out of them: after a ReLU half the counts
    // would wait for each other in one bin.
    uint32_t place[kBlock];
    for (size_t i = 0; i < block.size(); ++i) {
      const int32_t magnitude = static_cast<int32_t>(std::fabs(block[i]) * per_width);
      place[i] = static_cast<uint32_t>(kSide + (block[i] < 0 ? ~magnitude : magnitude));
    }
    size_t nonzero = 0;
    for (size_t i = 0; i < block.size(); ++i) {
      place[nonzero] = place[i];
      nonzero += block[i] != 0;
    }
    zeros_ += block.size() - nonzero;
    for (size_t i = 0; i < nonzero; ++i) ++bins_[place[i]];
  }
}

void Histogram::merge(const Histogram& other) {
  frames_ += other.frames_;
  samples_ += other.samples_;
  zeros_ += other.zeros_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_min_.merge(other.sum_min_);
  sum_max_.merge(other.sum_max_);
  if (other.bins_.empty()) return;
  widen(other.exponent_);
  bins_.resize(size_t{2} * kSide);
  Histogram aligned;
  const std::vector<uint64_t>* from = &other.bins_;
  if (other.exponent_ < exponent_) {
    aligned = other;
    aligned.widen(exponent_);
    from = &aligned.bins_;
  }
  for (size_t i = 0; i < bins_.size(); ++i) bins_[i] += (*from)[i];
}

int Histogram::first() const {
  const auto filled = std::ranges::find_if(bins_, [](uint64_t count) { return count != 0; });
  return filled == bins_.end() ? 0 : static_cast<int>(filled - bins_.begin()) - kSide;
}

int Histogram::last() const {
  const auto filled = std::find_if(bins_.rbegin(), bins_.rend(), [](uint64_t c) { return c != 0; });
  return filled == bins_.rend() ? 0 : kSide - static_cast<int>(filled - bins_.rbegin());
}

}  // namespace firn
