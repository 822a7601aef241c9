// SPDX-License-Identifier: Apache-2.0
// Factors for channels, and weights that take them up.
#include "quant/equalize.h"

#include <algorithm>
#include <cmath>

#include "runtime/int8_ops.h"

namespace firn {
namespace {

// A channel that is smaller than this part of the largest one counts as that large.
constexpr float kSmallest = 1.0f / 64;

struct Peak {
  float half[2] = {0, 0};
  float largest() const { return std::max(half[0], half[1]); }
};

std::vector<Peak> peaks_of_classes(const ChannelClasses& classes,
                                   std::span<const ChannelPeaks> peaks) {
  std::vector<Peak> of_class(classes.count);
  for (size_t v = 0; v < peaks.size(); ++v)
    for (int h = 0; h < 2; ++h)
      for (size_t c = 0; c < peaks[v].half[h].size(); ++c)
        if (const size_t at = classes.of[v][c]; at != ChannelClasses::kNone)
          of_class[at].half[h] = std::max(of_class[at].half[h], peaks[v].half[h][c]);
  return of_class;
}

int32_t groups_of(const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  return conv == nullptr ? 1 : conv->groups;
}

}  // namespace

std::vector<float> activation_factors(const ChannelClasses& classes,
                                      std::span<const ChannelPeaks> peaks) {
  const std::vector<Peak> peak = peaks_of_classes(classes, peaks);
  std::map<size_t, float> largest;  // by component
  for (size_t i = 0; i < classes.count; ++i) {
    float& of_all = largest[classes.component[i]];
    of_all = std::max(of_all, peak[i].largest());
  }
  std::map<size_t, float> margin;
  for (size_t i = 0; i < classes.count; ++i) {
    const float least = kSmallest * largest[classes.component[i]];
    if (least == 0) continue;
    const float a = std::max(peak[i].half[0], least), b = std::max(peak[i].half[1], least);
    float& of_all = margin[classes.component[i]];
    of_all = std::max(of_all, std::max(a / b, b / a));
  }
  std::vector<float> factors(classes.count, 1.0f);
  for (size_t i = 0; i < classes.count; ++i) {
    const float goal = std::min(largest[classes.component[i]], classes.clamp[i]);
    if (peak[i].largest() == 0) continue;
    const float now = std::max(peak[i].largest(), kSmallest * goal);
    const float factor =
        std::min(std::sqrt(goal / now), goal / (now * margin[classes.component[i]]));
    if (factor > 1) factors[i] = factor;
  }
  return factors;
}

Result<std::map<std::string, std::vector<float>>> scale_channels(Graph& graph,
                                                                 const ChannelClasses& classes,
                                                                 std::span<const float> factors) {
  const auto factor = [&](ValueId id, size_t channel) {
    const size_t at = classes.of[index(id)][channel];
    return at == ChannelClasses::kNone ? 1.0f : factors[at];
  };
  const size_t values = classes.of.size();
  for (Node& node : graph.nodes) {
    if (int8_form(graph, node).kind != Int8Form::Kind::weighted) continue;
    const Value old = graph.value(node.in[1]);
    const size_t out = static_cast<size_t>(old.shape[0]);
    const size_t in = static_cast<size_t>(old.shape[old.shape.rank - 1]);
    const size_t row = old.shape.elements() / out;
    const size_t out_per_group = out / static_cast<size_t>(groups_of(node));
    std::vector<float> weights(old.as<float>().begin(), old.as<float>().end());
    bool changed = false;
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t o = i / row, c = o / out_per_group * in + i % in;
      const float by = factor(node.out[0], o) / factor(node.in[0], c);
      weights[i] *= by;
      changed = changed || by != 1;
    }
    if (!changed) continue;
    FIRN_ASSIGN(node.in[1], graph.add_constant<float>(old.name + ".scaled", old.shape, weights));
    if (node.in.size() < 3 || node.in[2] == ValueId::none) continue;
    const Value bias = graph.value(node.in[2]);
    std::vector<float> scaled(bias.as<float>().begin(), bias.as<float>().end());
    for (size_t o = 0; o < out; ++o) scaled[o] *= factor(node.out[0], o);
    FIRN_ASSIGN(node.in[2], graph.add_constant<float>(bias.name + ".scaled", bias.shape, scaled));
  }
  std::map<std::string, std::vector<float>> changed;
  for (size_t v = 0; v < values; ++v) {
    std::vector<float> of_value;
    for (size_t c = 0; c < classes.of[v].size(); ++c)
      of_value.push_back(factor(static_cast<ValueId>(v), c));
    if (std::ranges::any_of(of_value, [](float f) { return f != 1; }))
      changed[graph.values[v].name] = std::move(of_value);
  }
  sweep(graph);
  return changed;
}

}  // namespace firn
