// SPDX-License-Identifier: Apache-2.0
// Weight-only quantization of a model: which constants, in what blocks, and the report.
#include "quant/quantize_weights.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "quant/report.h"
#include "quant/weights_block.h"
#include "runtime/half.h"
#include "runtime/int8_ops.h"
#include "runtime/model_impl.h"
#include "runtime/packed.h"

namespace firn {
namespace {

constexpr std::array<std::pair<WeightRounding, const char*>, 3> kRoundings{{
    {WeightRounding::max_abs, "max-abs"},
    {WeightRounding::mse, "mse"},
    {WeightRounding::hqq, "hqq"},
}};

constexpr int kHalf = 16;         // bits of f16
constexpr size_t kShortRow = 32;  // the least block

Status check_options(const WeightOptions& options) {
  const auto invalid = [](const char* what, int got, const char* expected) {
    return Status(Code::invalid_argument, std::string("quantize_weights: ") + what + " " +
                                              std::to_string(got) + ", expected " + expected);
  };
  if (options.bits != kHalf && (options.bits < 2 || options.bits > 8))
    return invalid("bits", options.bits, "2 to 8, or 16");
  if (options.short_row_bits < 2 || options.short_row_bits > 8)
    return invalid("short_row_bits", options.short_row_bits, "2 to 8");
  if (options.short_filter < 0) return invalid("short_filter", options.short_filter, "0 or more");
  if (options.block < 0 || options.block % static_cast<int>(kShortRow) != 0)
    return invalid("block", options.block, "a multiple of 32, or 0 for an output channel");
  return {};
}

// The last axis that has scales of its own: what lies behind it is a row. Of a table, its rows.
int scale_axis(const Op& op, const Shape& shape) {
  if (std::holds_alternative<Recurrent>(op)) return 1;
  return std::holds_alternative<Gather>(op) ? shape.rank - 2 : 0;
}

bool is_convolution(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op);
}

// Whether the node is of a kind that this is about.
bool has_weights(const Graph& graph, const Node& node) {
  if (std::holds_alternative<Gather>(node.op)) {
    const Value& table = graph.value(node.in[0]);
    return table.constant != nullptr && table.type == DType::f32 && table.shape.rank >= 2;
  }
  return is_convolution(node.op) || std::holds_alternative<Dense>(node.op) ||
         std::holds_alternative<Recurrent>(node.op) ||
         (std::holds_alternative<MatMul>(node.op) &&
          (graph.is_constant(node.in[0]) || graph.is_constant(node.in[1])));
}

// The bytes that a constant takes in a file.
size_t stored_bytes(const Value& value) {
  size_t bytes = value.constant->bytes().size();
  if (!value.quant) return bytes;
  const std::vector<float>& scale = value.quant->scale;
  const bool halves =
      std::ranges::all_of(scale, [](float s) { return half_to_float(float_to_half(s)) == s; });
  bytes += scale.size() * (halves ? sizeof(uint16_t) : sizeof(float));
  if (std::ranges::any_of(value.quant->zero, [](int32_t z) { return z != 0; }))
    bytes += packed_bytes(value.quant->zero.size(), value.quant->bits);
  return bytes;
}

size_t all_bytes(const Graph& graph) {
  size_t bytes = 0;
  for (const Value& value : graph.values)
    if (value.constant != nullptr) bytes += stored_bytes(value);
  return bytes;
}

Result<std::shared_ptr<const Buffer>> buffer_of(std::span<const std::byte> bytes) {
  FIRN_ASSIGN(auto made, Buffer::allocate(bytes.size()));
  std::ranges::copy(bytes, made.second.begin());
  return std::move(made.first);
}

class Quantizer {
 public:
  Quantizer(Graph& graph, const WeightOptions& options, const ChannelMeans& means,
            const WeightChoices* choices)
      : graph_(graph), options_(options), means_(means), choices_(choices), uses_(graph) {}

  Result<std::vector<WeightLayer>> run();
  Result<std::vector<StoredLayer>> layers();

 private:
  Status find_kept();
  void keep_what_is_not_chosen();
  void find_shared();
  std::string why_float(size_t n) const;
  Status quantize(const Node& node, ValueId id);
  Status store_halves(const Node& node, Value& value) const;
  Status store_blocks(const Node& node, Value& value) const;
  std::span<const double> means_of(const Node& node) const;
  Status correct_bias(Node& node, std::span<const double> mean);

