// SPDX-License-Identifier: Apache-2.0
// Deciding on precisions: what the user asked for, what spreads from the weights, islands and
// tails.
#include "quant/assign.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "quant/report.h"

namespace firn {
namespace {

using Kind = Int8Form::Kind;

// A weighted layer between float ones pays for two conversions; below this part of all
// multiplications it is not worth them, nor the precision (the box decoder of a detector).
constexpr double kSmallShare = 0.01;
// One scale for parts this far apart leaves the small ones without levels: boxes and scores.
constexpr double kConcatRatio = 8;

class Assigner {
 public:
  Assigner(const QuantView& view)
      : view_(view),
        graph_(view.graph),
        why_(graph_.nodes.size()),
        why_wide_(graph_.nodes.size()) {}

  // Whose layers stay in float, and which have 16-bit activations.
  Status look_up(const QuantizeOptions& options);
  Assignment run(const QuantizeOptions& options);

 private:
  size_t nodes() const { return graph_.nodes.size(); }
  const Int8Form& form(size_t n) const { return view_.forms[n]; }
  bool may(size_t n) const { return form(n).kind != Kind::none && why_[n].empty(); }
  bool wide(size_t n) const {
    return form(n).kind == Kind::weighted && why_[n].empty() && !why_wide_[n].empty();
  }
  bool is_int8_value(ValueId id) const {
    const int producer = view_.uses.producer_of(id);
    return producer >= 0 && int8_[static_cast<size_t>(producer)];
  }
  template <typename F>
  bool all_readers(size_t n, F holds) const {
    for (ValueId id : graph_.nodes[n].out)
      for (int reader : view_.uses.consumers_of(id))
        if (!holds(static_cast<size_t>(reader))) return false;
    return true;
  }

  std::optional<std::vector<size_t>> at_the_ends(std::string_view pattern) const;
  template <typename Takes>
  Status find(const char* option, const std::vector<std::string>& patterns, const char* names,
              const std::map<std::string, std::string>& layers, const Takes& takes,
              std::vector<std::string>& reasons) const;
  void spread();
  void find_reach();
  bool keep_one_more_in_float();
  bool keep_unranged_in_float();
  bool is_small_island(size_t n) const;
  bool mixes_scales(size_t n, std::string& why) const;
  void free_tails();

  const QuantView& view_;
  const Graph& graph_;
  std::vector<std::string> why_;       // decided to stay in float
  std::vector<std::string> why_wide_;  // asked to have 16-bit activations
  std::vector<bool> int8_;
  std::vector<bool> reach_;  // an int8 layer with weights lies downstream
};

// The layers that "first:2" or "last:1" names, of those with weights; of other patterns nothing.
std::optional<std::vector<size_t>> Assigner::at_the_ends(std::string_view pattern) const {
  const bool first = pattern.starts_with("first:"), last = pattern.starts_with("last:");
  if (!first && !last) return std::nullopt;
  const std::string_view digits = pattern.substr(pattern.find(':') + 1);
  size_t count = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), count);
  if (error != std::errc() || end != digits.end()) return std::nullopt;
  std::vector<size_t> found;
  for (size_t n = 0; n < nodes(); ++n)
    if (form(n).kind == Kind::weighted) found.push_back(n);
  count = std::min(count, found.size());
  if (first) found.resize(count);
  if (last) found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(count));
  return found;
}

