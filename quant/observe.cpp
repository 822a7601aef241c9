// SPDX-License-Identifier: Apache-2.0
// Collecting frames, leaving bad ones out, and telling when more of them change nothing.
#include "quant/observe.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace firn {
namespace {

// Convergence looks at the range of all but this part of the values. The extremes themselves never
// settle: those of normal values still grow by some percent whenever frames double.
constexpr double kUnsettledOutside = 1e-3;

Interval settling_range(const Histogram& histogram) {
  const Interval range = percentile_range(histogram, kUnsettledOutside);
  return {std::min(range.lo, 0.0f), std::max(range.hi, 0.0f)};
}

// How far the ends moved, relative to the range.
double movement(Interval then, Interval now) {
  const double width = static_cast<double>(now.hi) - now.lo;
  if (width == 0) return 0;
  return (std::fabs(static_cast<double>(now.lo) - then.lo) +
          std::fabs(static_cast<double>(now.hi) - then.hi)) /
         width;
}

// A number that depends on the values alone (FNV-1a over the bits of some of them).
uint32_t hash_of(std::span<const float> values) {
  constexpr size_t kValues = 256;
  uint32_t hash = 2166136261u;
  const kernels::SamplePattern pattern(values.size(), kValues);
  for (size_t i = 0; i < pattern.count; ++i)
    hash = (hash ^ std::bit_cast<uint32_t>(values[pattern[i]])) * 16777619u;
  return hash;
}

// A frame's mean as an integer, so that sums do not depend on their order.
int64_t fixed_point(double mean) {
  constexpr double kLargest = 1 << 16;  // sums of 2^23 such frames fit
  return std::llrint(std::clamp(mean, -kLargest, kLargest) * (1 << 24));
}

}  // namespace

Observer::Observer(std::vector<ObservedTensor> tensors)
    : tensors_(std::move(tensors)), slots_(tensors_.size()) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (tensors_[i].range) slots_[i].samples.resize(kMaxSamples);
    slots_[i].frame_sums.resize(tensors_[i].channels);
    slots_[i].channel_sums.resize(tensors_[i].channels);
  }
  for (Snapshot& snapshot : snapshots_) snapshot.ranges.resize(slots_.size());
}

void Observer::begin_frame() {
  for (Slot& slot : slots_) slot.elements = 0;
  phase_.reset();
}

void Observer::see(size_t index, std::span<const float> values) {
  Slot& slot = slots_[index];
  slot.elements = values.size();
  if (values.empty()) return;
  // Each frame is sampled elsewhere, but where depends on the frame alone: calibrations of parts of
  // the data add up to the calibration of all of it.
  if (!phase_.has_value()) phase_ = hash_of(values);
  if (tensors_[index].range) {
    const kernels::SamplePattern pattern(values.size(), kMaxSamples, *phase_);
    slot.sample_count = pattern.count;
    slot.stats = kernels::sample_f32(values.size(), values.data(), pattern, slot.samples.data());
  } else {
    slot.stats = kernels::stats_f32(values.size(), values.data());
  }
  const size_t channels = tensors_[index].channels,
               pixels = channels ? values.size() / channels : 0;
  slot.pixel_count = 0;
  if (pixels == 0) return;
  const kernels::SamplePattern rows(pixels, std::max<size_t>(1, kMaxMeanValues / channels),
                                    *phase_);
  slot.pixel_count = rows.count;
  std::ranges::fill(slot.frame_sums, 0.0f);
  kernels::sum_channels_f32(channels, values.data(), rows, slot.frame_sums.data());
}

bool Observer::end_frame() {
  bool any = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].elements == 0) continue;
    any = true;
    if (slots_[i].stats.finite) continue;
    ++rejected_;
    last_rejected_ = tensors_[i].name;
    return false;
  }
  if (!any) return false;
  for (Slot& slot : slots_) {
    if (slot.elements == 0) continue;
    ++slot.frames;
    if (!slot.samples.empty())
      slot.histogram.add_frame(slot.stats.min, slot.stats.max,
                               std::span(slot.samples).first(slot.sample_count));
    if (slot.pixel_count == 0) continue;
    for (size_t c = 0; c < slot.frame_sums.size(); ++c)
      slot.channel_sums[c] += fixed_point(static_cast<double>(slot.frame_sums[c]) /
                                          static_cast<double>(slot.pixel_count));
  }
  ++frames_;
  if (std::has_single_bit(frames_)) {
    std::swap(snapshots_[0], snapshots_[1]);
    snapshots_[1].frames = frames_;
    for (size_t i = 0; i < slots_.size(); ++i)
      snapshots_[1].ranges[i] = settling_range(slots_[i].histogram);
  }
  return true;
}