  Graph& graph_;
  const WeightOptions& options_;
  const ChannelMeans& means_;
  const WeightChoices* const choices_;
  const Uses uses_;
  std::vector<std::shared_ptr<const Buffer>> floats_;  // per value: what it was
  std::vector<std::string> kept_;                      // per node: why it stays float
  std::vector<std::string> other_;                     // per value: who reads it as it is
  std::vector<double> sqnr_db_;                        // per value that was quantized
};

Status Quantizer::find_kept() {
  kept_.resize(graph_.nodes.size());
  for (const std::string& pattern : options_.keep_float) {
    bool any = false;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      if (!matches_layer(pattern, node.name, op_name(node.op))) continue;
      any = true;
      kept_[n] = "kept by pattern " + pattern;
    }
    if (!any) return {Code::invalid_argument, "keep_float: no layer matches \"" + pattern + "\""};
  }
  for (size_t n = 0; n < kept_.size(); ++n)
    if (!options_.convolutions && kept_[n].empty() && is_convolution(graph_.nodes[n].op))
      kept_[n] = "convolutions stay in float";
  if (choices_ != nullptr) keep_what_is_not_chosen();
  return {};
}

// But for those that share weights with a layer that is.
void Quantizer::keep_what_is_not_chosen() {
  std::vector<bool> chosen(graph_.values.size());
  const auto for_weights = [&](const Node& node, const auto& see) {
    for (size_t i = 0; i < node.in.size(); ++i)
      if (node.in[i] != ValueId::none && takes_stored_weights(node.op, i)) see(index(node.in[i]));
  };
  for (const Node& node : graph_.nodes)
    if (choices_->contains(node.name)) for_weights(node, [&](size_t v) { chosen[v] = true; });
  for (size_t n = 0; n < kept_.size(); ++n) {
    bool any = choices_->contains(graph_.nodes[n].name);
    for_weights(graph_.nodes[n], [&](size_t v) { any = any || chosen[v]; });
    if (!any && kept_[n].empty()) kept_[n] = "not chosen";
  }
}

void Quantizer::find_shared() {
  other_.resize(graph_.values.size());
  for (size_t v = 0; v < other_.size(); ++v)
    if (is_stored_weights(graph_.values[v])) other_[v] = "its weights are no floats any more";
  for (ValueId id : graph_.outputs) other_[index(id)] = "its weights are an output";
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    for (size_t i = 0; i < node.in.size(); ++i)
      if (node.in[i] != ValueId::none && (!takes_stored_weights(node.op, i) || !kept_[n].empty()))
        other_[index(node.in[i])] = "its weights are also read by " + describe(node);
  }
}

// Empty where all weights of the node become few bits.
std::string Quantizer::why_float(size_t n) const {
  const Node& node = graph_.nodes[n];
  if (!kept_[n].empty()) return kept_[n];
  bool any = false;
  for (size_t i = 0; i < node.in.size(); ++i) {
    if (node.in[i] == ValueId::none || !takes_stored_weights(node.op, i)) continue;
    const Value& value = graph_.value(node.in[i]);
    if (value.constant == nullptr) return "its weights are no constants";
    if (!is_stored_weights(value) && (value.type != DType::f32 || value.quant))
      return "its weights are not floats";
    if (!other_[index(node.in[i])].empty()) return other_[index(node.in[i])];
    any = any || value.shape.elements() > 0;
  }
  return any ? "" : "it has no weights of that kind";
}

Status Quantizer::store_halves(const Node& node, Value& value) const {
  std::vector<uint16_t> halves;
  for (const float w : value.as<float>()) {
    halves.push_back(float_to_half(w));
    if (!std::isfinite(half_to_float(halves.back())))
      return {Code::malformed, node.name + ": weight " + std::to_string(halves.size() - 1) +
                                   " is " + std::to_string(w) + ", f16 ends at 65504"};
  }
  FIRN_ASSIGN(value.constant, buffer_of(std::as_bytes(std::span(halves))));
  value.type = DType::f16;
  return {};
}

