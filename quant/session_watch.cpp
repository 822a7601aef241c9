// SPDX-License-Identifier: Apache-2.0
// The watching members of Session, and how drift leads to a new calibration.
#include <cmath>
#include <string>
#include <utility>

#include "quant/session_calibration.h"
#include "quant/watch.h"

namespace firn {
namespace {

Status check_options(const WatchOptions& options) {
  const auto wrong = [](const std::string& name, const std::string& expected, double got) {
    return Status(Code::invalid_argument,
                  "watch: " + name + ": expected " + expected + ", got " + std::to_string(got));
  };
  if (options.every < 1) return wrong("every", "at least 1", options.every);
  if (options.window < 2) return wrong("window", "at least 2", options.window);
  if (!(options.confidence > 0 && options.confidence < 1))
    return wrong("confidence", "above 0 and below 1", options.confidence);
  if (!(options.saturated >= 0 && options.saturated <= 1))
    return wrong("saturated", "from 0 to 1", options.saturated);
  if (!(options.unused_bits >= 0 && options.unused_bits <= 8))
    return wrong("unused_bits", "from 0 to 8", options.unused_bits);
  return {};
}

// Back to fp32, and observing, where int8 still runs: the user may have thawed it.
Status calibrate_again(SessionImpl& impl, const CalibrateOptions& options) {
  std::shared_ptr<void> old;  // dropped after the lock
  const std::lock_guard control(impl.control_mutex);
  if (impl.state != State::frozen) return {};
  FIRN_TRY(impl.thaw());
  FIRN_ASSIGN(old, start_calibration(impl, options));
  return {};
}

}  // namespace

std::shared_ptr<Tap> make_watch_tap(SessionImpl& impl, Watch& watch) {
  auto tap = std::make_shared<Tap>();
  tap->begin = [&watch](const Program& program) { watch.begin(program); };
  tap->step = [&watch](const Program& program, size_t step) { watch.step(program, step); };
  tap->end = [&impl, &watch](const Program&, std::span<const Tensor>) {
    std::optional<DriftReport> drift = watch.end();
    const WatchOptions& options = watch.options();
    if (!drift || (!options.on_drift && !options.recalibrate)) return;
    watch.start([&impl, &watch, &options, report = *std::move(drift)] {
      if (options.on_drift) options.on_drift(report);
      if (!options.recalibrate) return;
      CalibrateOptions calibrate = options.calibrate;
      calibrate.automatic_freeze = true;
      const Status status = calibrate_again(impl, calibrate);
      const std::lock_guard lock(impl.run_mutex);
      watch.set_problem(status.message());
    });
  };
  return tap;
}

Status Session::watch(const WatchOptions& options) {
  FIRN_TRY(check_options(options));
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  auto watch = std::make_shared<Watch>(options);
  std::shared_ptr<Tap> tap;
  if (impl_->state == State::frozen) {
    std::vector<std::shared_ptr<const HeldFrame>> held;
    {
      const std::lock_guard lock(impl_->run_mutex);
      // Those of the freeze: a frozen session observes nothing.
      if (Calibration* calibration = calibration_of(*impl_)) held = calibration->data().held;
    }
    FIRN_ASSIGN(const std::shared_ptr<const Graph> frozen, impl_->running_graph());
    FIRN_ASSIGN(WatchBaseline baseline, watch_baseline(*impl_, frozen, held));
    watch->arm(std::move(baseline));
    tap = make_watch_tap(*impl_, *watch);
  }
  const std::lock_guard lock(impl_->run_mutex);
  if (impl_->state == State::frozen) impl_->tap = std::move(tap);
  old = std::exchange(impl_->watch, std::move(watch));
  return {};
}

void Session::stop_watching() {
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  const std::lock_guard lock(impl_->run_mutex);
  if (impl_->state == State::frozen) impl_->tap = nullptr;
  old = std::exchange(impl_->watch, nullptr);
}

WatchStatus Session::watching() const {
  const std::lock_guard lock(impl_->run_mutex);
  const auto watch = watch_of(*impl_);
  if (watch == nullptr) return {};
  WatchStatus status = watch->status();
  status.active = impl_->state == State::frozen;
  return status;
}

}  // namespace firn
