// SPDX-License-Identifier: Apache-2.0
// The same samples through two models, and how far their answers are apart.
#include "comparison.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "floats.h"
#include "json.h"
#include "labels.h"
#include "progress.h"
#include "text.h"

namespace firn::tool {
namespace {

// For each of A's outputs the index of B's: by name where all are there, else by position.
Result<std::vector<size_t>> pair_outputs(const std::vector<TensorInfo>& a,
                                         const std::vector<TensorInfo>& b) {
  if (a.size() != b.size()) {
    return Status(Code::invalid_argument,
                  format("A has %zu outputs, B has %zu", a.size(), b.size()));
  }
  std::vector<size_t> by_name, by_position;
  for (size_t i = 0; i < a.size(); ++i) {
    by_position.push_back(i);
    const auto found = std::find_if(b.begin(), b.end(),
                                    [&](const TensorInfo& each) { return each.name == a[i].name; });
    if (found != b.end()) by_name.push_back(static_cast<size_t>(found - b.begin()));
  }
  return by_name.size() == a.size() ? by_name : by_position;
}

// One model with its samples, run by run.
struct Side {
  Network& network;
  std::optional<Feed> feed{};  // none: it takes the other side's inputs
  Outputs outputs{};

  Status run(const std::vector<NamedTensor>& inputs) {
    return network.session.run(inputs, outputs);
  }
  Result<std::vector<float>> output(size_t index) {
    return floats_of(outputs.all()[index].tensor, network.model.outputs()[index].quant);
  }
};

Result<Comparison> compare_all(Side& a, Side& b, const std::vector<size_t>& output_of_b,
                               const std::vector<int64_t>& labels, int label_offset) {
  Comparison result;
  result.samples = a.feed->size();
  for (const TensorInfo& output : a.network.model.outputs()) result.names.push_back(output.name);
  result.errors.resize(result.names.size());
  Progress progress("comparing", result.samples);
  for (size_t i = 0; i < result.samples; ++i) {
    FIRN_ASSIGN(std::vector<NamedTensor> inputs, a.feed->read(i));
    FIRN_TRY(a.run(inputs));
    if (b.feed) {
      FIRN_ASSIGN(inputs, b.feed->read(i));
    }
    FIRN_TRY(b.run(inputs));
    std::optional<int64_t> label;
    if (!labels.empty()) label = labels[a.feed->first() + i] + label_offset;
    for (size_t k = 0; k < result.errors.size(); ++k) {
      FIRN_ASSIGN(const std::vector<float> values_a, a.output(k));
      FIRN_ASSIGN(const std::vector<float> values_b, b.output(output_of_b[k]));
      if (values_a.size() != values_b.size()) {
        return Status(Code::invalid_argument,
                      format("output '%s': A gives %zu values, B gives %zu",
                             result.names[k].c_str(), values_a.size(), values_b.size()));
      }
      result.errors[k].add(values_a, values_b);
      if (k == 0 && is_scores(a.outputs.all()[k].tensor.shape)) {
        result.top.add(values_a, values_b, label);
      }
    }
    progress.step();
  }
  return result;
}

}  // namespace

Result<Comparison> compare_networks(Network& network_a, Network& network_b, const DataOptions& data,
                                    int label_offset) {
  FIRN_ASSIGN(const std::vector<size_t> output_of_b,
              pair_outputs(network_a.model.outputs(), network_b.model.outputs()));
  Side a{network_a}, b{network_b};
  FIRN_ASSIGN(a.feed, Feed::open(data, network_a.inputs));
  if (network_a.inputs != network_b.inputs) {
    FIRN_ASSIGN(b.feed, Feed::open(data, network_b.inputs));
  }
  std::vector<int64_t> labels;
  if (!data.labels.empty()) {
    FIRN_ASSIGN(labels, read_labels(data.labels, a.feed->source()));
  }
  return compare_all(a, b, output_of_b, labels, label_offset);
}

std::string as_json(const Comparison& result) {
  Json json;
  json.open('{').member("samples", result.samples);
  json.member("top1_a", result.top.accuracy_a()).member("top1_b", result.top.accuracy_b());
  json.member("agreement", result.top.agreement());
  json.open("outputs", '[');
  for (size_t i = 0; i < result.names.size(); ++i) {
    json.open('{').member("name", result.names[i]);
    json.member("sqnr_db", result.errors[i].sqnr_db());
    json.member("max_abs_error", result.errors[i].max_abs_error()).close();
  }
  return json.close().close().text();
}

}  // namespace firn::tool
