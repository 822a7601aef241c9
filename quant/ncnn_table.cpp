// SPDX-License-Identifier: Apache-2.0
// Reading and writing ncnn's calibration tables.
#include "quant/ncnn_table.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <locale>
#include <optional>
#include <sstream>
#include <vector>

#include "quant/table_lines.h"
#include "runtime/int8_ops.h"

namespace firn {
namespace {

constexpr std::string_view kWeights = "_param_";
constexpr int kBits = 8;

// A layer with weights, and the lines it was found in; 0: none.
struct Layer {
  const Node* node = nullptr;
  std::string tensor;  // whose range its input has
  size_t channels = 0, groups = 1;
  size_t weights_line = 0, input_line = 0;
  bool in_float = false;
  std::vector<float> scales;  // ncnn's, of the weights
  float input_scale = 0;
};

std::vector<Layer> layers_of(const Graph& graph) {
  const Uses uses(graph);
  const std::vector<Int8Form> forms = int8_forms(graph);
  std::vector<Layer> layers;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (forms[n].kind != Int8Form::Kind::weighted) continue;
    const Node& node = graph.nodes[n];
    Layer layer;
    layer.node = &node;
    layer.tensor = graph.value(source_of(graph, uses, forms, node.in[0])).name;
    layer.channels = static_cast<size_t>(graph.value(node.in[1]).shape[0]);
    if (const auto* conv = std::get_if<Conv2d>(&node.op))
      layer.groups = static_cast<size_t>(conv->groups);
    layers.push_back(std::move(layer));
  }
  return layers;
}

// How many scales a layer's weights have.
size_t scales_of(const Layer& layer) {
  return layer.groups > 1 ? layer.groups : layer.channels;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source, const Graph& graph)
      : lines_(text, source), source_(source), graph_(graph), layers_(layers_of(graph)) {}

  Result<GivenRanges> parse();

 private:
  Layer* find(std::string_view name) {
    const auto found = std::ranges::find_if(
        layers_, [name](const Layer& layer) { return layer.node->name == name; });
    return found == layers_.end() ? nullptr : &*found;
  }
  // Whether the graph has something of that layer: itself or, where it has weights of several
  // kinds, the parts that an importer made of it.
  bool is_known(std::string_view name, bool weights) const {
    return std::ranges::any_of(graph_.nodes, [&](const Node& node) {
      return node.name == name || (weights && is_part(node.name, name));
    });
  }
  static bool is_part(std::string_view node, std::string_view layer) {
    return node.size() > layer.size() && node.starts_with(layer) && node[layer.size()] == '/';
  }
  std::string expected() const;
  Status line();
  Result<std::vector<float>> numbers();
  Status check_all_found();
  GivenRanges given();

  TableLines lines_;
  const std::string& source_;
  const Graph& graph_;
  std::vector<Layer> layers_;
  std::vector<std::string> elsewhere_;  // names of layers that are known, but have no weights here
  std::vector<std::string> warnings_;
};

std::string Parser::expected() const {
  for (const Layer& layer : layers_) {
    if (layer.weights_line == 0) return "a line for " + in_quotes(layer.node->name + "_param_0");
    if (layer.input_line == 0) return "a line for " + in_quotes(layer.node->name);
  }
  return "nothing";
}

Result<std::vector<float>> Parser::numbers() {
  std::vector<float> scales;
  for (std::string_view text = lines_.word(false); !text.empty(); text = lines_.word(false)) {
    const std::optional<float> scale = to_float(text);
    if (!scale || *scale < std::numeric_limits<float>::min())
      return lines_.error("scale: " + in_quotes(text) + " is not a positive number");
    scales.push_back(*scale);
  }
  return scales;
}

Status Parser::line() {
  FIRN_TRY(lines_.next(expected()));
  std::string_view& rest = lines_.rest_of_line();
  const bool in_float = rest.starts_with('#');
  if (in_float) rest.remove_prefix(1);
  const std::string_view key = lines_.word(false);
  // A layer's own name may end like that, too.
  Layer* layer = find(key);
  bool weights = false;
  const size_t at = key.rfind(kWeights);
  std::string_view name = key;
  if (layer == nullptr && at != std::string_view::npos) {
    name = key.substr(0, at);
    weights = true;
    if (key.substr(at + kWeights.size()) == "0") layer = find(name);
  }
  if (layer == nullptr) {
    if (name.empty() || !is_known(name, weights))
      return lines_.error("the model has no layer " + in_quotes(name));
    FIRN_TRY(numbers().status());
    if (std::ranges::find(elsewhere_, name) == elsewhere_.end()) elsewhere_.emplace_back(name);
    return {};
  }
  size_t& found = weights ? layer->weights_line : layer->input_line;
  if (found != 0)
    return lines_.error(in_quotes(key) + " is in line " + std::to_string(found) + " already");
  found = lines_.line();
  FIRN_ASSIGN(std::vector<float> scales, numbers());
  const size_t count = weights ? scales_of(*layer) : 1;
  if (scales.size() != count)
    return lines_.error(in_quotes(key) + " has " + std::to_string(scales.size()) +
                        " scales, the layer " + std::to_string(count));
  layer->in_float |= in_float;
  if (weights)
    layer->scales = std::move(scales);
  else
    layer->input_scale = scales[0];
  return {};
}

