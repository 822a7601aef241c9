// SPDX-License-Identifier: Apache-2.0
// Samples of layers' outputs on frames, float and quantized, and the biases that bring them closer.
#include "quant/measure_bias.h"

#include <algorithm>
#include <cmath>

namespace firn {
namespace {

// Output positions of a layer that are looked at in a frame, others in each.
constexpr size_t kPositions = 64;
// Samples that are collected in one pass over the frames take no more floats than this.
constexpr size_t kMostFloats = size_t{16} << 20;

// A layer: its node in the quantized graph, its output in the float graph.
struct Layer {
  size_t node;
  std::string output;
};

std::vector<Layer> int8_layers(const Graph& original, const Graph& quantized) {
  std::map<std::string, const Node*> by_name;
  for (const Node& node : original.nodes) by_name[node.name] = &node;
  std::vector<Layer> layers;
  for (size_t n = 0; n < quantized.nodes.size(); ++n) {
    const Node& node = quantized.nodes[n];
    if (!std::holds_alternative<Conv2d>(node.op) && !std::holds_alternative<Dense>(node.op))
      continue;
    const auto found = by_name.find(node.name);
    if (found != by_name.end() && quantized.value(node.in[0]).type == DType::i8)
      layers.push_back({n, original.value(found->second->out[0]).name});
  }
  return layers;
}

size_t channels_of(const Value& value) {
  return static_cast<size_t>(value.shape[value.shape.rank - 1]);
}

// Positions x channels of one value, by frame.
using Samples = std::map<size_t, std::vector<float>>;

void sample(std::span<const float> x, size_t channels, size_t frame, Samples& samples) {
  const size_t positions = x.size() / channels, taken = std::min(positions, kPositions);
  if (taken == 0) return;
  size_t at = frame * 2654435769u % positions;
  std::vector<float>& values = samples[frame];
  for (size_t i = 0; i < taken; ++i, at = (at + positions / taken) % positions) {
    const auto of_position = x.subspan(at * channels, channels);
    values.insert(values.end(), of_position.begin(), of_position.end());
  }
}

// Of the float graph's values that these layers make, by name.
Result<std::map<std::string, Samples>> float_samples(const SessionImpl& impl,
                                                     const std::shared_ptr<const Graph>& graph,
                                                     std::span<const Layer> layers, Frames frames) {
  std::map<std::string, Samples> samples;
  for (const Layer& layer : layers) samples[layer.output];
  FIRN_TRY(run_frames(impl, graph, frames,
                      [&](size_t f, const Graph& g, ValueId id, std::span<const float> x) {
                        const Value& value = g.value(id);
                        if (const auto found = samples.find(value.name); found != samples.end())
                          sample(x, channels_of(value), f, found->second);
                      }));
  return samples;
}

// Of one value of a quantized graph, of which only what leads to it is run.
Result<Samples> samples_of(const SessionImpl& impl, const Graph& graph, ValueId id, Frames frames) {
  Graph prefix = graph;
  if (prefix.value(id).type != DType::f32) {
    Value floats{prefix.unique_name("sampled"), DType::f32, prefix.value(id).shape, {}, {}};
    const std::string name = floats.name;
    const ValueId out = prefix.add(std::move(floats));
    prefix.add(Node{name, Convert{DType::f32}, {id}, {out}});
    id = out;
  }
  prefix.outputs = {id};
  prefix.states = 0;
  const std::string name = prefix.value(id).name;
  const size_t channels = channels_of(prefix.value(id));
  sweep(prefix);
  Samples samples;
  FIRN_TRY(run_frames(impl, std::make_shared<const Graph>(std::move(prefix)), frames,
                      [&](size_t f, const Graph& g, ValueId seen, std::span<const float> x) {
                        if (g.value(seen).name == name) sample(x, channels, f, samples);
                      }));
  return samples;
}

// Where the layer's output is no longer what its sums are: the ends of its clamp and of int8.
Clamp held_outside(const Graph& graph, const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  Clamp ends = conv != nullptr ? conv->clamp : std::get<Dense>(node.op).clamp;
  const Value& out = graph.value(node.out[0]);
  if (out.type != DType::i8) return ends;
  const float scale = out.quant->scale[0];
  const auto real = [&](int q) { return scale * static_cast<float>(q - out.quant->zero[0]); };
  const float half = scale / 2;  // the same byte
  return {std::max(ends.lo, real(-128)) + half, std::min(ends.hi, real(127)) - half};
}

// What to add to each channel.
std::vector<double> shifts(const Samples& want, const Samples& got, const Clamp& ends,
                           size_t channels) {
  const size_t frames = got.size();
  std::vector<double> sums(channels * frames), counts(channels * frames);
  size_t f = 0;
  for (const auto& [frame, values] : got) {
    const auto wanted = want.find(frame);
    if (wanted == want.end() || wanted->second.size() != values.size()) continue;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!(values[i] > ends.lo && values[i] < ends.hi)) continue;
      const size_t cell = i % channels * frames + f;
      sums[cell] += double{wanted->second[i]} - values[i];
      ++counts[cell];
    }
    ++f;
  }
  std::vector<double> shift(channels);
  for (size_t c = 0; c < channels; ++c)
    shift[c] = shrunk_shift(std::span(sums).subspan(c * frames, frames),
                            std::span(counts).subspan(c * frames, frames));
  return shift;
}

