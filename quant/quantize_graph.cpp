// SPDX-License-Identifier: Apache-2.0
// Building the int8 graph: ranges to values, constants to int8, conversions where precisions meet.
#include "quant/quantize_graph.h"

#include <algorithm>
#include <cmath>

#include "quant/assign.h"

namespace firn {
namespace {

using Kind = Int8Form::Kind;

// Inputs of a concat whose ranges differ by less take its range over.
constexpr double kSharedRangeRatio = 2;

double width(Interval range) {
  return static_cast<double>(std::max(range.hi, 0.0f)) - std::min(range.lo, 0.0f);
}

class Builder {
 public:
  Builder(const QuantView& view, const Assignment& assignment, const QuantizeOptions& options)
      : view_(view), assignment_(assignment), options_(options), old_(view.graph), new_(old_) {}

  Result<QuantizedGraph> build();

 private:
  // How a value of the old graph is needed and found in the new one.
  struct Use {
    bool as_float = false, as_int8 = false, as_wide = false;  // somebody reads it so
    bool made_int8 = false, made_wide = false;                // by its producer
    ValueId float_id = ValueId::none, int8_id = ValueId::none, wide_id = ValueId::none;
    ValueId range_from = ValueId::none;  // the value whose range it has
  };

  bool int8(size_t n) const { return assignment_.int8[n]; }
  bool wide(size_t n) const { return assignment_.wide[n]; }
  Use& use(ValueId id) { return uses_[index(id)]; }

  void find_uses();
  // By an int8 layer that can give it any range, and for one int8 layer.
  bool is_made_for_one_reader(ValueId id) const {
    const int producer = view_.uses.producer_of(id);
    const Use& of = uses_[index(id)];
    return producer >= 0 && of.made_int8 && !of.as_float &&
           view_.uses.consumers_of(id).size() == 1 &&
           view_.forms[static_cast<size_t>(producer)].kind != Kind::moved;
  }
  void share_ranges();
  void share_concat_range(const Node& node);
  void share_bound_range(const Node& node);
  Result<Quant> quant_of(ValueId id) const;
  Result<Quant> wide_quant_of(ValueId id) const;
  Status place_values();
  void convert(ValueId id);
  void note(ValueId id);
  Result<ValueId> add_int8_constant(const Value& from, const Quant& quant);
  Status quantize_weighted(const Node& node, Node& made);
  Status rebuild(size_t n);
  LayerReport report(size_t n, const Node& made) const;

