// SPDX-License-Identifier: Apache-2.0
// Observing a session's runs: what each frame adds, which frames are held back, when it is enough.
#include "quant/session_calibration.h"

#include <algorithm>
#include <cstring>

#include "kernels/stats_f32.h"

namespace firn {
namespace {

// Looking whether the ranges have converged costs a little: every so many frames will do.
constexpr size_t kConvergenceEvery = 8;

bool finite(const Tensor& tensor) {
  if (tensor.type != DType::f32) return true;
  return kernels::stats_f32(tensor.shape.elements(), static_cast<const float*>(tensor.data)).finite;
}

// nullptr where memory is short.
std::shared_ptr<const HeldFrame> copy_of(std::span<const Tensor> inputs) {
  auto frame = std::make_shared<HeldFrame>();
  for (const Tensor& input : inputs) {
    auto copy = Buffer::allocate(input.bytes());
    if (!copy.ok()) return nullptr;
    std::memcpy(copy->second.data(), input.data, input.bytes());
    frame->inputs.push_back(copy->first);
    frame->shapes.push_back(input.shape);
  }
  return frame;
}

}  // namespace

void Calibration::map_slots(const Program& program) {
  if (mapped_ == program.shared_graph()) return;
  mapped_ = program.shared_graph();
  std::map<std::string, int> by_name;
  for (size_t i = 0; i < observer_->tensors().size(); ++i)
    by_name[observer_->tensors()[i].name] = static_cast<int>(i);
  slot_.assign(mapped_->values.size(), -1);
  for (size_t v = 0; v < slot_.size(); ++v) {
    const auto found = by_name.find(mapped_->values[v].name);
    if (found != by_name.end()) slot_[v] = found->second;
  }
}

void Calibration::begin(const Program& program) {
  if (paused_) return;
  const auto every = static_cast<size_t>(std::max(options_.hold_back_every, 1));
  // With a table's ranges there is nothing to observe: every frame is one to verify on.
  const bool due = !observer_.has_value() || started_ % every == every / 2;
  holding_ = options_.hold_back_max > 0 && due;
  ++started_;
  if (holding_ || !observer_.has_value()) return;
  map_slots(program);
  observer_->begin_frame();
  const Graph& g = program.graph();
  for (const ValueId id : g.inputs)
    if (const int slot = slot_[index(id)]; slot >= 0)
      observer_->see(static_cast<size_t>(slot),
                     {static_cast<const float*>(program.data(id)), g.value(id).shape.elements()});
}

void Calibration::step(const Program& program, size_t step) {
  if (holding_ || !observer_.has_value()) return;
  for (const ValueId id : program.steps()[step].writes)
    if (const int slot = slot_[index(id)]; slot >= 0)
      observer_->see(static_cast<size_t>(slot), {static_cast<const float*>(program.data(id)),
                                                 program.graph().value(id).shape.elements()});
}

void Calibration::hold_back(const Program& program, std::span<const Tensor> inputs) {
  const Graph& g = program.graph();
  const auto reject = [&](const std::string& name) {
    ++held_rejected_;
    held_rejected_name_ = name;
  };
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!finite(inputs[i])) return reject(g.value(g.inputs[i]).name);
  for (const ValueId id : g.outputs)
    if (!finite({g.value(id).type, g.value(id).shape, const_cast<void*>(program.data(id))}))
      return reject(g.value(id).name);

  auto frame = copy_of(inputs);
  if (frame == nullptr) return;  // one less to verify on
  held_.push_back(std::move(frame));
  ++held_back_;
  if (held_.size() > static_cast<size_t>(options_.hold_back_max)) held_.pop_front();
}

void Calibration::keep(std::span<const Tensor> inputs) {
  const auto most = static_cast<size_t>(std::max(options_.keep_max, 0));
  if (most == 0 || (observer_->frames() - 1) % keep_every_ != 0) return;
  if (kept_.size() == most) {
    for (size_t i = 0; 2 * i < kept_.size(); ++i) kept_[i] = kept_[2 * i];
    kept_.resize((kept_.size() + 1) / 2);
    keep_every_ *= 2;
    if ((observer_->frames() - 1) % keep_every_ != 0) return;
  }
  if (auto frame = copy_of(inputs); frame != nullptr) kept_.push_back(std::move(frame));
}

bool Calibration::end(const Program& program, std::span<const Tensor> inputs) {
  if (paused_) return false;
  if (holding_) {
    hold_back(program, inputs);
    return false;
  }
  if (!observer_.has_value() || !observer_->end_frame()) return false;
  keep(inputs);
  if (converged_) return false;
  const size_t frames = observer_->frames();
  if (frames < static_cast<size_t>(std::max(options_.min_frames, 1)) ||
      frames % kConvergenceEvery != 0)
    return false;
  converged_ = observer_->status().movement <= options_.tolerance;
  return converged_;
}

CalibrationStatus Calibration::status() const {
  CalibrationStatus status;
  if (observer_.has_value()) status = observer_->status();
  status.held_back = held_.size();
  status.rejected += held_rejected_;
  if (status.last_rejected.empty()) status.last_rejected = held_rejected_name_;
  status.converged = converged_;
  return status;
}

CalibrationData Calibration::data() const {
  return {observer_.has_value() ? &*observer_ : nullptr,
          given_,
          {held_.begin(), held_.end()},
          kept_,
          status()};
}

void Calibration::forget() {
  observer_.reset();
  held_.clear();
  kept_.clear();
  given_ = {};
  mapped_ = nullptr;
}

std::map<std::string, std::vector<double>> channel_means_of(const CalibrationData& data) {
  std::map<std::string, std::vector<double>> means;
  if (data.observer == nullptr) return means;
  for (size_t i = 0; i < data.observer->tensors().size(); ++i)
    if (auto mean = data.observer->channel_means(i); !mean.empty())
      means[data.observer->tensors()[i].name] = std::move(mean);
  return means;
}

}  // namespace firn
