// SPDX-License-Identifier: Apache-2.0
// A calibration that rides on a session's runs, and the thread that freezes when it has converged.
#ifndef FIRN_QUANT_SESSION_CALIBRATION_H_
#define FIRN_QUANT_SESSION_CALIBRATION_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "quant/given_ranges.h"
#include "quant/observe.h"
#include "quant/worker.h"
#include "runtime/session_impl.h"

namespace firn {

// A held-back or kept frame: copies of all inputs, in the model's types.
struct HeldFrame {
  std::vector<Shape> shapes;
  std::vector<std::shared_ptr<const Buffer>> inputs;
};

// What a freeze starts from.
struct CalibrationData {
  const Observer* observer = nullptr;  // of frames, or
  GivenRanges given;                   // of a table or a quantized model
  std::vector<std::shared_ptr<const HeldFrame>> held;
  std::vector<std::shared_ptr<const HeldFrame>> kept;  // of the observed ones
  CalibrationStatus status;

  // Frames that tell what layers make of errors: observed ones, or, without any, held-back ones.
  std::span<const std::shared_ptr<const HeldFrame>> to_measure_on() const {
    return kept.empty() ? held : kept;
  }
};

// The means of the tensors' channels, by name; none of a table.
std::map<std::string, std::vector<double>> channel_means_of(const CalibrationData& data);

// Lives in SessionImpl::calibration. Guarded by the run mutex, but for the thread and the options.
class Calibration {
 public:
  Calibration(CalibrateOptions options, Observer observer)
      : options_(std::move(options)), observer_(std::move(observer)) {}
  // Given: nothing is observed, frames are held back only.
  explicit Calibration(GivenRanges given) : given_(std::move(given)) {}

  // The hooks of a run.
  void begin(const Program& program);
  void step(const Program& program, size_t step);
  // Whether the ranges have just converged, for the first time.
  bool end(const Program& program, std::span<const Tensor> inputs);

  CalibrationStatus status() const;
  // While paused, frames are answered but not observed, so that data() can be read without the run
  // mutex, and without copying it under that.
  void pause(bool paused) { paused_ = paused; }
  CalibrationData data() const;
  const CalibrateOptions& options() const { return options_; }
  // The thread of the automatic freeze, joined when the calibration goes.
  Worker& worker() { return worker_; }
  // Gives up what was observed, and the float graph with it.
  void forget();

 private:
  void map_slots(const Program& program);
  void hold_back(const Program& program, std::span<const Tensor> inputs);
  void keep(std::span<const Tensor> inputs);

  CalibrateOptions options_;
  std::optional<Observer> observer_;
  GivenRanges given_;
  std::deque<std::shared_ptr<const HeldFrame>> held_;
  std::vector<std::shared_ptr<const HeldFrame>> kept_;
  size_t keep_every_ = 1;  // doubles whenever there are too many
  size_t started_ = 0, held_back_ = 0, held_rejected_ = 0;
  std::string held_rejected_name_;
  bool holding_ = false;  // the frame under way is held back
  bool converged_ = false;
  bool paused_ = false;
  // Observer slots of the running program's values, -1: not observed.
  std::shared_ptr<const Graph> mapped_;
  std::vector<int> slot_;
  Worker worker_;  // last, so that it is joined before what it uses goes
};

// The session's calibration; null before any. With the run mutex held.
inline Calibration* calibration_of(const SessionImpl& impl) {
  return static_cast<Calibration*>(impl.calibration.get());
}

// Observes the running float graph from here on. Returns what was there before, to be dropped
// without locks: its thread may wait for them. The control mutex is held.
Result<std::shared_ptr<void>> start_calibration(SessionImpl& impl, const CalibrateOptions& options);

// Session::freeze for the given calibration; failed_precondition where the session has another one
// by now, or none. Takes the control mutex.
Result<FreezeReport> freeze_session(SessionImpl& impl, const FreezeOptions& options,
                                    const Calibration* expected);

}  // namespace firn

#endif  // FIRN_QUANT_SESSION_CALIBRATION_H_