  const QuantView& view_;
  const Assignment& assignment_;
  const QuantizeOptions& options_;
  const Graph& old_;
  Graph new_;  // the old one's values keep their ids
  std::vector<Use> uses_;
  std::vector<LayerReport> layers_;
  std::vector<QuantizedTensor> tensors_;
};

void Builder::find_uses() {
  uses_.resize(old_.values.size());
  for (size_t v = 0; v < uses_.size(); ++v) uses_[v].range_from = static_cast<ValueId>(v);
  for (ValueId id : old_.outputs) use(id).as_float = true;
  for (size_t n = 0; n < old_.nodes.size(); ++n) {
    const Node& node = old_.nodes[n];
    for (size_t i : view_.forms[n].activations) {
      Use& in = use(node.in[i]);
      (int8(n) ? in.as_int8 : wide(n) ? in.as_wide : in.as_float) = true;
    }
  }
  for (size_t n = 0; n < old_.nodes.size(); ++n) {
    if (!int8(n) && !wide(n)) continue;
    Use& out = use(old_.nodes[n].out[0]);
    if (int8(n)) {
      out.made_int8 = out.as_int8 || !view_.forms[n].float_output;
    } else {
      out.made_int8 = out.as_int8 && !out.as_wide && !out.as_float;
      out.made_wide = out.as_wide && !out.as_int8 && !out.as_float;
    }
    if (out.made_int8 && out.as_wide) out.as_float = true;  // on the way to 16 bits
  }
}

void Builder::share_concat_range(const Node& node) {
  double least = INFINITY, most = 0;
  const bool shared = std::ranges::all_of(node.in, [&](ValueId id) {
    const int producer = view_.uses.producer_of(id);
    const std::optional<Interval> range = view_.range_of(id);
    if (producer < 0 || !range) return false;
    least = std::min(least, width(*range));
    most = std::max(most, width(*range));
    return is_made_for_one_reader(id);
  });
  if (!shared || most >= kSharedRangeRatio * least) return;
  for (ValueId id : node.in) use(id).range_from = use(node.out[0]).range_from;
}

// What is made for a bound alone may saturate where that ends; otherwise the bound leaves a part of
// its range unused.
void Builder::share_bound_range(const Node& node) {
  const ValueId x = node.in[old_.is_constant(node.in[0]) ? 1 : 0];
  if (is_made_for_one_reader(x))
    use(x).range_from = use(node.out[0]).range_from;
  else
    use(node.out[0]).range_from = use(source_of(old_, view_.uses, view_.forms, x)).range_from;
}

// Later nodes first: an input that is a concat itself hands on what it was given.
void Builder::share_ranges() {
  for (size_t n = old_.nodes.size(); n-- > 0;) {
    if (!int8(n)) continue;
    if (view_.forms[n].kind == Kind::concat) share_concat_range(old_.nodes[n]);
    if (is_bound(old_, old_.nodes[n])) share_bound_range(old_.nodes[n]);
  }
}

Result<Quant> Builder::quant_of(ValueId id) const {
  id = source_of(old_, view_.uses, view_.forms, id);
  id = uses_[index(id)].range_from;
  const std::optional<Interval> range = view_.range_of(id);
  if (!range)
    return Status(Code::failed_precondition,
                  old_.value(id).name + ": its range is needed and was not observed");
  return to_quant(*range);
}

// Around 0, with one bit to spare: 16 are more than enough, and what is still to come may go
// further than what was seen.
Result<Quant> Builder::wide_quant_of(ValueId id) const {
  constexpr float kSpare = 2;
  id = source_of(old_, view_.uses, view_.forms, id);
  std::optional<Interval> range = view_.range_of(id);
  if (!range)
    return Status(Code::failed_precondition,
                  old_.value(id).name + ": its range is needed and was not observed");
  if (const auto found = options_.wide_ranges.find(old_.value(id).name);
      found != options_.wide_ranges.end())
    range = found->second;
  const Interval most = view_.clamped(id, {kSpare * range->lo, kSpare * range->hi});
  const double scale = double{std::max(std::fabs(most.lo), std::fabs(most.hi))} / INT16_MAX;
  Quant quant;
  quant.bits = 16;
  quant.scale = {static_cast<float>(
      scale == 0 ? 1 : std::clamp(scale, std::ldexp(1.0, -60), std::ldexp(1.0, 60)))};
  quant.zero = {0};
  return quant;
}

// Makes the values that the old graph does not have, and their types.
Status Builder::place_values() {
  for (size_t v = 0; v < uses_.size(); ++v) {
    const ValueId id = static_cast<ValueId>(v);
    Use& use = uses_[v];
    use.float_id = use.int8_id = use.wide_id = id;
    if (use.as_wide) {
      FIRN_ASSIGN(const Quant quant, wide_quant_of(id));
      Value wide = old_.value(id);
      wide.type = DType::i16;
      wide.quant = quant;
      if (use.made_wide) {
        new_.value(id) = wide;
        continue;
      }
      wide.name = new_.unique_name(wide.name + ".quantize16");
      use.wide_id = new_.add(std::move(wide));
    }
    if (!use.made_int8 && !use.as_int8) continue;
    FIRN_ASSIGN(const Quant quant, quant_of(id));
    const Value old = old_.value(id);
    Value int8 = old;
    int8.type = DType::i8;
    int8.quant = quant;
    if (use.made_int8 && !old_.is_output(id)) {
      new_.value(id) = int8;
      if (!use.as_float) continue;
      Value floats = old;
      floats.name = new_.unique_name(old.name + ".dequantize");
      use.float_id = new_.add(std::move(floats));
    } else {
      int8.name = new_.unique_name(old.name + (use.made_int8 ? ".int8" : ".quantize"));
      use.int8_id = new_.add(std::move(int8));
    }
  }
  return {};
}

// The conversion behind a value that is made in one precision and read in the other, too.
void Builder::convert(ValueId id) {
  const Use& from = use(id);
  const std::string& name = old_.value(id).name;
  if (from.made_int8 && from.as_float)
    new_.add(Node{name + ".dequantize", Convert{DType::f32}, {from.int8_id}, {from.float_id}});
  if (!from.made_int8 && from.as_int8)
    new_.add(Node{name + ".quantize", Convert{DType::i8}, {from.float_id}, {from.int8_id}});
  if (!from.made_wide && from.as_wide)
    new_.add(Node{name + ".quantize16", Convert{DType::i16}, {from.float_id}, {from.wide_id}});
}

void Builder::note(ValueId id) {
  const Use& use = uses_[index(id)];
  if (!use.made_int8 && !use.as_int8) return;
  if (source_of(old_, view_.uses, view_.forms, id) != id) return;
  tensors_.push_back({old_.value(id).name, *new_.value(use.int8_id).quant});
}

Result<ValueId> Builder::add_int8_constant(const Value& from, const Quant& quant) {
  std::vector<int8_t> rounded;
  for (float v : from.as<float>())
    rounded.push_back(static_cast<int8_t>(std::clamp(
        std::nearbyint(v / quant.scale[0]) + static_cast<float>(quant.zero[0]), -128.0f, 127.0f)));
  FIRN_ASSIGN(const ValueId id,
              new_.add_constant<int8_t>(from.name + ".int8", from.shape, rounded));
  new_.value(id).quant = quant;
  return id;
}

Status Builder::quantize_weighted(const Node& node, Node& made) {
  const Value& weights = old_.value(node.in[1]);
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  const size_t channels = static_cast<size_t>(weights.shape[0]);
  // Where the input has 16 bits, their upper half is what is multiplied, like int8.
  const bool is_wide_input = is_wide(new_.value(made.in[0]));
  const float input_scale = new_.value(made.in[0]).quant->scale[0] * (is_wide_input ? 256 : 1);

  InputMeans means;
  if (const auto* conv = std::get_if<Conv2d>(&node.op))
    means.groups = static_cast<size_t>(conv->groups);
  const Value& x = old_.value(means_source_of(old_, view_.uses, node.in[0]));
  const auto found = options_.channel_means.find(x.name);
  if (found != options_.channel_means.end()) {
    const size_t expected = static_cast<size_t>(x.shape[x.shape.rank - 1]);
    if (found->second.size() != expected)
      return Status(Code::invalid_argument, x.name + ": " + std::to_string(found->second.size()) +
                                                " channel means, expected " +
                                                std::to_string(expected));
    means.mean = found->second;
  }
  WeightGrid grid{options_.weight_scale, options_.per_channel, {}, nullptr};
  if (const auto given = options_.weight_scales.find(node.name);
      given != options_.weight_scales.end()) {
    if (given->second.size() != channels)
      return Status(Code::invalid_argument,
                    node.name + ": " + std::to_string(given->second.size()) +
                        " weight scales, expected " + std::to_string(channels));
    grid.given = given->second;
  }
  if (const auto rounded = options_.rounded.find(node.name); rounded != options_.rounded.end())
    grid.rounded = &rounded->second;
  FIRN_ASSIGN(
      const QuantizedWeights quantized,
      quantize_weights(node.name, channels, weights.as<float>(),
                       biased ? old_.value(node.in[2]).as<float>() : std::span<const float>(),
                       input_scale, grid, means));

  const std::vector<int32_t> zeros(channels);
  FIRN_ASSIGN(made.in[1],
              new_.add_constant<int8_t>(weights.name + ".int8", weights.shape, quantized.weights));
  new_.value(made.in[1]).quant = Quant{0, 8, 0, quantized.scale, zeros};
  if (quantized.bias.empty()) return {};
  if (is_wide_input) {
    made.in.resize(3, ValueId::none);
    const std::vector<float> bias(quantized.real_bias.begin(), quantized.real_bias.end());
    FIRN_ASSIGN(made.in[2],
                new_.add_constant<float>(biased ? old_.value(node.in[2]).name : node.name + ".bias",
                                         Shape{static_cast<int32_t>(channels)}, bias));
    return {};
  }
  std::vector<float> bias_scale;
  for (float scale : quantized.scale) bias_scale.push_back(scale * input_scale);
  made.in.resize(3, ValueId::none);
  const std::string name = biased ? old_.value(node.in[2]).name : node.name + ".bias";
  FIRN_ASSIGN(made.in[2],
              new_.add_constant<int32_t>(name + ".int32", Shape{static_cast<int32_t>(channels)},
                                         quantized.bias));
  new_.value(made.in[2]).quant = Quant{0, 32, 0, std::move(bias_scale), zeros};
  return {};
}

Status Builder::rebuild(size_t n) {
  const Node& node = old_.nodes[n];
  Node made = node;
  for (size_t i : view_.forms[n].activations)
    made.in[i] = int8(n)   ? use(node.in[i]).int8_id
                 : wide(n) ? use(node.in[i]).wide_id
                           : use(node.in[i]).float_id;
  if (int8(n) || wide(n)) {
    if (use(node.out[0]).made_int8) made.out[0] = use(node.out[0]).int8_id;
    if (view_.forms[n].kind == Kind::weighted) {
      FIRN_TRY(quantize_weighted(node, made));
    } else if (std::holds_alternative<Binary>(node.op)) {
      // A scalar stays float: the lowering makes a table of it.
      for (size_t i = 0; i < node.in.size(); ++i) {
        const ValueId in = node.in[i];
        if (!old_.is_constant(in) || old_.value(in).shape.elements() == 1) continue;
        const auto [lo, hi] = std::ranges::minmax_element(old_.value(in).as<float>());
        Quant quant = to_quant({*lo, *hi});
        if (is_bound(old_, node)) quant = *new_.value(made.out[0]).quant;
        FIRN_ASSIGN(made.in[i], add_int8_constant(old_.value(in), quant));
      }
    }
  }
  if (is_layer(old_, node)) layers_.push_back(report(n, made));
  new_.nodes.push_back(std::move(made));
  for (ValueId id : node.out) {
    convert(id);
    note(id);
  }
  return {};
}

LayerReport Builder::report(size_t n, const Node& made) const {
  const auto constant_bytes = [](const Graph& graph, const Node& node) {
    size_t bytes = 0;
    for (ValueId id : node.in)
      if (graph.is_constant(id)) bytes += graph.value(id).constant->bytes().size();
    return bytes;
  };
  const Node& node = old_.nodes[n];
  LayerReport layer;
  layer.name = node.name;
  layer.op = op_name(node.op);
  layer.precision = int8(n) ? Precision::i8 : wide(n) ? Precision::i16 : Precision::f32;
  layer.why = assignment_.why[n];
  layer.bytes_before = constant_bytes(old_, node);
  layer.bytes_after = constant_bytes(new_, made);
  return layer;
}

Result<QuantizedGraph> Builder::build() {
  find_uses();
  share_ranges();
  FIRN_TRY(place_values());
  new_.nodes.clear();
  for (ValueId id : old_.inputs) {
    convert(id);
    note(id);
  }
  for (size_t n = 0; n < old_.nodes.size(); ++n) FIRN_TRY(rebuild(n));
  sweep(new_);
  FIRN_TRY(check(new_));
  return QuantizedGraph{std::move(new_), std::move(layers_), std::move(tensors_)};
}

}  // namespace

Result<QuantizedGraph> quantize_graph(const Graph& graph,
                                      const std::map<std::string, Interval>& ranges,
                                      const QuantizeOptions& options) {
  const QuantView view(graph, ranges, options.exact_ranges);
  FIRN_ASSIGN(const Assignment assignment, assign_precision(view, options));
  return Builder(view, assignment, options).build();
}

}  // namespace firn
