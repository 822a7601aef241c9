// SPDX-License-Identifier: Apache-2.0
// ncnn's calibration tables: read with ncnn's meaning, written for its tools, and every mistake
// named with its line.
#include "quant/ncnn_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "quant/quantize_graph.h"
#include "quant/table_lines.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

// Convolutions conv1 (3x3), dw (depthwise), pw, and the dense layer fc; two read what conv1 gives.
Graph network() {
  test::GraphBuilder b;
  const ValueId conv1 = b.relu("relu", b.conv("conv1", b.input("x", {1, 8, 8, 3}), 4, 3, 1));
  const ValueId dw = b.conv("dw", conv1, 4, 3, 1, 1, 4);
  const ValueId pw = b.conv("pw", dw, 4);
  const ValueId side = b.conv("side", conv1, 4);
  const ValueId sum = b.binary("sum", Binary::Kind::add, pw, side);
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, false}, {sum});
  b.output(b.dense("fc", mean, 5));
  return b.graph;
}

const std::string kWeights =
    "conv1_param_0 100 200 300 400\n"
    "dw_param_0 1 2 3 4\n"
    "pw_param_0 10.5 20 30 4e1\n"
    "side_param_0 1 1 1 1\n"
    "fc_param_0 7 7 7 7 7\n";
const std::string kInputs =
    "conv1 63.5\n"
    "dw 50\n"
    "pw 25.4\n"
    "side 50\n"
    "fc 12.7\n";

GivenRanges parsed(const std::string& text) {
  auto given = parse_ncnn_table(text, "t", network());
  REQUIRE_MESSAGE(given.ok(), given.status().message());
  return *std::move(given);
}

std::string error(const std::string& text) {
  const auto given = parse_ncnn_table(text, "t", network());
  return given.ok() ? "ok" : code_name(given.status().code()) + (" " + given.status().message());
}

// The text with one line replaced, or left out.
std::string with(const std::string& line, const std::string& other) {
  std::string text = kWeights + kInputs;
  const size_t at = text.find(line + "\n");
  REQUIRE(at != std::string::npos);
  return text.replace(at, line.size() + 1, other.empty() ? "" : other + "\n");
}

TEST_CASE("ncnn table: a scale is 127 / largest, around 0; weights a scale a channel") {
  const GivenRanges given = parsed(kWeights + kInputs);
  CHECK(given.warnings.empty());
  CHECK(given.float_layers.empty());
  REQUIRE(given.ranges.contains("x"));
  const Quant x = to_quant(given.ranges.at("x"));
  CHECK(x.zero[0] == 0);
  CHECK(x.scale[0] == 1 / 63.5f);
  CHECK(to_quant(given.ranges.at("relu")).scale[0] == 1 / 50.0f);
  CHECK(to_quant(given.ranges.at("mean")).scale[0] == 1 / 12.7f);
  CHECK(given.ranges.size() == 4);
  CHECK(given.weight_scales.at("conv1") ==
        std::vector<float>{1 / 100.0f, 1 / 200.0f, 1 / 300.0f, 1 / 400.0f});
  CHECK(given.weight_scales.at("pw")[3] == 1 / 40.0f);
  CHECK(given.weight_scales.at("fc").size() == 5);
}

TEST_CASE("ncnn table: what it has no range for stays in float, the rest is int8 on its scales") {
  const Graph graph = network();
  const GivenRanges given = parsed(kWeights + kInputs);
  QuantizeOptions options;
  options.weight_scales = given.weight_scales;
  options.unranged_in_float = true;
  const auto quantized = quantize_graph(graph, given.ranges, options);
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  for (const LayerReport& layer : quantized->layers) {
    CAPTURE(layer.name);
    const bool is_weighted = given.weight_scales.contains(layer.name);
    // Behind what adds in float, the small last layer is not worth a conversion.
    if (is_weighted) CHECK((layer.precision == Precision::i8) == (layer.name != "fc"));
    if (layer.name == "sum") CHECK(layer.why == "no range is given for pw");
  }
  for (const Node& node : quantized->graph.nodes) {
    const auto scales = given.weight_scales.find(node.name);
    if (scales == given.weight_scales.end() || node.name == "fc") continue;
    CHECK(quantized->graph.value(node.in[1]).quant->scale == scales->second);
  }
}