Status Quantizer::store_blocks(const Node& node, Value& value) const {
  Quant quant;
  quant.axis = static_cast<int8_t>(scale_axis(node.op, value.shape));
  const size_t row = scale_layout(quant, value.shape).length;
  const bool short_row = row < kShortRow || (is_convolution(node.op) &&
                                             row <= static_cast<size_t>(options_.short_filter));
  WeightChoice choice{short_row ? std::max(options_.bits, options_.short_row_bits) : options_.bits,
                      short_row ? 0 : options_.block};
  if (choices_ != nullptr)
    if (const auto found = choices_->find(node.name); found != choices_->end())
      choice = found->second;
  BlockFormat format;
  format.bits = static_cast<unsigned>(choice.bits);
  format.symmetric = options_.symmetric;
  format.rounding = options_.rounding;
  const bool whole = choice.block == 0 || static_cast<size_t>(choice.block) >= row;
  // Scales of an axis are shared by those before it, which blocks are not.
  if (!whole || quant.axis > 0) quant.block = whole ? static_cast<int32_t>(row) : choice.block;
  const size_t block = quant.block > 0 ? static_cast<size_t>(quant.block) : row;
  FIRN_ASSIGN(BlockWeights made, quantize_blocks(node.name, value.as<float>(), row, block, format));
  const bool sums = is_convolution(node.op) || std::holds_alternative<Dense>(node.op);
  if (sums && means_of(node).empty()) balance_rows(value.as<float>(), row, block, format, made);
  FIRN_ASSIGN(value.constant, buffer_of(pack_bits(made.q, format.bits)));
  quant.bits = static_cast<uint8_t>(format.bits);
  quant.scale = std::move(made.scale);
  quant.zero = std::move(made.zero);
  value.type = DType::i8;
  value.quant = std::move(quant);
  return {};
}

Status Quantizer::quantize(const Node& node, ValueId id) {
  Value& value = graph_.value(id);
  if (is_stored_weights(value)) return {};  // by another reader
  const Value before = value;
  floats_[index(id)] = before.constant;
  FIRN_TRY(options_.bits == kHalf ? store_halves(node, value) : store_blocks(node, value));
  std::vector<float> after(value.shape.elements());
  read_weights(value, 0, after);
  sqnr_db_[index(id)] = sqnr_db(before.as<float>(), after);
  return {};
}

// Of the node's input channels; empty where they are not known, or of no use.
std::span<const double> Quantizer::means_of(const Node& node) const {
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  const bool layer =
      std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
  if (!layer ||
      (biased && (!graph_.is_constant(node.in[2]) || graph_.value(node.in[2]).type != DType::f32)))
    return {};
  const Value& x = graph_.value(means_source_of(graph_, uses_, node.in[0]));
  const auto found = means_.find(x.name);
  if (found == means_.end() || x.shape.rank == 0 ||
      found->second.size() != static_cast<size_t>(x.shape[x.shape.rank - 1]))
    return {};
  return found->second;
}

// Takes back what the weights' errors do to the mean of each output channel.
Status Quantizer::correct_bias(Node& node, std::span<const double> mean) {
  const Value& weights = graph_.value(node.in[1]);
  std::vector<float> made(weights.shape.elements());
  read_weights(weights, 0, made);
  const auto* before = reinterpret_cast<const float*>(floats_[index(node.in[1])]->bytes().data());
  const auto* conv = std::get_if<Conv2d>(&node.op);
  const size_t groups = conv == nullptr ? 1 : static_cast<size_t>(conv->groups);
  const size_t channels = static_cast<size_t>(weights.shape[0]), row = made.size() / channels;
  const size_t inputs = mean.size() / groups;
  std::vector<float> bias(channels);
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  if (biased) std::ranges::copy(graph_.value(node.in[2]).as<float>(), bias.begin());
  for (size_t c = 0; c < channels; ++c) {
    const std::span<const double> of_group = mean.subspan(c / (channels / groups) * inputs, inputs);
    double shift = 0;
    for (size_t i = 0; i < row; ++i)
      shift += static_cast<double>(made[c * row + i] - before[c * row + i]) * of_group[i % inputs];
    bias[c] = static_cast<float>(static_cast<double>(bias[c]) - shift);
  }
  const std::string name = biased ? graph_.value(node.in[2]).name : node.name + ".bias";
  node.in.resize(3, ValueId::none);
  FIRN_ASSIGN(node.in[2],
              graph_.add_constant<float>(name, Shape{static_cast<int32_t>(channels)}, bias));
  return {};
}

Result<std::vector<StoredLayer>> Quantizer::layers() {
  FIRN_TRY(find_kept());
  find_shared();
  std::vector<bool> seen(graph_.values.size());
  std::vector<StoredLayer> layers;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    if (!has_weights(graph_, node) || !why_float(n).empty()) continue;
    StoredLayer layer{node.name, {}};
    for (size_t i = 0; i < node.in.size(); ++i) {
      const ValueId id = node.in[i];
      if (!graph_.is_constant(id) || !takes_stored_weights(node.op, i) || seen[index(id)]) continue;
      seen[index(id)] = true;
      const Value& value = graph_.value(id);
      Quant quant;
      quant.axis = static_cast<int8_t>(scale_axis(node.op, value.shape));
      layer.weights.push_back({value.as<float>(), scale_layout(quant, value.shape).length});
    }
    if (!layer.weights.empty()) layers.push_back(std::move(layer));
  }
  return layers;
}