Status Parser::check_all_found() {
  for (Layer& layer : layers_) {
    if (layer.weights_line != 0 && layer.input_line != 0) continue;
    // What ncnn has as one layer, attention, may be several here.
    const bool part_of_another = std::ranges::any_of(elsewhere_, [&](const std::string& name) {
      return layer.weights_line == 0 && layer.input_line == 0 && is_part(layer.node->name, name);
    });
    if (!part_of_another) return lines_.next(expected());
    layer.in_float = true;
  }
  return {};
}

GivenRanges Parser::given() {
  GivenRanges given;
  std::map<std::string, const Layer*> reader;  // by tensor: on the widest range so far
  for (const Layer& layer : layers_) {
    const std::string& name = layer.node->name;
    if (layer.in_float) {
      given.float_layers[name] =
          layer.weights_line == 0 ? "not in " + source_ : "behind a # in " + source_;
      continue;
    }
    std::vector<float>& scales = given.weight_scales[name];
    for (size_t c = 0; c < layer.channels; ++c)
      scales.push_back(1 / layer.scales[c * layer.scales.size() / layer.channels]);
    const auto [known, is_new] = reader.try_emplace(layer.tensor, &layer);
    if (!is_new && known->second->input_scale != layer.input_scale) {
      warnings_.push_back(source_ + ":" + std::to_string(layer.input_line) + ": " +
                          in_quotes(name) + " reads what " + in_quotes(known->second->node->name) +
                          " reads, on another scale; the wider range is taken");
      if (layer.input_scale < known->second->input_scale) known->second = &layer;
    }
  }
  for (const auto& [tensor, layer] : reader)
    given.ranges[tensor] = range_of_scale(1 / layer->input_scale, kBits);
  for (const std::string& name : elsewhere_)
    warnings_.push_back(source_ + ": lines of " + in_quotes(name) +
                        " are not used: it has no int8 weights of its own here");
  given.warnings = std::move(warnings_);
  return given;
}

Result<GivenRanges> Parser::parse() {
  while (!lines_.at_end()) FIRN_TRY(line());
  FIRN_TRY(check_all_found());
  return given();
}

float largest_of(std::span<const float> values) {
  float largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

bool has_six_bits(const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  return conv != nullptr && conv->groups == 1 && conv->window.kernel == std::array{3, 3} &&
         conv->window.stride == std::array{1, 1} && conv->window.dilation == std::array{1, 1};
}

}  // namespace

Result<GivenRanges> parse_ncnn_table(std::string_view text, const std::string& source,
                                     const Graph& graph) {
  return Parser(text, source, graph).parse();
}

Result<std::string> to_ncnn_text(const Graph& graph,
                                 const std::map<std::string, Interval>& ranges) {
  std::ostringstream weights, inputs;
  for (std::ostringstream* out : {&weights, &inputs}) {
    out->imbue(std::locale::classic());
    *out << std::setprecision(std::numeric_limits<float>::max_digits10);
  }
  for (const Layer& layer : layers_of(graph)) {
    const std::string& name = layer.node->name;
    const auto range = ranges.find(layer.tensor);
    if (range == ranges.end()) continue;
    if (name.empty() || name.starts_with('#') || name.find_first_of(" \t\r\n") != std::string::npos)
      return Status(Code::unsupported,
                    "layer " + in_quotes(name) + ": ncnn's format cannot hold such a name");
    const std::span<const float> values = graph.value(layer.node->in[1]).as<float>();
    const size_t count = scales_of(layer), part = values.size() / count;
    weights << name << kWeights << "0 ";
    for (size_t i = 0; i < count; ++i) {
      const float largest = largest_of(values.subspan(i * part, part));
      const float levels = has_six_bits(*layer.node) ? 31 : 127;
      weights << (largest > 0 ? levels / largest : 1) << ' ';
    }
    weights << '\n';
    const float largest = std::max(std::fabs(range->second.lo), std::fabs(range->second.hi));
    // Of a symmetric range, whose lower end is one step further out, the scale it came from.
    const Quant quant = to_quant(range->second, kBits);
    const bool symmetric = quant.zero[0] == 0 && range->second.lo == -128 * quant.scale[0];
    inputs << name << ' '
           << (symmetric     ? 1 / quant.scale[0]
               : largest > 0 ? 127 / largest
                             : 1)
           << " \n";
  }
  return weights.str() + inputs.str();
}

}  // namespace firn
