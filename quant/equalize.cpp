// SPDX-License-Identifier: Apache-2.0
// Factors for channels, and weights that take them up.
#include "quant/equalize.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

// Which channels a weighted layer's weight lies between.
class Layout {
 public:
  Layout(const Graph& graph, const Node& node) {
    const Shape& weights = graph.value(node.in[1]).shape;
    const auto* conv = std::get_if<Conv2d>(&node.op);
    channels_ = static_cast<size_t>(weights[0]);
    inner_ = static_cast<size_t>(weights[weights.rank - 1]);
    row_ = weights.elements() / channels_;
    per_group_ = channels_ / static_cast<size_t>(conv == nullptr ? 1 : conv->groups);
  }
  size_t channels() const { return channels_; }
  size_t out(size_t weight) const { return weight / row_; }
  size_t in(size_t weight) const { return out(weight) / per_group_ * inner_ + weight % inner_; }

 private:
  size_t channels_ = 0, inner_ = 0, row_ = 0, per_group_ = 0;
};

// A channel's factor: 1 where it has no class.
class Factors {
 public:
  Factors(const ChannelClasses& classes, std::span<const float> factors)
      : classes_(classes), factors_(factors) {}
  float operator()(ValueId id, size_t channel) const {
    const size_t at = classes_.of[index(id)][channel];
    return at == ChannelClasses::kNone ? 1.0f : factors_[at];
  }
  // Of all channels of the value.
  std::vector<float> of(ValueId id) const {
    std::vector<float> all;
    for (size_t c = 0; c < classes_.of[index(id)].size(); ++c) all.push_back((*this)(id, c));
    return all;
  }

 private:
  const ChannelClasses& classes_;
  std::span<const float> factors_;
};

bool changes(std::span<const float> factors) {
  return std::ranges::any_of(factors, [](float f) { return f != 1; });
}

// The upper end of the clamp on what the node gives; null where it has none.
float* upper_clamp(Node& node) {
  if (auto* conv = std::get_if<Conv2d>(&node.op)) return &conv->clamp.hi;
  if (auto* dense = std::get_if<Dense>(&node.op)) return &dense->clamp.hi;
  if (auto* binary = std::get_if<Binary>(&node.op)) return &binary->clamp.hi;
  auto* unary = std::get_if<Unary>(&node.op);
  return unary != nullptr && unary->kind == Unary::Kind::clamp ? &unary->beta : nullptr;
}

// Of values that are made then, the factors join `changed`.
Status move_clamps(Graph& graph, const Factors& factor,
                   std::map<std::string, std::vector<float>>& changed) {
  std::vector<Node> nodes;
  for (Node& node : graph.nodes) {
    float* hi = upper_clamp(node);
    const ValueId out = node.out[0];
    std::vector<float> bounds;
    if (hi != nullptr && std::isfinite(*hi)) bounds = factor.of(out);
    if (!changes(bounds)) {
      nodes.push_back(std::move(node));
      continue;
    }
    Value open = graph.value(out);
    open.name = graph.unique_name(open.name + ".open");
    changed[open.name] = bounds;
    for (float& bound : bounds) bound *= *hi;
    *hi = std::numeric_limits<float>::infinity();
    node.out[0] = graph.add(std::move(open));
    FIRN_ASSIGN(const ValueId constant,
                graph.add_constant<float>(node.name + ".bound",
                                          Shape{static_cast<int32_t>(bounds.size())}, bounds));
    Node bound{node.name + ".bound", Binary{Binary::Kind::min}, {node.out[0], constant}, {out}};
    nodes.push_back(std::move(node));
    nodes.push_back(std::move(bound));
  }
  graph.nodes = std::move(nodes);
  return {};
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
    float factor = std::sqrt(goal / now);
    // Nothing is lost of what passes the largest channel; of what passes a clamp, the rest.
    if (std::isfinite(classes.clamp[i]))
      factor = std::min(factor, goal / (now * margin[classes.component[i]]));
    if (factor > 1) factors[i] = factor;
  }
  return factors;
}

