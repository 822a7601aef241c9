// SPDX-License-Identifier: Apache-2.0
// A watch over a frozen session's runs.
#ifndef FIRN_QUANT_WATCH_H_
#define FIRN_QUANT_WATCH_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "firn/quantize.h"
#include "quant/session_calibration.h"
#include "quant/watch_stats.h"
#include "quant/worker.h"
#include "runtime/session_impl.h"

namespace firn {

// What an int8 graph gave on the frames that a freeze held back.
struct WatchBaseline {
  std::vector<WatchedTensor> tensors;
  std::vector<TensorMoments> expected;
  size_t frames = 0;
};

// Runs those frames whose shapes the graph is for, on the calling thread, beside the session.
Result<WatchBaseline> watch_baseline(const SessionImpl& impl,
                                     const std::shared_ptr<const Graph>& frozen,
                                     std::span<const std::shared_ptr<const HeldFrame>> frames);

// Lives in SessionImpl::watch. Guarded by the run mutex, but for the thread and the options.
class Watch {
 public:
  explicit Watch(WatchOptions options) : options_(std::move(options)) {}

  const WatchOptions& options() const { return options_; }
  // Starts for an int8 graph. Without frames the first window is the baseline.
  void arm(WatchBaseline baseline);

  // The hooks of a run.
  void begin(const Program& program);
  void step(const Program& program, size_t step);
  // A window that drifted, when it ends.
  std::optional<DriftReport> end();

  WatchStatus status() const { return status_; }
  void set_problem(std::string problem) { status_.problem = std::move(problem); }

  // Runs `work` on the watch's thread, unless that still does what it was given before.
  void start(std::function<void()> work);

 private:
  WatchOptions options_;
  std::optional<FrameCounter> counter_;
  std::vector<TensorMoments> expected_, seen_;
  size_t frame_ = 0, in_window_ = 0;
  bool looking_ = false;  // at the frame under way
  WatchStatus status_;
  std::atomic<bool> busy_{false};
  std::unique_ptr<Worker> worker_;  // last, so that it is joined before what it uses goes
};

// The session's watch; null without one. With the run mutex held.
std::shared_ptr<Watch> watch_of(const SessionImpl& impl);

// The tap through which a watch sees runs. Both must outlive the runs.
std::shared_ptr<Tap> make_watch_tap(SessionImpl& impl, Watch& watch);

}  // namespace firn

#endif  // FIRN_QUANT_WATCH_H_
