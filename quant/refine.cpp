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
#include "quant/return_freed.h"
#include "quant/round_weights.h"

namespace firn {
namespace {

void raise_peaks(std::span<const float> x, size_t channels, std::vector<float>& peaks) {
  peaks.resize(channels);
  for (size_t at = 0; at + channels <= x.size(); at += channels)
    for (size_t c = 0; c < channels; ++c) peaks[c] = std::max(peaks[c], std::fabs(x[at + c]));
}

// Of the values that change.
Result<std::map<std::string, Histogram>> histograms_of_changed(
    const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames frames,
    const std::map<std::string, std::vector<float>>& factors) {
  std::map<std::string, Histogram> histograms;
  std::vector<float> samples(Observer::kMaxSamples);
  for (const auto& [name, of_value] : factors) histograms[name];
  FIRN_TRY(run_frames(
      impl, graph, frames, [&](size_t, const Graph& g, ValueId id, std::span<const float> x) {
        const auto found = histograms.find(g.value(id).name);
        if (found == histograms.end() || x.empty()) return;
        const kernels::SamplePattern pattern(x.size(), samples.size());
        const kernels::StatsF32 stats =
            kernels::sample_f32(x.size(), x.data(), pattern, samples.data());
        if (stats.finite)
          found->second.add_frame(stats.min, stats.max, std::span(samples).first(pattern.count));
      }));
  return histograms;
}

// For add_answer() to fill: no other values are answers.
Answers no_answers_yet(const Graph& graph) {
  Answers answers;
  for (const ValueId id : graph.outputs) answers[graph.value(id).name];
  return answers;
}

void add_answer(const Graph& graph, size_t frame, ValueId id, std::span<const float> x,
                Answers& answers) {
  if (const auto found = answers.find(graph.value(id).name); found != answers.end())
    found->second[frame].assign(x.begin(), x.end());
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

// What an int8 input varies by beside the float one: the error of its own rounding, and about as
// much again that what it is computed of brings along.
double input_noise(Interval range) {
  const double scale = to_quant(range).scale[0];
  return 2 * scale * scale / 12;
}

// Rows of weights that are rounded side by side.
constexpr size_t kRowsAtOnce = 32;

// Covariances that are collected in one pass over the frames take no more floats than this.
constexpr size_t kMostFloats = size_t{16} << 20;

Result<RoundedWeights> round_layer(const Graph& graph, const Node& node,
                                   const InputMoments& moments, double noise, const Effort& effort,
                                   const QuantizeOptions& options,
                                   const kernels::GemmF32Kernel& kernel, kernels::Pool& pool) {
  const Value& weights = graph.value(node.in[1]);
  const std::span<const float> w = weights.as<float>();
  const size_t channels = static_cast<size_t>(weights.shape[0]), row = moments.row();
  RoundedWeights rounded = nearest_weights(channels, w, options.weight_scale, options.per_channel);
  const size_t per_group = channels / moments.groups();
  for (size_t g = 0; g < moments.groups(); ++g) {
    const std::vector<float> covariance = moments.covariance(g, noise);
    auto work = [&](size_t begin, size_t end) {
      for (size_t from = begin; from < end; from += kRowsAtOnce) {
        const size_t count = std::min(kRowsAtOnce, end - from), c = g * per_group + from;
        round_rows(w.subspan(c * row, count * row), std::span(rounded.scale).subspan(c, count),
                   covariance, effort.sweeps, 127,
                   std::span(rounded.weights).subspan(c * row, count * row), kernel);
      }
    };
    if (per_group == 1)
      work(0, 1);
    else
      pool.parallel_for(per_group, kRowsAtOnce, work);
  }
  return rounded;
}

}  // namespace

Status run_frames(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames frames,
                  const See& see) {
  const ReturnFreed afterwards;
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return {Code::out_of_memory, "freeze: no memory"};
  FIRN_ASSIGN(const auto program, Program::compile(graph, impl.compile_options(*graph), *pool));
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
  Answers answers = no_answers_yet(*graph);
  FIRN_TRY(run_frames(impl, graph, frames,
                      [&](size_t frame, const Graph& g, ValueId id, std::span<const float> x) {
                        add_answer(g, frame, id, x, answers);
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
                           Frames held, Frames kept, Alike alike) {
  const ChannelClasses classes = channel_classes(*graph);
  if (classes.count == 0) return Equalized{graph, {}, {}, {}, {}, {}};
  std::vector<std::shared_ptr<const HeldFrame>> frames(held.begin(), held.end());
  frames.insert(frames.end(), kept.begin(), kept.end());
  std::vector<ChannelPeaks> peaks(graph->values.size());
  Answers on_held = no_answers_yet(*graph), on_kept = on_held;
  FIRN_TRY(run_frames(
      impl, graph, frames, [&](size_t f, const Graph& g, ValueId id, std::span<const float> x) {
        if (f < held.size()) return add_answer(g, f, id, x, on_held);
        const size_t frame = f - held.size();
        add_answer(g, frame, id, x, on_kept);
        raise_peaks(x, classes.of[index(id)].size(), peaks[index(id)].half[frame % 2]);
      }));
  Graph scaled = *graph;
  const std::vector<float> factors = alike == Alike::activations
                                         ? activation_factors(classes, peaks)
                                         : weight_factors(scaled, classes, peaks);
  const Clamps clamps = alike == Alike::weights ? Clamps::move : Clamps::stay;
  FIRN_ASSIGN(auto changed, scale_channels(scaled, classes, factors, clamps));
  if (changed.empty()) return Equalized{graph, {}, {}, {}, {}, {}};
  auto made = std::make_shared<const Graph>(std::move(scaled));
  FIRN_ASSIGN(auto histograms, histograms_of_changed(impl, made, kept, changed));
  std::map<std::string, float> largest;
  for (size_t v = 0; v < peaks.size(); ++v)
    for (const std::vector<float>& half : peaks[v].half)
      for (const float peak : half) {
        float& of_value = largest[graph->values[v].name];
        of_value = std::max(of_value, peak);
      }
  return Equalized{std::move(made),    std::move(changed), std::move(histograms),
                   std::move(largest), std::move(on_held), std::move(on_kept)};
}

Result<std::map<std::string, RoundedWeights>> round_weights(
    const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames kept,
    const std::map<std::string, Interval>& ranges, Rounding rounding,
    const QuantizeOptions& options) {
  std::map<std::string, RoundedWeights> rounded;
  if (rounding == Rounding::nearest || kept.empty()) return rounded;
  const Effort effort = effort_of(rounding);
  const kernels::GemmF32Kernel& kernel =
      kernels::pick(kernels::gemm_f32_table(), kernels::allowed_isas(impl.isa));
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return Status(Code::out_of_memory, "freeze: no memory");

  std::vector<float> samples;
  size_t next = 0;
  while (next < graph->nodes.size()) {
    // As many layers as their covariances have room.
    std::map<size_t, InputMoments> moments;  // by node
    std::map<std::string, std::vector<size_t>> readers;
    std::map<size_t, double> noise;
    for (size_t floats = 0; next < graph->nodes.size(); ++next) {
      const Node& node = graph->nodes[next];
      if (int8_form(*graph, node).kind != Int8Form::Kind::weighted) continue;
      const Shape& weights = graph->value(node.in[1]).shape;
      if (weights.elements() / static_cast<size_t>(weights[0]) > effort.longest_row) continue;
      const size_t more = InputMoments::size(*graph, node);
      if (floats > 0 && floats + more > kMostFloats) break;
      floats += more;
      moments.emplace(next, InputMoments(*graph, node));
      const std::string& source =
          graph->value(means_source_of(*graph, Uses(*graph), node.in[0])).name;
      readers[source].push_back(next);
      if (const auto range = ranges.find(source); range != ranges.end())
        noise[next] = input_noise(range->second);
    }
    FIRN_TRY(run_frames(
        impl, graph, kept, [&](size_t frame, const Graph& g, ValueId id, std::span<const float> x) {
          const auto found = readers.find(g.value(id).name);
          if (found == readers.end()) return;
          for (const size_t n : found->second)
            moments.at(n).add(x, effort.positions, static_cast<uint32_t>(frame) * 2654435769u,
                              kernel, samples);
        }));
    for (const auto& [n, of_layer] : moments) {
      if (of_layer.samples() == 0) continue;
      const Node& node = graph->nodes[n];
      FIRN_ASSIGN(rounded[node.name],
                  round_layer(*graph, node, of_layer, noise[n], effort, options, kernel, *pool));
    }
  }
  return rounded;
}

}  // namespace firn
