// SPDX-License-Identifier: Apache-2.0
// The choice of precisions by time, as a minimum cut: source side int8, sink side float.
#include "quant/faster.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include "quant/min_cut.h"
#include "runtime/int8_ops.h"

namespace firn {
namespace {

double time_of(const Times& times, const std::string& name) {
  const auto found = times.ms.find(name);
  return found == times.ms.end() ? 0 : found->second;
}

int64_t nanoseconds(double ms) {
  return std::llround(1e6 * ms);
}

class Chooser {
 public:
  Chooser(const Graph& graph, std::span<const LayerReport> layers, const Times& in_float,
          const Times& in_int8);

  std::map<std::string, std::string> run() const;

 private:
  // What a value has to do with the choice.
  struct Border {
    std::vector<size_t> readers;          // of its elements
    double quantize = 0, dequantize = 0;  // ms, where it is made in one and read in the other
  };

  void find_borders();
  double ms_per_element(const char* conversion) const;
  bool made_in_int8(size_t v, const std::vector<bool>& int8) const {
    return uses_.producer[v] >= 0 && int8[static_cast<size_t>(uses_.producer[v])];
  }
  bool is_output(size_t v) const { return graph_.is_output(static_cast<ValueId>(v)); }
  double conversions(size_t v, const std::vector<bool>& int8) const;
  std::vector<bool> cheapest() const;