Status add_to_bias(Graph& graph, size_t n, std::span<const double> shift) {
  const ValueId weights = graph.nodes[n].in[1];
  const double input_scale = double{graph.value(graph.nodes[n].in[0]).quant->scale[0]};
  std::vector<ValueId>& in = graph.nodes[n].in;
  in.resize(3, ValueId::none);
  const bool biased = in[2] != ValueId::none;
  std::vector<int32_t> bias(shift.size());
  if (biased) std::ranges::copy(graph.value(in[2]).as<int32_t>(), bias.begin());
  Quant quant{0, 32, 0, {}, std::vector<int32_t>(shift.size())};
  for (size_t c = 0; c < shift.size(); ++c) {
    const double scale = input_scale * double{graph.value(weights).quant->scale[c]};
    quant.scale.push_back(static_cast<float>(scale));
    bias[c] = static_cast<int32_t>(
        std::clamp(bias[c] + std::nearbyint(shift[c] / scale), -0x1p30, 0x1p30));
  }
  const std::string name = biased ? graph.value(in[2]).name : graph.nodes[n].name + ".bias.int32";
  FIRN_ASSIGN(in[2],
              graph.add_constant<int32_t>(name, Shape{static_cast<int32_t>(shift.size())}, bias));
  graph.value(in[2]).quant = std::move(quant);
  return {};
}

Result<bool> comes_closer(const SessionImpl& impl, const std::shared_ptr<const Graph>& original,
                          const std::shared_ptr<const Graph>& before,
                          const std::shared_ptr<const Graph>& after, Frames kept, Frames held) {
  std::vector<std::shared_ptr<const HeldFrame>> frames(kept.begin(), kept.end());
  frames.insert(frames.end(), held.begin(), held.end());
  FIRN_ASSIGN(const Answers answers, answers_of(impl, original, frames));
  FIRN_ASSIGN(const double db_before, least_sqnr_db(impl, answers, before, frames));
  FIRN_ASSIGN(const double db_after, least_sqnr_db(impl, answers, after, frames));
  return db_after > db_before;
}

}  // namespace

double shrunk_shift(std::span<const double> sums, std::span<const double> counts) {
  double sum = 0, count = 0;
  for (size_t f = 0; f < sums.size(); ++f) {
    sum += sums[f];
    count += counts[f];
  }
  if (count == 0) return 0;
  const double mean = sum / count;
  double frames = 0, squares = 0;
  for (size_t f = 0; f < sums.size(); ++f) {
    if (counts[f] == 0) continue;
    ++frames;
    squares += std::pow(sums[f] - mean * counts[f], 2);
  }
  if (frames < 2 || mean == 0) return 0;
  const double variance = squares / (count * count) * frames / (frames - 1);
  return mean * std::max(0.0, 1 - variance / (mean * mean));
}

Result<std::shared_ptr<const Graph>> correct_biases(const SessionImpl& impl,
                                                    const std::shared_ptr<const Graph>& original,
                                                    const std::shared_ptr<const Graph>& quantized,
                                                    Frames kept, Frames held) {
  const std::vector<Layer> all = int8_layers(*original, *quantized);
  if (kept.empty() || all.empty()) return quantized;
  Graph graph = *quantized;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    for (size_t floats = 0; end < all.size(); ++end) {
      const Value& out = graph.value(graph.nodes[all[end].node].out[0]);
      floats += kept.size() * std::min(out.shape.elements(), kPositions * channels_of(out));
      if (end > begin && floats > kMostFloats) break;
    }
    const auto layers = std::span(all).subspan(begin, end - begin);
    FIRN_ASSIGN(const auto wanted, float_samples(impl, original, layers, kept));
    for (const Layer& layer : layers) {
      const Node& node = graph.nodes[layer.node];
      FIRN_ASSIGN(const Samples got, samples_of(impl, graph, node.out[0], kept));
      const size_t channels = channels_of(graph.value(node.out[0]));
      FIRN_TRY(
          add_to_bias(graph, layer.node,
                      shifts(wanted.at(layer.output), got, held_outside(graph, node), channels)));
    }
  }
  sweep(graph);
  FIRN_TRY(check(graph));
  auto corrected = std::make_shared<const Graph>(std::move(graph));
  FIRN_ASSIGN(const bool closer, comes_closer(impl, original, quantized, corrected, kept, held));
  return closer ? corrected : quantized;
}

}  // namespace firn
