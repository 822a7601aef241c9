// SPDX-License-Identifier: Apache-2.0
// Looking at every so manieth frame and judging window by window.
#include "quant/watch.h"

#include <utility>

namespace firn {

Result<WatchBaseline> watch_baseline(const SessionImpl& impl,
                                     const std::shared_ptr<const Graph>& frozen,
                                     std::span<const std::shared_ptr<const HeldFrame>> frames) {
  WatchBaseline baseline;
  baseline.tensors = tensors_to_watch(*frozen);
  baseline.expected.resize(baseline.tensors.size());
  if (frames.empty()) return baseline;
  const auto pool = kernels::Pool::create(1);
  if (pool == nullptr) return Status(Code::out_of_memory, "watch: no memory");
  FIRN_ASSIGN(const auto program, impl.compile(frozen, *pool));
  FrameCounter counter(baseline.tensors);
  const Program::Hook hook = [&](const Program& p, size_t step) { counter.step(p, step); };
  const std::vector<Shape> shapes = input_shapes(*frozen);
  for (const auto& frame : frames) {
    if (frame->shapes != shapes) continue;
    for (size_t i = 0; i < frame->inputs.size(); ++i)
      program->bind_input(i, frame->inputs[i]->bytes().data());
    counter.begin(*program);
    FIRN_TRY(program->run(*pool, &hook));
    counter.end(baseline.expected);
    ++baseline.frames;
  }
  return baseline;
}

void Watch::arm(WatchBaseline baseline) {
  status_.active = true;
  // One frame says nothing about how much they differ.
  status_.expecting = baseline.frames >= 2;
  expected_ = std::move(baseline.expected);
  seen_.assign(baseline.tensors.size(), TensorMoments());
  if (!status_.expecting) expected_ = seen_;
  counter_.emplace(std::move(baseline.tensors));
  frame_ = in_window_ = 0;
}

void Watch::begin(const Program& program) {
  looking_ = frame_++ % static_cast<size_t>(options_.every) == 0;
  if (looking_) counter_->begin(program);
}

void Watch::step(const Program& program, size_t step) {
  if (looking_) counter_->step(program, step);
}

std::optional<DriftReport> Watch::end() {
  if (!looking_) return std::nullopt;
  counter_->end(seen_);
  ++status_.frames;
  if (++in_window_ < static_cast<size_t>(options_.window)) return std::nullopt;
  const std::vector<TensorMoments> seen =
      std::exchange(seen_, std::vector<TensorMoments>(seen_.size()));
  const size_t frames = std::exchange(in_window_, 0);
  if (!status_.expecting) {
    expected_ = seen;
    status_.expecting = true;
    return std::nullopt;
  }
  ++status_.windows;
  DriftReport report{find_drift(counter_->tensors(), expected_, seen, options_), frames};
  if (report.tensors.empty()) return std::nullopt;
  ++status_.events;
  status_.last = report;
  return report;
}

void Watch::start(std::function<void()> work) {
  if (busy_.exchange(true)) return;
  worker_ = std::make_unique<Worker>();  // the one before has ended, or nearly so
  const bool started = worker_->start([this, work = std::move(work)] {
    work();
    busy_ = false;
  });
  if (!started) busy_ = false;
}

std::shared_ptr<Watch> watch_of(const SessionImpl& impl) {
  return std::static_pointer_cast<Watch>(impl.watch);
}

}  // namespace firn