// Writes down why for the nodes that patterns or names mean, of those that the option takes.
template <typename Takes>
Status Assigner::find(const char* option, const std::vector<std::string>& patterns,
                      const char* names, const std::map<std::string, std::string>& layers,
                      const Takes& takes, std::vector<std::string>& reasons) const {
  std::string unmatched;
  for (const std::string& pattern : patterns) {
    std::vector<size_t> found;
    bool any = false;
    if (const std::optional<std::vector<size_t>> ends = at_the_ends(pattern)) {
      found = *ends;
      any = !found.empty();
    } else {
      for (size_t n = 0; n < nodes(); ++n) {
        const Node& node = graph_.nodes[n];
        if (!is_layer(graph_, node) || !matches_layer(pattern, node.name, op_name(node.op)))
          continue;
        found.push_back(n);
        any = any || takes(n);
      }
    }
    for (const size_t n : found)
      if (form(n).kind != Kind::none && takes(n)) reasons[n] = "kept by pattern " + pattern;
    if (!any) unmatched += (unmatched.empty() ? "" : ", ") + ("\"" + pattern + "\"");
  }
  if (!unmatched.empty())
    return Status(Code::invalid_argument, std::string(option) + ": no layer matches " + unmatched);
  for (const auto& [name, why] : layers) {
    const auto found = std::ranges::find(graph_.nodes, name, &Node::name);
    if (found == graph_.nodes.end())
      return Status(Code::invalid_argument,
                    std::string(names) + ": no layer is called \"" + name + "\"");
    reasons[static_cast<size_t>(found - graph_.nodes.begin())] = why;
  }
  return {};
}

Status Assigner::look_up(const QuantizeOptions& options) {
  FIRN_TRY(find(
      "keep_float", options.keep_float, "float_layers", options.float_layers,
      [](size_t) { return true; }, why_));
  return find(
      "keep_i16", options.keep_i16, "i16_layers", options.i16_layers,
      [&](size_t n) { return form(n).kind == Kind::weighted; }, why_wide_);
}

// From the weighted layers on; then back from int8 layers over movements, because bytes move
// faster.
void Assigner::spread() {
  int8_.assign(nodes(), false);
  for (size_t n = 0; n < nodes(); ++n) {
    if (!may(n) || wide(n)) continue;
    const Node& node = graph_.nodes[n];
    int8_[n] = form(n).kind == Kind::weighted ||
               std::ranges::any_of(form(n).activations,
                                   [&](size_t i) { return is_int8_value(node.in[i]); });
  }
  for (size_t n = nodes(); n-- > 0;) {
    const ValueId out = graph_.nodes[n].out[0];
    if (int8_[n] || !may(n) || form(n).kind != Kind::moved || graph_.is_output(out)) continue;
    int8_[n] = !view_.uses.consumers_of(out).empty() &&
               all_readers(n, [&](size_t reader) { return int8_[reader]; });
  }
}

void Assigner::find_reach() {
  reach_.assign(nodes(), false);
  for (size_t n = nodes(); n-- > 0;)
    reach_[n] = !all_readers(n, [&](size_t reader) {
      return !reach_[reader] && !(int8_[reader] && form(reader).kind == Kind::weighted);
    });
}

bool Assigner::is_small_island(size_t n) const {
  if (form(n).kind != Kind::weighted || reach_[n]) return false;
  const ValueId source = source_of(graph_, view_.uses, view_.forms, graph_.nodes[n].in[0]);
  const int producer = view_.uses.producer_of(source);
  if (producer < 0 || int8_[static_cast<size_t>(producer)]) return false;
  size_t all = 0;
  for (const Node& node : graph_.nodes) all += macs(graph_, node);
  return static_cast<double>(macs(graph_, graph_.nodes[n])) <
         kSmallShare * static_cast<double>(all);
}

// Where weights follow, their input has one scale anyway.
bool Assigner::mixes_scales(size_t n, std::string& why) const {
  if (form(n).kind != Kind::concat || reach_[n]) return false;
  double least = INFINITY, most = 0;
  for (ValueId id : graph_.nodes[n].in) {
    const std::optional<Interval> range = view_.range_of(id);
    if (!range) return false;
    const double width = std::max(0.0f, range->hi) - std::min(0.0f, range->lo);
    least = std::min(least, width);
    most = std::max(most, width);
  }
  if (most <= kConcatRatio * least) return false;
  why = "its inputs' ranges are up to " + std::to_string(most) + " and down to " +
        std::to_string(least) + " wide";
  return true;
}

// From the end, so that what lies before sees less int8 behind it.
bool Assigner::keep_one_more_in_float() {
  for (size_t n = nodes(); n-- > 0;) {
    if (!int8_[n]) continue;
    if (is_small_island(n)) why_[n] = "small, and between float layers";
    if (why_[n].empty() && !mixes_scales(n, why_[n])) continue;
    return true;
  }
  return false;
}

