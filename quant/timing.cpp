// SPDX-License-Identifier: Apache-2.0
// Programs side by side, run in turns: of each step the shortest time counts.
#include "quant/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace firn {
namespace {

using Clock = std::chrono::steady_clock;

// Rounds go on until the budget is spent, within these bounds.
constexpr double kBudgetMs = 150;
constexpr int kFewestRounds = 3, kMostRounds = 100;
// Caches remember a shorter run's data, which other programs have displaced since its last turn.
constexpr double kWarmUpBelowMs = 5;
// A network that takes longer would hold a freeze up for many seconds.
constexpr double kTooLongMs = 500;

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// A program with inputs to run on, and the shortest times so far.
class Timed {
 public:
  static Result<Timed> create(const SessionImpl& impl, std::shared_ptr<const Graph> graph,
                              kernels::Pool& pool,
                              std::span<const std::shared_ptr<const HeldFrame>> frames);

  Status run(kernels::Pool& pool);
  Times times() const;

 private:
  void bind();

  std::shared_ptr<Program> program_;
  std::vector<std::shared_ptr<const Buffer>> inputs_;
  std::vector<double> ms_;  // per step
  double total_ms_ = INFINITY, latest_ms_ = 0;
};

Result<Timed> Timed::create(const SessionImpl& impl, std::shared_ptr<const Graph> graph,
                            kernels::Pool& pool,
                            std::span<const std::shared_ptr<const HeldFrame>> frames) {
  Timed timed;
  const std::vector<Shape> shapes = input_shapes(*graph);
  FIRN_ASSIGN(timed.program_, impl.compile(std::move(graph), pool));
  timed.ms_.assign(timed.program_->steps().size(), INFINITY);
  const auto fits =
      std::ranges::find_if(frames, [&](const auto& frame) { return frame->shapes == shapes; });
  if (fits != frames.end()) {
    timed.inputs_ = (*fits)->inputs;
  } else {
    FIRN_ASSIGN(timed.inputs_, bind_zeros(*timed.program_));
  }
  return timed;
}

// Anew for every run: the memory of an input may be another value's later on.
void Timed::bind() {
  for (size_t i = 0; i < inputs_.size(); ++i) program_->bind_input(i, inputs_[i]->bytes().data());
}

Status Timed::run(kernels::Pool& pool) {
  if (latest_ms_ < kWarmUpBelowMs) {
    bind();
    FIRN_TRY(program_->run(pool));
  }
  bind();
  const Clock::time_point start = Clock::now();
  Clock::time_point before = start;
  const Program::Hook hook = [&](const Program&, size_t step) {
    const Clock::time_point now = Clock::now();
    ms_[step] = std::min(ms_[step], ms_between(before, now));
    before = now;
  };
  FIRN_TRY(program_->run(pool, &hook));
  latest_ms_ = ms_between(start, before);
  total_ms_ = std::min(total_ms_, latest_ms_);
  return {};
}

Times Timed::times() const {
  Times times;
  times.total_ms = total_ms_;
  for (size_t i = 0; i < ms_.size(); ++i) times.ms[program_->steps()[i].name] += ms_[i];
  return times;
}

// In turns, so that what slows the device down for a while slows all of them.
Status run_in_turns(std::span<Timed> programs, kernels::Pool& pool) {
  const Clock::time_point start = Clock::now();
  for (int round = 0; round < kFewestRounds ||
                      (round < kMostRounds && ms_between(start, Clock::now()) < kBudgetMs);
       ++round)
    for (Timed& program : programs) FIRN_TRY(program.run(pool));
  return {};
}

bool any_in_integers(std::span<const LayerReport> layers) {
  return std::ranges::any_of(
      layers, [](const LayerReport& layer) { return layer.precision != Precision::f32; });
}

double ms_of(const Times& times, const std::string& name) {
  const auto found = times.ms.find(name);
  return found == times.ms.end() ? 0 : found->second;
}

// Layers with 16-bit activations that float does not make slower: it is more precise.
void add_slow_wide_layers(std::span<const LayerReport> layers, const Times& in_float,
                          const Times& in_int8, std::map<std::string, std::string>& float_layers) {
  for (const LayerReport& layer : layers) {
    const double ms_float = ms_of(in_float, layer.name), ms_wide = ms_of(in_int8, layer.name);
    if (layer.precision == Precision::i16 && ms_float > 0 && ms_float <= ms_wide)
      float_layers[layer.name] =
          "fp32 is faster here: " + ms_text(ms_float) + ", 16 bits " + ms_text(ms_wide);
  }
}

}  // namespace

Status keep_faster(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                   std::span<const std::shared_ptr<const HeldFrame>> frames,
                   const Requantize& requantize, QuantizedGraph& quantized, FreezeReport& report) {
  if (!any_in_integers(quantized.layers)) return {};
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return {Code::out_of_memory, "freeze: no memory for timing"};
  const auto share = [](const QuantizedGraph& from) {
    return std::make_shared<const Graph>(from.graph);
  };
  std::vector<Timed> programs;
  FIRN_ASSIGN(Timed in_float, Timed::create(impl, graph, *pool, frames));
  const Status first = in_float.run(*pool);
  if (first.code() == Code::invalid_argument) {
    report.warnings.push_back("not timed: " + first.message());
    return {};
  }
  FIRN_TRY(first);
  if (in_float.times().total_ms > kTooLongMs) {
    report.warnings.push_back("not timed: a run in fp32 takes " +
                              ms_text(in_float.times().total_ms));
    return {};
  }
  programs.push_back(std::move(in_float));
  FIRN_ASSIGN(Timed in_int8, Timed::create(impl, share(quantized), *pool, frames));
  programs.push_back(std::move(in_int8));
  FIRN_TRY(run_in_turns(programs, *pool));

  const Times float_times = programs[0].times(), int8_times = programs[1].times();
  const std::vector<LayerReport> all = quantized.layers;
  auto float_layers = layers_faster_in_float(*graph, quantized.layers, float_times, int8_times);
  add_slow_wide_layers(all, float_times, int8_times, float_layers);
  if (!float_layers.empty()) {
    FIRN_ASSIGN(QuantizedGraph mixed, requantize({{}, float_layers}));
    if (any_in_integers(mixed.layers)) {
      // The times of single steps are no proof: the whole is timed again.
      FIRN_ASSIGN(Timed in_both, Timed::create(impl, share(mixed), *pool, frames));
      programs.push_back(std::move(in_both));
      FIRN_TRY(run_in_turns(programs, *pool));
      if (programs[2].times().total_ms < programs[1].times().total_ms) {
        quantized = std::move(mixed);
        std::swap(programs[1], programs[2]);
      }
    }
  }
  report.ms_float = programs[0].times().total_ms;
  report.ms_int8 = programs[1].times().total_ms;
  if (report.ms_int8 > kClearlyFaster * report.ms_float)
    return {Code::refused, "freeze refused: int8 is slower here, " + ms_text(report.ms_int8) +
                               " a run, fp32 " + ms_text(report.ms_float) +
                               " (FreezeOptions::timed)"};
  for (size_t i = 0; i < all.size(); ++i) {
    LayerReport& layer = quantized.layers[i];
    layer.ms_float = ms_of(float_times, layer.name);
    if (all[i].precision != Precision::f32) layer.ms_int8 = ms_of(int8_times, layer.name);
  }
  return {};
}

}  // namespace firn
