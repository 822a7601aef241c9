// SPDX-License-Identifier: Apache-2.0
// Session::quantize_weights: the session's model with weights of few bits, by what it has seen.
#include <algorithm>
#include <chrono>
#include <memory>

#include "quant/mixed_weights.h"
#include "quant/quantize_weights.h"
#include "quant/refine.h"
#include "quant/session_calibration.h"

namespace firn {
namespace {

// Frames that each layer is measured on by itself: how much its error counts beside the others'.
constexpr size_t kFramesForOne = 4;

// What the session knows beside its model.
struct Seen {
  std::shared_ptr<const Graph> graph;  // the float one that it runs
  ChannelMeans means;
  std::vector<std::shared_ptr<const HeldFrame>> held, kept;
};

std::shared_ptr<const Graph> shared(Graph graph) {
  return std::make_shared<const Graph>(std::move(graph));
}

Result<WeightChoices> choose(const SessionImpl& impl, const Seen& seen,
                             const WeightOptions& options) {
  if (seen.held.empty())
    return Status(Code::failed_precondition,
                  "quantize_weights: min_sqnr_db takes frames that a calibration held back");
  if (impl.state == State::frozen)
    return Status(Code::failed_precondition,
                  "quantize_weights: min_sqnr_db takes a session in fp32; thaw it first");
  const auto& each = seen.kept.empty() ? seen.held : seen.kept;
  const Frames all = seen.held;
  const Frames some = Frames(each).first(std::min(kFramesForOne, each.size()));
  FIRN_ASSIGN(const Answers wanted, answers_of(impl, seen.graph, all));
  FIRN_ASSIGN(const Answers wanted_of_some, answers_of(impl, seen.graph, some));
  const auto measure = [&](const Answers& outputs, Frames frames) {
    return
        [&impl, &seen, &options, &outputs, frames](const WeightChoices& choices) -> Result<double> {
          FIRN_ASSIGN(Graph made, with_few_bits(*seen.graph, options, seen.means, &choices));
          return least_sqnr_db(impl, outputs, shared(std::move(made)), frames);
        };
  };
  FIRN_ASSIGN(std::vector<WeightCandidate> candidates, weight_candidates(*seen.graph, options));
  return choose_weights(std::move(candidates), *options.min_sqnr_db, measure(wanted_of_some, some),
                        measure(wanted, all));
}

}  // namespace

Result<WeightModel> Session::quantize_weights(const WeightOptions& options) const {
  const auto started = std::chrono::steady_clock::now();
  const std::lock_guard control(impl_->control_mutex);
  std::shared_ptr<const ModelImpl> model;
  Seen seen;
  {
    const std::lock_guard lock(impl_->run_mutex);
    model = impl_->model;
    if (const Calibration* calibration = calibration_of(*impl_)) {
      const CalibrationData data = calibration->data();
      seen.means = channel_means_of(data);
      seen.held = data.held;
      seen.kept = data.kept;
    }
  }
  if (model == nullptr)
    return Status(Code::failed_precondition, "quantize_weights: the float weights were not kept");
  FIRN_ASSIGN(seen.graph, impl_->running_graph());
  WeightChoices choices;
  if (options.min_sqnr_db) {
    FIRN_ASSIGN(choices, choose(*impl_, seen, options));
  }
  const WeightChoices* const chosen = options.min_sqnr_db ? &choices : nullptr;
  FIRN_ASSIGN(WeightModel made, firn::quantize_weights(*model, options, seen.means, chosen));
  if (!seen.held.empty() && impl_->state != State::frozen) {
    FIRN_ASSIGN(const Answers wanted, answers_of(*impl_, seen.graph, seen.held));
    FIRN_ASSIGN(Graph graph, with_few_bits(*seen.graph, options, seen.means, chosen));
    FIRN_ASSIGN(made.report.outputs,
                output_errors(*impl_, wanted, shared(std::move(graph)), seen.held));
  }
  made.report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return made;
}

}  // namespace firn