TEST_CASE("ncnn table: a # in front of either line, or both, keeps the layer in float") {
  for (const std::string& text : {with("pw_param_0 10.5 20 30 4e1", "#pw_param_0 10.5 20 30 4e1"),
                                  with("pw 25.4", "#pw 25.4"), with("pw 25.4", "# pw 25.4")}) {
    const GivenRanges given = parsed(text);
    CHECK(given.float_layers == std::map<std::string, std::string>{{"pw", "behind a # in t"}});
    CHECK_FALSE(given.ranges.contains("dw"));  // which nothing else reads in int8
    CHECK_FALSE(given.weight_scales.contains("pw"));
    CHECK(given.ranges.contains("relu"));
  }
}

TEST_CASE("ncnn table: two readers on two scales: the wider range, and a warning") {
  const GivenRanges given = parsed(with("side 50", "side 40"));
  CHECK(to_quant(given.ranges.at("relu")).scale[0] == 1 / 40.0f);
  CHECK(given.warnings ==
        std::vector<std::string>{"t:9: \"side\" reads what \"dw\" reads, on another scale; the "
                                 "wider range is taken"});
}

TEST_CASE("ncnn table: lines of layers without int8 weights here are warned of") {
  CHECK(error(kWeights + kInputs + "me_param_0 1\n") ==
        "malformed t:11: the model has no layer \"me\"");
  const GivenRanges given = parsed(kWeights + kInputs + "mean_param_0 1\nmean_param_1 1\n");
  CHECK(given.warnings ==
        std::vector<std::string>{
            "t: lines of \"mean\" are not used: it has no int8 weights of its own here"});
}

TEST_CASE("ncnn table: a layer that is several here, and has no line for what it reads, is float") {
  test::GraphBuilder b;
  const ValueId q = b.dense("mha/q", b.conv("conv", b.input("x", {1, 4, 4, 4}), 4), 3);
  b.output(b.dense("mha/out", q, 3));
  const std::string conv = "conv_param_0 1 1 1 1\nconv 1\n";
  const auto given = parse_ncnn_table(conv + "mha_param_0 1 1 1\nmha_param_3 1\n", "t", b.graph);
  REQUIRE_MESSAGE(given.ok(), given.status().message());
  CHECK(given->float_layers ==
        std::map<std::string, std::string>{{"mha/q", "not in t"}, {"mha/out", "not in t"}});
  CHECK(given->warnings.size() == 1);
  CHECK(parse_ncnn_table(conv, "t", b.graph).status().message() ==
        "t:3: the file ends, expected a line for \"mha/q_param_0\"");
  CHECK(parse_ncnn_table(conv + "mha 1\n", "t", b.graph).status().message() ==
        "t:3: the model has no layer \"mha\"");
}

TEST_CASE("ncnn table: every kind of broken table is an error with its line") {
  CHECK(error(kWeights + kInputs) == "ok");
  CHECK(error(kInputs + kWeights) == "ok");
  CHECK(error("") == "malformed t:1: the file ends, expected a line for \"conv1_param_0\"");
  CHECK(error(kWeights) == "malformed t:6: the file ends, expected a line for \"conv1\"");
  CHECK(error(with("pw 25.4", "")) == "malformed t:10: the file ends, expected a line for \"pw\"");
  CHECK(error(with("dw_param_0 1 2 3 4", "")) ==
        "malformed t:10: the file ends, expected a line for \"dw_param_0\"");
  CHECK(error(kWeights + "\n" + kInputs) ==
        "malformed t:6: blank line, expected a line for \"conv1\"");
  CHECK(error(kWeights + kInputs + " \n") == "malformed t:11: blank line, expected nothing");
  CHECK(error(with("pw 25.4", "pq 25.4")) == "malformed t:8: the model has no layer \"pq\"");
  CHECK(error(with("pw_param_0 10.5 20 30 4e1", "pq_param_0 1 1 1 1")) ==
        "malformed t:3: the model has no layer \"pq\"");
  CHECK(error(with("pw 25.4", "dw 25.4")) == "malformed t:8: \"dw\" is in line 7 already");
  CHECK(error(with("pw_param_0 10.5 20 30 4e1", "pw_param_0 10.5 20 30")) ==
        "malformed t:3: \"pw_param_0\" has 3 scales, the layer 4");
  CHECK(error(with("pw_param_0 10.5 20 30 4e1", "pw_param_0 1 2 3 4 5")) ==
        "malformed t:3: \"pw_param_0\" has 5 scales, the layer 4");
  CHECK(error(with("pw 25.4", "pw")) == "malformed t:8: \"pw\" has 0 scales, the layer 1");
  CHECK(error(with("pw 25.4", "pw 1 2")) == "malformed t:8: \"pw\" has 2 scales, the layer 1");
  for (const std::string bad :
       {"x", "nan", "inf", "-inf", "-1", "0", "1e-45", "1e99", "1,5", "#"}) {
    CHECK(error(with("pw 25.4", "pw " + bad)) ==
          "malformed t:8: scale: \"" + bad + "\" is not a positive number");
    CHECK(error(with("dw_param_0 1 2 3 4", "dw_param_0 1 2 3 " + bad)) ==
          "malformed t:2: scale: \"" + bad + "\" is not a positive number");
  }
  CHECK(error("#\n" + kWeights + kInputs) == "malformed t:1: the model has no layer \"\"");
  CHECK(error("# ncnn table\n" + kWeights + kInputs) ==
        "malformed t:1: the model has no layer \"ncnn\"");
}