Status Observer::check_same(const std::vector<ObservedTensor>& tensors, Code code) const {
  const auto differs = [&](const std::string& expected, const std::string& got) {
    return Status(
        code, "the calibrations are of different tensors: expected " + expected + ", got " + got);
  };
  const auto text = [](const ObservedTensor& tensor) {
    return tensor.name + " with " + std::to_string(tensor.channels) + " channels";
  };
  if (tensors.size() != tensors_.size())
    return differs(std::to_string(tensors_.size()) + " tensors", std::to_string(tensors.size()));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const ObservedTensor &mine = tensors_[i], &theirs = tensors[i];
    if (mine.name != theirs.name || mine.channels != theirs.channels || mine.range != theirs.range)
      return differs(text(mine), text(theirs));
  }
  return {};
}

Status Observer::merge(const Observer& other) {
  FIRN_TRY(check_same(other.tensors_, Code::invalid_argument));
  // Of two parts there is no order; the larger one stands for what was seen before.
  if (other.frames_ > 0 && frames_ == 0) {
    snapshots_ = other.snapshots_;
  } else if (other.frames_ > 0) {
    const Observer& larger = frames_ >= other.frames_ ? *this : other;
    Snapshot then{larger.frames_, {}};
    for (const Slot& slot : larger.slots_) then.ranges.push_back(settling_range(slot.histogram));
    snapshots_ = {then, then};
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].frames += other.slots_[i].frames;
    slots_[i].histogram.merge(other.slots_[i].histogram);
    for (size_t c = 0; c < slots_[i].channel_sums.size(); ++c)
      slots_[i].channel_sums[c] += other.slots_[i].channel_sums[c];
  }
  frames_ += other.frames_;
  rejected_ += other.rejected_;
  if (!other.last_rejected_.empty()) last_rejected_ = other.last_rejected_;
  return {};
}

bool Observer::operator==(const Observer& other) const {
  return check_same(other.tensors_, Code::invalid_argument).ok() && frames_ == other.frames_ &&
         rejected_ == other.rejected_ &&
         std::ranges::equal(slots_, other.slots_, [](const Slot& a, const Slot& b) {
           return a.frames == b.frames && a.histogram == b.histogram &&
                  a.channel_sums == b.channel_sums;
         });
}

Status Observer::adopt_ids(const std::vector<ObservedTensor>& tensors) {
  FIRN_TRY(check_same(tensors, Code::failed_precondition));
  tensors_ = tensors;
  return {};
}

std::vector<double> Observer::channel_means(size_t slot) const {
  const Slot& from = slots_[slot];
  if (from.frames == 0) return {};
  std::vector<double> means;
  for (int64_t sum : from.channel_sums)
    means.push_back(std::ldexp(static_cast<double>(sum), -24) / static_cast<double>(from.frames));
  return means;
}

CalibrationStatus Observer::status() const {
  CalibrationStatus status;
  status.frames = frames_;
  status.rejected = rejected_;
  status.last_rejected = last_rejected_;
  const bool newer = 2 * snapshots_[1].frames <= frames_;
  const Snapshot& then = snapshots_[newer ? 1 : 0];
  if (then.frames == 0) return status;
  double sum = 0, most = -1, ranges = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!tensors_[i].range) continue;
    ranges += 1;
    const double moved = movement(then.ranges[i], settling_range(slots_[i].histogram));
    sum += moved;
    if (moved <= most) continue;
    most = moved;
    status.moves_most = tensors_[i].name;
  }
  status.movement = ranges == 0 ? 0 : sum / ranges;
  return status;
}

}  // namespace firn
