// SPDX-License-Identifier: Apache-2.0
// Passes over kept frames: peaks of channels, ranges of scaled values, covariances of inputs.
#include "quant/refine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/isa.h"
#include "kernels/stats_f32.h"
#include "quant/equalize.h"
#include "quant/input_moments.h"
#include "quant/report.h"
#include "quant/round_weights.h"

namespace firn {
namespace {

void raise_peaks(std::span<const float> x, size_t channels, std::vector<float>& peaks) {
  peaks.resize(channels);
  for (size_t at = 0; at + channels <= x.size(); at += channels)
    for (size_t c = 0; c < channels; ++c) peaks[c] = std::max(peaks[c], std::fabs(x[at + c]));
}

// Of the values that change and are quantized, all that they take: what goes furthest in one of
// channels made alike is no outlier, and clipping it would cost most where a channel was made
// large.
Result<std::map<std::string, Interval>> ranges_of_changed(
    const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames kept,
    const std::map<std::string, std::vector<float>>& factors) {
  std::map<std::string, Interval> ranges;
  for (const ObservedTensor& tensor : tensors_to_observe(*graph))
    if (tensor.range && factors.contains(tensor.name)) ranges[tensor.name];
  FIRN_TRY(run_frames(impl, graph, kept,
                      [&](size_t, const Graph& g, ValueId id, std::span<const float> x) {
                        const auto found = ranges.find(g.value(id).name);
                        if (found == ranges.end() || x.empty()) return;
                        const kernels::StatsF32 stats = kernels::stats_f32(x.size(), x.data());
                        if (!stats.finite) return;
                        found->second = {std::min(found->second.lo, stats.min),
                                         std::max(found->second.hi, stats.max)};
                      }));
  return ranges;
}

// How much work a rounding spends.
struct Effort {
  size_t longest_row, positions;  // per frame
  int sweeps;
};

Effort effort_of(Rounding rounding) {
  if (rounding == Rounding::thorough) return {5120, 1024, 32};
  return {1536, 128, 4};
}

// Covariances that are collected in one pass over the frames take no more floats than this.
constexpr size_t kMostFloats = size_t{16} << 20;

Result<RoundedWeights> round_layer(const Graph& graph, const Node& node,
                                   const InputMoments& moments, const Effort& effort,
                                   const QuantizeOptions& options, kernels::Pool& pool) {
  const Value& weights = graph.value(node.in[1]);
  const std::span<const float> w = weights.as<float>();
  const size_t channels = static_cast<size_t>(weights.shape[0]), row = moments.row();
  RoundedWeights rounded = nearest_weights(channels, w, options.weight_scale, options.per_channel);
  const size_t per_group = channels / moments.groups();
  for (size_t g = 0; g < moments.groups(); ++g) {
    const std::vector<float> covariance = moments.covariance(g);
    auto work = [&](size_t begin, size_t end) {
      std::vector<float> gradient(row);
      for (size_t c = g * per_group + begin; c < g * per_group + end; ++c)
        round_row(w.subspan(c * row, row), rounded.scale[c], covariance, effort.sweeps, 127,
                  std::span(rounded.weights).subspan(c * row, row), gradient);
    };
    if (per_group == 1)
      work(0, 1);
    else
      pool.parallel_for(per_group, 8, work);
  }
  return rounded;
}

}  // namespace

Status run_frames(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames frames,
                  const See& see) {
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return {Code::out_of_memory, "freeze: no memory"};
  FIRN_ASSIGN(const auto program, impl.compile(graph, *pool));
  const std::vector<Shape> shapes = input_shapes(*graph);
  // A view of another value is an output that no step writes.
  std::vector<ValueId> views = graph->outputs;
  for (const LoweredStep& step : program->steps())
    for (const ValueId id : step.writes) std::erase(views, id);
  for (size_t f = 0; f < frames.size(); ++f) {
    if (frames[f]->shapes != shapes) continue;
    const auto show = [&](const Program& p, ValueId id) {
      const Value& value = p.graph().value(id);
      if (value.type == DType::f32)
        see(f, p.graph(), id, {static_cast<const float*>(p.data(id)), value.shape.elements()});
    };
    for (size_t i = 0; i < frames[f]->inputs.size(); ++i)
      program->bind_input(i, frames[f]->inputs[i]->bytes().data());
    for (const ValueId id : graph->inputs) show(*program, id);
    const Program::Hook hook = [&](const Program& p, size_t step) {
      for (const ValueId id : p.steps()[step].writes) show(p, id);
    };
    FIRN_TRY(program->run(*pool, &hook));
    for (const ValueId id : views) show(*program, id);
  }
  return {};
}

Result<Answers> answers_of(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                           Frames frames) {
  Answers answers;
  for (const ValueId id : graph->outputs) answers[graph->value(id).name];
  FIRN_TRY(run_frames(
      impl, graph, frames, [&](size_t frame, const Graph& g, ValueId id, std::span<const float> x) {
        if (const auto found = answers.find(g.value(id).name); found != answers.end())
          found->second[frame].assign(x.begin(), x.end());
      }));
  return answers;
}

Result<std::vector<OutputReport>> output_errors(const SessionImpl& impl, const Answers& wanted,
                                                const std::shared_ptr<const Graph>& other,
                                                Frames frames) {
  std::map<std::string, Sqnr> error;
  std::map<std::string, double> largest;
  FIRN_TRY(run_frames(
      impl, other, frames, [&](size_t frame, const Graph& g, ValueId id, std::span<const float> x) {
        const auto found = wanted.find(g.value(id).name);
        if (found == wanted.end()) return;
        const auto of_frame = found->second.find(frame);
        if (of_frame == found->second.end() || of_frame->second.size() != x.size()) return;
        error[found->first].add(of_frame->second, x);
        double& most = largest[found->first];
        for (size_t i = 0; i < x.size(); ++i)
          most = std::max(most, std::fabs(static_cast<double>(of_frame->second[i]) - x[i]));
      }));
  std::vector<OutputReport> outputs;
  for (const ValueId id : other->outputs) {
    const std::string& name = other->value(id).name;
    outputs.push_back({name, error[name].db(), largest[name]});
  }
  return outputs;
}

Result<double> least_sqnr_db(const SessionImpl& impl, const Answers& wanted,
                             const std::shared_ptr<const Graph>& other, Frames frames) {
  FIRN_ASSIGN(const std::vector<OutputReport> outputs, output_errors(impl, wanted, other, frames));
  double least = INFINITY;
  for (const OutputReport& output : outputs) least = std::min(least, output.sqnr_db);
  return least;
}

Result<double> least_sqnr_db(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                             const std::shared_ptr<const Graph>& other, Frames frames) {
  FIRN_ASSIGN(const Answers answers, answers_of(impl, graph, frames));
  return least_sqnr_db(impl, answers, other, frames);
}

Result<double> shortest_run_ms(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                               Frames frames) {
  using Clock = std::chrono::steady_clock;
  const auto pool = kernels::Pool::create(1);
  if (pool == nullptr) return Status(Code::out_of_memory, "freeze: no memory");
  FIRN_ASSIGN(const auto program, impl.compile(graph, *pool));
  const std::vector<Shape> shapes = input_shapes(*graph);
  double shortest = INFINITY;
  for (const auto& frame : frames) {
    if (frame->shapes != shapes) continue;
    for (size_t i = 0; i < frame->inputs.size(); ++i)
      program->bind_input(i, frame->inputs[i]->bytes().data());
    const Clock::time_point start = Clock::now();
    FIRN_TRY(program->run(*pool));
    const std::chrono::duration<double, std::milli> taken = Clock::now() - start;
    shortest = std::min(shortest, taken.count());
  }
  return std::isinf(shortest) ? 0 : shortest;
}

Result<Equalized> equalize(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                           Frames kept, Alike alike) {
  const ChannelClasses classes = channel_classes(*graph);
  if (classes.count == 0) return Equalized{graph, {}, {}};
  std::vector<ChannelPeaks> peaks(graph->values.size());
  FIRN_TRY(run_frames(
      impl, graph, kept, [&](size_t frame, const Graph&, ValueId id, std::span<const float> x) {
        raise_peaks(x, classes.of[index(id)].size(), peaks[index(id)].half[frame % 2]);
      }));
  Graph scaled = *graph;
  const std::vector<float> factors = alike == Alike::activations
                                         ? activation_factors(classes, peaks)
                                         : weight_factors(scaled, classes, peaks);
  const Clamps clamps = alike == Alike::weights ? Clamps::move : Clamps::stay;
  FIRN_ASSIGN(auto changed, scale_channels(scaled, classes, factors, clamps));
  if (changed.empty()) return Equalized{graph, {}, {}};
  auto made = std::make_shared<const Graph>(std::move(scaled));
  FIRN_ASSIGN(auto ranges, ranges_of_changed(impl, made, kept, changed));
  return Equalized{std::move(made), std::move(changed), std::move(ranges)};
}

Result<std::map<std::string, RoundedWeights>> round_weights(
    const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames kept,
    Rounding rounding, const QuantizeOptions& options) {
  std::map<std::string, RoundedWeights> rounded;
  if (rounding == Rounding::nearest || kept.empty()) return rounded;
  const Effort effort = effort_of(rounding);
  const kernels::GemmF32Kernel& kernel =
      kernels::pick(kernels::gemm_f32_table(), kernels::allowed_isas(impl.isa));
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return Status(Code::out_of_memory, "freeze: no memory");

  size_t next = 0;
  while (next < graph->nodes.size()) {
    // As many layers as their covariances have room.
    std::map<size_t, InputMoments> moments;  // by node
    std::map<std::string, std::vector<size_t>> readers;
    for (size_t floats = 0; next < graph->nodes.size(); ++next) {
      const Node& node = graph->nodes[next];
      if (int8_form(*graph, node).kind != Int8Form::Kind::weighted) continue;
      const Shape& weights = graph->value(node.in[1]).shape;
      if (weights.elements() / static_cast<size_t>(weights[0]) > effort.longest_row) continue;
      const size_t more = InputMoments::size(*graph, node);
      if (floats > 0 && floats + more > kMostFloats) break;
      floats += more;
      moments.emplace(next, InputMoments(*graph, node));
      readers[graph->value(means_source_of(*graph, Uses(*graph), node.in[0])).name].push_back(next);
    }
    FIRN_TRY(run_frames(impl, graph, kept,
                        [&](size_t frame, const Graph& g, ValueId id, std::span<const float> x) {
                          const auto found = readers.find(g.value(id).name);
                          if (found == readers.end()) return;
                          for (const size_t n : found->second)
                            moments.at(n).add(x, effort.positions,
                                              static_cast<uint32_t>(frame) * 2654435769u, kernel);
                        }));
    for (auto& [n, of_layer] : moments) {
      of_layer.finish(kernel);
      if (of_layer.samples() == 0) continue;
      const Node& node = graph->nodes[n];
      FIRN_ASSIGN(rounded[node.name], round_layer(*graph, node, of_layer, effort, options, *pool));
    }
  }
  return rounded;
}

}  // namespace firn
