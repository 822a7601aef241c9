// SPDX-License-Identifier: Apache-2.0
// What calibration frames leave behind: a histogram per tensor, channel means, and how settled they
// are. The memory does not grow with the number of frames.
#ifndef FIRN_QUANT_OBSERVE_H_
#define FIRN_QUANT_OBSERVE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "kernels/stats_f32.h"
#include "quant/histogram.h"
#include "quant/range.h"
#include "runtime/graph.h"

namespace firn {

struct ObservedTensor {
  ValueId id = ValueId::none;
  std::string name;
  bool range = true;    // a histogram is collected,
  size_t channels = 0;  // and the means of that many channels, the innermost dimension
};

// The tensors of an optimised float graph whose ranges quantize_graph() may ask for, and those
// whose channel means it can use. Movements share the range of what they move.
std::vector<ObservedTensor> tensors_to_observe(const Graph& graph);

// Frame by frame: begin_frame, see each tensor once as it is computed, end_frame. A frame in which
// any tensor has a NaN or infinite value is left out as a whole, as if it had never been. Allocates
// nothing after the first frame. Not synchronised.
class Observer {
 public:
  // Samples counted per tensor and frame at most, and values summed for its channel means: those
  // take more, or their noise undoes what correcting biases gains.
  static constexpr size_t kMaxSamples = 2048;
  static constexpr size_t kMaxMeanValues = 8192;

  explicit Observer(std::vector<ObservedTensor> tensors);

  void begin_frame();
  // `slot` indexes tensors().
  void see(size_t slot, std::span<const float> values);
  // Whether the frame counts. One without any value does not, and is not called rejected either.
  bool end_frame();

  // Adds what another observer of the same tensors saw: the sum is what one observer of all frames
  // would hold, bit by bit and in any order. invalid_argument names a tensor that differs.
  // Movement is then that since the larger of the two.
  Status merge(const Observer& other);
  // Of what was seen, frame under way apart.
  bool operator==(const Observer& other) const;

  // Its part of a calibration file. malformed says what does not add up.
  void write(ByteWriter& to) const;
  static Result<Observer> read(ByteReader& from);
  // Takes the ids of the same tensors of a graph. failed_precondition names one that differs.
  Status adopt_ids(const std::vector<ObservedTensor>& tensors);

  const std::vector<ObservedTensor>& tensors() const { return tensors_; }
  // Without frames where the tensor was never seen, or its range is not asked for.
  const Histogram& histogram(size_t slot) const { return slots_[slot].histogram; }
  // Of each frame the mean, of those the mean. Empty where not collected, or without frames.
  std::vector<double> channel_means(size_t slot) const;
  size_t frames() const { return frames_; }

  // All of it but held_back and converged. Costs about a tenth of a millisecond: not every frame.
  CalibrationStatus status() const;

 private:
  struct Slot {
    Histogram histogram;
    size_t frames = 0;
    std::vector<int64_t> channel_sums;  // of the frames' means, in units of 2^-24: sums are exact
    // The frame under way.
    size_t elements = 0;
    kernels::StatsF32 stats;
    std::vector<float> samples;
    size_t sample_count = 0, pixel_count = 0;
    std::vector<float> frame_sums;
  };
  // The ranges as they stood when `frames` was reached.
  struct Snapshot {
    size_t frames = 0;
    std::vector<Interval> ranges;
  };

  Status check_same(const std::vector<ObservedTensor>& tensors, Code code) const;

  std::vector<ObservedTensor> tensors_;
  std::vector<Slot> slots_;
  size_t frames_ = 0, rejected_ = 0;
  std::optional<uint32_t> phase_;  // of the frame under way, from the first tensor seen
  std::string last_rejected_;
  std::array<Snapshot, 2> snapshots_;  // at the last two powers of two; the older comes first
};

}  // namespace firn

#endif  // FIRN_QUANT_OBSERVE_H_