TEST_CASE("ncnn table: every cut of a good text is an error, but for a shorter last number") {
  const std::string text = kWeights + kInputs;
  for (size_t n = 0; n + 4 < text.size(); ++n) CHECK(error(text.substr(0, n)) != "ok");
}

TEST_CASE("ncnn table: what is written reads back as symmetric ranges and full weights") {
  const Graph graph = network();
  const std::map<std::string, Interval> ranges{
      {"x", {-1, 2}}, {"relu", {0, 6}}, {"dw", range_of_scale(0.03f, 8)}, {"mean", {-4, 3}}};
  const auto text = to_ncnn_text(graph, ranges);
  REQUIRE_MESSAGE(text.ok(), text.status().message());
  const GivenRanges given = parsed(*text);
  CHECK(given.warnings.empty());
  CHECK(to_quant(given.ranges.at("x")).scale[0] == doctest::Approx(2 / 127.0));
  CHECK(to_quant(given.ranges.at("relu")).scale[0] == doctest::Approx(6 / 127.0));
  CHECK(to_quant(given.ranges.at("relu")).zero[0] == 0);
  CHECK(to_quant(given.ranges.at("dw")).scale[0] == doctest::Approx(0.03));
  CHECK(to_quant(given.ranges.at("mean")).scale[0] == doctest::Approx(4 / 127.0));
  for (const Node& node : graph.nodes) {
    const auto scales = given.weight_scales.find(node.name);
    if (scales == given.weight_scales.end()) continue;
    CAPTURE(node.name);
    const std::span<const float> weights = graph.value(node.in[1]).as<float>();
    const size_t row = weights.size() / scales->second.size();
    // ncnn's Winograd kernels take 6 bits.
    const float levels = node.name == "conv1" ? 31 : 127;
    for (size_t c = 0; c < scales->second.size(); ++c) {
      float largest = 0;
      for (const float w : weights.subspan(c * row, row)) largest = std::max(largest, std::fabs(w));
      CHECK(scales->second[c] == doctest::Approx(largest / levels));
    }
  }
  // Line for line: weights of all layers, then what they read.
  std::vector<std::string> keys;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) keys.push_back(line.substr(0, line.find(' ')));
  CHECK(keys == std::vector<std::string>{"conv1_param_0", "dw_param_0", "pw_param_0",
                                         "side_param_0", "fc_param_0", "conv1", "dw", "pw", "side",
                                         "fc"});
  // Once more through ncnn's format nothing changes.
  const auto again = to_ncnn_text(graph, given.ranges);
  REQUIRE(again.ok());
  CHECK(parsed(*again).ranges == given.ranges);
}

TEST_CASE("ncnn table: a grouped convolution has one scale a group; names may not have spaces") {
  test::GraphBuilder b;
  b.output(b.conv("gc", b.input("x", {1, 4, 4, 4}), 6, 1, 0, 1, 2));
  const auto given = parse_ncnn_table("gc_param_0 2 4\ngc 1\n", "t", b.graph);
  REQUIRE_MESSAGE(given.ok(), given.status().message());
  CHECK(given->weight_scales.at("gc") == std::vector<float>{0.5f, 0.5f, 0.5f, 0.25f, 0.25f, 0.25f});
  const auto text = to_ncnn_text(b.graph, {{"x", {-1, 1}}});
  REQUIRE(text.ok());
  CHECK(text->substr(text->find("\n") + 1) == "gc 127 \n");
  b.graph.nodes[0].name = "g c";
  CHECK(to_ncnn_text(b.graph, {{"x", {-1, 1}}}).status().message() ==
        "layer \"g c\": ncnn's format cannot hold such a name");
}

}  // namespace
}  // namespace firn