// A layer behind the last weights runs in float where all it reads is float, or can be for free.
void Assigner::free_tails() {
  std::vector<bool> tail(nodes());
  const auto is_free = [&](ValueId id) {
    const int producer = view_.uses.producer_of(id);
    if (producer < 0) return true;
    const size_t n = static_cast<size_t>(producer);
    return !int8_[n] || tail[n] || (form(n).float_output && !reach_[n]);
  };
  for (size_t n = 0; n < nodes(); ++n) {
    if (!int8_[n] || reach_[n] || form(n).kind == Kind::weighted) continue;
    const Node& node = graph_.nodes[n];
    tail[n] =
        std::ranges::all_of(form(n).activations, [&](size_t i) { return is_free(node.in[i]); });
  }
  for (size_t n = 0; n < nodes(); ++n) {
    if (!tail[n]) continue;
    int8_[n] = false;
    why_[n] = "behind the last weights";
  }
}

// What reads a value without a range, and what can make nothing else.
bool Assigner::keep_unranged_in_float() {
  bool any = false;
  for (size_t n = 0; n < nodes(); ++n) {
    if (!int8_[n] && !wide(n)) continue;
    const Node& node = graph_.nodes[n];
    std::vector<ValueId> needed;
    for (size_t i : form(n).activations) needed.push_back(node.in[i]);
    if (int8_[n] && form(n).kind != Kind::moved && !form(n).float_output)
      needed.push_back(node.out[0]);
    const auto missing =
        std::ranges::find_if(needed, [&](ValueId id) { return !view_.range_of(id); });
    if (missing == needed.end()) continue;
    why_[n] = "no range is given for " + graph_.value(*missing).name;
    any = true;
  }
  return any;
}

Assignment Assigner::run(const QuantizeOptions& options) {
  do {
    spread();
    find_reach();
  } while ((options.unranged_in_float && keep_unranged_in_float()) || keep_one_more_in_float());
  free_tails();
  std::vector<bool> wide_layers(nodes());
  for (size_t n = 0; n < nodes(); ++n) {
    wide_layers[n] = wide(n);
    if (int8_[n] || !why_[n].empty()) continue;
    if (wide_layers[n])
      why_[n] = why_wide_[n];
    else
      why_[n] = form(n).kind == Kind::none ? form(n).why_not : "no int8 layer feeds it";
  }
  return {std::move(int8_), std::move(wide_layers), std::move(why_)};
}

// The clamp that the node's output keeps to.
Clamp clamp_of(const Node& node) {
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) return conv->clamp;
  if (const auto* dense = std::get_if<Dense>(&node.op)) return dense->clamp;
  if (const auto* binary = std::get_if<Binary>(&node.op)) return binary->clamp;
  const auto* unary = std::get_if<Unary>(&node.op);
  if (unary != nullptr && unary->kind == Unary::Kind::clamp) return {unary->alpha, unary->beta};
  return {};
}

}  // namespace

std::optional<Interval> QuantView::range_of(ValueId id) const {
  id = source_of(graph, uses, forms, id);
  const auto found = ranges.find(graph.value(id).name);
  if (found == ranges.end()) return std::nullopt;
  return clamped(id, found->second);
}

Interval QuantView::clamped(ValueId id, Interval range) const {
  const int producer = uses.producer_of(id);
  if (producer < 0 || exact) return range;
  const Clamp clamp = clamp_of(graph.nodes[static_cast<size_t>(producer)]);
  // Not std::clamp: a model's clamp may have lo > hi.
  return Interval{std::min(std::max(range.lo, clamp.lo), clamp.hi),
                  std::min(std::max(range.hi, clamp.lo), clamp.hi)};
}

Result<Assignment> assign_precision(const QuantView& view, const QuantizeOptions& options) {
  Assigner assigner(view);
  FIRN_TRY(assigner.look_up(options));
  return assigner.run(options);
}

}  // namespace firn