  const Graph& graph_;
  const Times &in_float_, &in_int8_;
  const Uses uses_;
  const std::vector<Int8Form> forms_;
  std::vector<bool> int8_;    // per node, as timed
  std::vector<bool> shared_;  // per node: its name is not its own, so that it cannot be kept by it
  std::vector<Border> borders_;
};

Chooser::Chooser(const Graph& graph, std::span<const LayerReport> layers, const Times& in_float,
                 const Times& in_int8)
    : graph_(graph),
      in_float_(in_float),
      in_int8_(in_int8),
      uses_(graph),
      forms_(int8_forms(graph)) {
  std::map<std::string, int> bearers;
  for (const Node& node : graph.nodes) ++bearers[node.name];
  std::map<std::string, Precision> precision;
  for (const LayerReport& layer : layers) precision[layer.name] = layer.precision;
  for (const Node& node : graph.nodes) {
    const auto found = precision.find(node.name);
    int8_.push_back(found != precision.end() && found->second == Precision::i8);
    shared_.push_back(bearers[node.name] > 1);
  }
  find_borders();
}

double Chooser::ms_per_element(const char* conversion) const {
  double ms = 0, elements = 0;
  for (const Value& value : graph_.values) {
    const auto found = in_int8_.ms.find(value.name + conversion);
    if (found == in_int8_.ms.end()) continue;
    ms += found->second;
    elements += static_cast<double>(value.shape.elements());
  }
  return elements > 0 ? ms / elements : 0;
}

void Chooser::find_borders() {
  borders_.resize(graph_.values.size());
  for (size_t n = 0; n < graph_.nodes.size(); ++n)
    for (const size_t i : forms_[n].activations)
      borders_[index(graph_.nodes[n].in[i])].readers.push_back(n);

  double quantize = ms_per_element(".quantize"), dequantize = ms_per_element(".dequantize");
  if (dequantize == 0) dequantize = quantize;
  for (size_t v = 0; v < borders_.size(); ++v) {
    const Value& value = graph_.values[v];
    Border& border = borders_[v];
    const auto cost = [&](const char* conversion, double per_element) {
      const auto found = in_int8_.ms.find(value.name + conversion);
      return found != in_int8_.ms.end() ? found->second
                                        : per_element * static_cast<double>(value.shape.elements());
    };
    border.quantize = cost(".quantize", quantize);
    border.dequantize = cost(".dequantize", dequantize);
    // A layer whose sums can become floats at once, for its only reader or already now.
    const int producer = uses_.producer[v];
    if (producer < 0 || !forms_[static_cast<size_t>(producer)].float_output) continue;
    const bool read_as_int8 =
        std::ranges::any_of(border.readers, [&](size_t reader) { return int8_[reader]; });
    if (!read_as_int8 || (border.readers.size() == 1 && !is_output(v))) border.dequantize = 0;
  }
}

// What the value costs between its producer and its readers.
double Chooser::conversions(size_t v, const std::vector<bool>& int8) const {
  const Border& border = borders_[v];
  const bool as_int8 =
      std::ranges::any_of(border.readers, [&](size_t reader) { return int8[reader]; });
  const bool as_float = is_output(v) || !std::ranges::all_of(border.readers, [&](size_t reader) {
                          return int8[reader];
                        });
  if (made_in_int8(v, int8)) return as_float ? border.dequantize : 0;
  return as_int8 ? border.quantize : 0;
}

std::vector<bool> Chooser::cheapest() const {
  constexpr size_t kFirst = 2;  // behind source and sink
  const size_t nodes = graph_.nodes.size();
  MinCut cut(kFirst + nodes);
  for (size_t n = 0; n < nodes; ++n) {
    const std::string& name = graph_.nodes[n].name;
    if (!int8_[n]) {
      cut.add_edge(kFirst + n, MinCut::kSink, MinCut::kInfinite);
    } else if (shared_[n]) {
      cut.add_edge(MinCut::kSource, kFirst + n, MinCut::kInfinite);
    } else {
      cut.add_edge(kFirst + n, MinCut::kSink, nanoseconds(time_of(in_int8_, name)));
      cut.add_edge(MinCut::kSource, kFirst + n,
                   nanoseconds(kClearlyFaster * time_of(in_float_, name)));
    }
  }
  // A conversion is paid once a value, however many readers it has: a node stands for its result.
  for (size_t v = 0; v < borders_.size(); ++v) {
    const Border& border = borders_[v];
    const bool touched =
        made_in_int8(v, int8_) ||
        std::ranges::any_of(border.readers, [&](size_t reader) { return int8_[reader]; });
    if (!touched) continue;
    const int producer = uses_.producer[v];
    const size_t made = producer < 0 ? MinCut::kSink : kFirst + static_cast<size_t>(producer);
    const size_t quantized = cut.add_node();
    cut.add_edge(quantized, made, nanoseconds(border.quantize));
    for (const size_t reader : border.readers)
      cut.add_edge(kFirst + reader, quantized, MinCut::kInfinite);
    if (producer < 0) continue;
    const size_t dequantized = cut.add_node();
    cut.add_edge(made, dequantized, nanoseconds(border.dequantize));
    for (const size_t reader : border.readers)
      cut.add_edge(dequantized, kFirst + reader, MinCut::kInfinite);
    if (is_output(v)) cut.add_edge(dequantized, MinCut::kSink, MinCut::kInfinite);
  }
  std::vector<bool> side = cut.source_side();
  return {side.begin() + kFirst, side.begin() + static_cast<std::ptrdiff_t>(kFirst + nodes)};
}

std::map<std::string, std::string> Chooser::run() const {
  const std::vector<bool> int8 = cheapest();
  const auto leaves = [&](size_t n) { return int8_[n] && !int8[n]; };

  // Layers around the same values are one chain: a forest of pointers to earlier ones.
  struct Chain {
    double ms_float = 0, ms_int8 = 0;
    int layers = 0;
  };
  std::vector<size_t> earlier(graph_.nodes.size());
  std::iota(earlier.begin(), earlier.end(), size_t{0});
  const auto chain_of = [&](size_t n) {
    while (earlier[n] != n) n = earlier[n];
    return n;
  };
  std::vector<size_t> leaver_at(borders_.size(), SIZE_MAX);  // per value: one of those around it
  const auto join = [&](size_t v, size_t n) {
    if (!leaves(n)) return;
    if (leaver_at[v] == SIZE_MAX) leaver_at[v] = n;
    const size_t a = chain_of(leaver_at[v]), b = chain_of(n);
    earlier[std::max(a, b)] = std::min(a, b);
  };
  for (size_t v = 0; v < borders_.size(); ++v) {
    if (uses_.producer[v] >= 0) join(v, static_cast<size_t>(uses_.producer[v]));
    for (const size_t reader : borders_[v].readers) join(v, reader);
  }

  std::map<size_t, Chain> chains;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (!leaves(n)) continue;
    Chain& chain = chains[chain_of(n)];
    chain.ms_float += time_of(in_float_, graph_.nodes[n].name);
    chain.ms_int8 += time_of(in_int8_, graph_.nodes[n].name);
    chain.layers += is_layer(graph_, graph_.nodes[n]);
  }
  for (size_t v = 0; v < borders_.size(); ++v) {
    if (leaver_at[v] == SIZE_MAX) continue;
    Chain& chain = chains[chain_of(leaver_at[v])];
    chain.ms_float += conversions(v, int8);
    chain.ms_int8 += conversions(v, int8_);
  }
  std::map<std::string, std::string> why;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (!leaves(n)) continue;
    const Chain& chain = chains[chain_of(n)];
    const std::string where =
        chain.layers > 1 ? "for these " + std::to_string(chain.layers) + " layers" : "here";
    why[graph_.nodes[n].name] = "fp32 is faster " + where + ": " + ms_text(chain.ms_float) +
                                ", int8 " + ms_text(chain.ms_int8);
  }
  return why;
}

}  // namespace

std::map<std::string, std::string> layers_faster_in_float(const Graph& graph,
                                                          std::span<const LayerReport> layers,
                                                          const Times& in_float,
                                                          const Times& in_int8) {
  return Chooser(graph, layers, in_float, in_int8).run();
}

std::string ms_text(double ms) {
  char text[32];
  std::snprintf(text, sizeof text, ms < 100 ? "%.3g ms" : "%.0f ms", ms);
  return text;
}

}  // namespace firn