Result<std::vector<WeightLayer>> Quantizer::run() {
  FIRN_TRY(find_kept());
  find_shared();
  floats_.resize(graph_.values.size());
  sqnr_db_.assign(graph_.values.size(), std::numeric_limits<double>::infinity());
  std::vector<WeightLayer> layers;
  bool any = false;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    Node& node = graph_.nodes[n];
    if (!has_weights(graph_, node)) continue;
    WeightLayer layer;
    layer.name = node.name;
    layer.op = op_name(node.op);
    layer.why = why_float(n);
    layer.sqnr_db = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < node.in.size(); ++i) {
      const ValueId id = node.in[i];
      const bool stored = takes_stored_weights(node.op, i);
      if (!graph_.is_constant(id) || !(stored || std::holds_alternative<MatMul>(node.op))) continue;
      layer.bytes_before += graph_.value(id).shape.elements() * sizeof(float);
      if (layer.why.empty()) {
        FIRN_TRY(quantize(node, id));
        const Value& made = graph_.value(id);
        layer.bits = made.type == DType::f16 ? kHalf : made.quant->bits;
        layer.block = made.quant ? scale_layout(*made.quant, made.shape).block : 0;
        layer.sqnr_db = std::min(layer.sqnr_db, sqnr_db_[index(id)]);
        any = true;
      }
      layer.bytes_after += stored_bytes(graph_.value(id));
    }
    const std::span<const double> mean = means_of(node);
    if (layer.why.empty() && !mean.empty()) {
      FIRN_TRY(correct_bias(node, mean));
      layer.bias_corrected = true;
    }
    layers.push_back(std::move(layer));
  }
  if (any) return layers;
  return Status(Code::failed_precondition,
                "quantize_weights: " + (layers.empty() ? "the model has no layers with weights"
                                                       : "no layer is left; " + layers[0].name +
                                                             ": " + layers[0].why));
}

}  // namespace

const char* rounding_name(WeightRounding rounding) {
  for (const auto& [known, name] : kRoundings)
    if (known == rounding) return name;
  return "unknown";
}

Result<WeightRounding> rounding_from_name(const std::string& name) {
  std::string known;
  for (const auto& [rounding, its_name] : kRoundings) {
    if (name == its_name) return rounding;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  return Status(Code::invalid_argument, "rounding \"" + name + "\": expected one of " + known);
}

WeightOptions dynamic_quantization() {
  WeightOptions options;
  options.bits = 8;
  options.block = 0;
  options.symmetric = true;
  options.rounding = WeightRounding::max_abs;
  options.convolutions = false;
  options.dynamic = true;
  return options;
}

Result<std::vector<StoredLayer>> layers_to_store(const Graph& graph, const WeightOptions& options) {
  Graph copy = graph;
  return Quantizer(copy, options, {}, nullptr).layers();
}

Result<Graph> with_few_bits(const Graph& graph, const WeightOptions& options,
                            const ChannelMeans& means, const WeightChoices* choices) {
  Graph made = graph;
  FIRN_TRY(Quantizer(made, options, means, choices).run().status());
  sweep(made);
  return made;
}

Result<WeightModel> quantize_weights(const ModelImpl& impl, const WeightOptions& options,
                                     const ChannelMeans& means, const WeightChoices* choices) {
  const auto started = std::chrono::steady_clock::now();
  FIRN_TRY(check_options(options));
  FIRN_ASSIGN(Graph graph, impl.optimised());
  // Dimensions that the model leaves open stay open.
  for (size_t i = 0; i < impl.inputs.size(); ++i)
    graph.value(graph.inputs[i]).shape = impl.inputs[i].shape;
  WeightReport report;
  report.bytes_before = all_bytes(graph);
  FIRN_ASSIGN(report.layers, Quantizer(graph, options, means, choices).run());
  sweep(graph);  // biases that were corrected
  report.bytes_after = all_bytes(graph);
  graph.dynamic = options.dynamic;
  FIRN_ASSIGN(Model made, make_model("firn", join_tail(graph, *impl.cut)));
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return WeightModel{std::move(made), std::move(report)};
}

Result<WeightModel> quantize_weights(const Model& model, const WeightOptions& options) {
  if (options.min_sqnr_db)
    return Status(
        Code::invalid_argument,
        "quantize_weights: min_sqnr_db takes frames: Session::quantize_weights() has those "
        "of its calibration");
  return quantize_weights(model.impl(), options, {});
}

}  // namespace firn