std::vector<float> weight_factors(const Graph& graph, const ChannelClasses& classes,
                                  std::span<const ChannelPeaks> peaks) {
  constexpr int kRounds = 20;
  constexpr float kMost = 1e4f;
  const std::vector<Peak> peak = peaks_of_classes(classes, peaks);
  std::vector<float> factors(classes.count, 1.0f);
  const auto class_of = [&](ValueId id, size_t channel) { return classes.of[index(id)][channel]; };
  const Factors factor(classes, factors);
  for (int round = 0; round < kRounds; ++round) {
    // Of a layer's or tensor's range the part that the channel uses: where it is made, read,
    // between.
    std::vector<float> made(classes.count), read(classes.count);
    std::map<size_t, float> widest;
    for (size_t i = 0; i < classes.count; ++i) {
      float& of_all = widest[classes.component[i]];
      of_all = std::max(of_all, peak[i].largest() * factors[i]);
    }
    for (const Node& node : graph.nodes) {
      if (int8_form(graph, node).kind != Int8Form::Kind::weighted) continue;
      const Layout layout(graph, node);
      const std::span<const float> weights = graph.value(node.in[1]).as<float>();
      std::vector<float> scaled(weights.size());
      float largest = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        scaled[i] = std::fabs(weights[i]) * factor(node.out[0], layout.out(i)) /
                    factor(node.in[0], layout.in(i));
        largest = std::max(largest, scaled[i]);
      }
      if (largest == 0) continue;
      for (size_t i = 0; i < weights.size(); ++i) {
        const size_t out = class_of(node.out[0], layout.out(i));
        const size_t in = class_of(node.in[0], layout.in(i));
        const float w = scaled[i] / largest;
        if (out != ChannelClasses::kNone) made[out] = std::max(made[out], w);
        if (in != ChannelClasses::kNone) read[in] = std::max(read[in], w);
      }
    }
    for (size_t i = 0; i < classes.count; ++i) {
      const float between = peak[i].largest() * factors[i] / widest[classes.component[i]];
      const float before = std::min(made[i], between);
      if (before > 0 && read[i] > 0)
        factors[i] = std::clamp(factors[i] * std::sqrt(read[i] / before), 1 / kMost, kMost);
    }
  }
  return factors;
}

Result<std::map<std::string, std::vector<float>>> scale_channels(Graph& graph,
                                                                 const ChannelClasses& classes,
                                                                 std::span<const float> factors,
                                                                 Clamps clamps) {
  const Factors factor(classes, factors);
  const size_t values = classes.of.size();
  for (Node& node : graph.nodes) {
    if (int8_form(graph, node).kind != Int8Form::Kind::weighted) continue;
    const Value old = graph.value(node.in[1]);
    const Layout layout(graph, node);
    std::vector<float> weights(old.as<float>().begin(), old.as<float>().end());
    bool changed = false;
    for (size_t i = 0; i < weights.size(); ++i) {
      const float by = factor(node.out[0], layout.out(i)) / factor(node.in[0], layout.in(i));
      weights[i] *= by;
      changed = changed || by != 1;
    }
    if (!changed) continue;
    FIRN_ASSIGN(node.in[1], graph.add_constant<float>(old.name + ".scaled", old.shape, weights));
    if (node.in.size() < 3 || node.in[2] == ValueId::none) continue;
    const Value bias = graph.value(node.in[2]);
    std::vector<float> scaled(bias.as<float>().begin(), bias.as<float>().end());
    for (size_t o = 0; o < layout.channels(); ++o) scaled[o] *= factor(node.out[0], o);
    FIRN_ASSIGN(node.in[2], graph.add_constant<float>(bias.name + ".scaled", bias.shape, scaled));
  }
  std::map<std::string, std::vector<float>> changed;
  for (size_t v = 0; v < values; ++v) {
    std::vector<float> of_value = factor.of(static_cast<ValueId>(v));
    if (changes(of_value)) changed[graph.values[v].name] = std::move(of_value);
  }
  if (clamps == Clamps::move) FIRN_TRY(move_clamps(graph, factor, changed));
  sweep(graph);
  return changed;
}

}  // namespace firn
