// SPDX-License-Identifier: Apache-2.0
// ncnn models against what they mean: worked out by hand, or written as ONNX.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "firn/model.h"
#include "firn/session.h"
#include "test/runtime/ncnn_builder.h"

using namespace firn;
using namespace firn::test;
using doctest::Approx;

namespace {

std::vector<float> wave(size_t count, float step) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = std::sin(step * static_cast<float>(i + 1));
  return values;
}

void check_close(const std::vector<float>& a, const std::vector<float>& b,
                 float tolerance = 1e-5f) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK(a[i] == Approx(b[i]).epsilon(tolerance));
  }
}

const std::string kInput = "Input data 0 1 data 0=4 1=3 2=2";  // 2,3,4

}  // namespace

TEST_CASE("one network as ncnn and as ONNX gives the same answers") {
  const std::vector<float> w = wave(5 * 2 * 3 * 3, 0.7f), b = wave(5, 0.3f);
  const std::vector<float> fc = wave(3 * 5, 0.9f), fc_b = wave(3, 1.3f);
  NcnnModel ncnn;
  ncnn.layer("Input data 0 1 data 0=8 1=8 2=2")
      .layer("Convolution conv 1 1 data c 0=5 1=3 3=2 4=1 5=1 6=90 9=2 -23310=1,0.1")
      .layer("Split split 1 2 c c1 c2")
      .layer("Swish swish 1 1 c2 s")
      .layer("BinaryOp add 2 1 c1 s sum 0=0")
      .layer("Pooling pool 1 1 sum p 0=1 4=1")
      .layer("InnerProduct fc 1 1 p f 0=3 1=1 2=15")
      .layer("Softmax prob 1 1 f prob 0=0")
      .tagged(w)
      .raw(b)
      .tagged(fc)
      .raw(fc_b);
  OnnxModel onnx;
  onnx.input("data", {1, 2, 8, 8});
  onnx.initializer(onnx_floats("w", {5, 2, 3, 3}, w));
  onnx.initializer(onnx_floats("b", {5}, b));
  onnx.initializer(onnx_floats("fc", {3, 5}, fc));
  onnx.initializer(onnx_floats("fc_b", {3}, fc_b));
  onnx.node("Conv", {"data", "w", "b"}, {"c"},
            {attr("strides", std::vector<int64_t>{2, 2}),
             attr("pads", std::vector<int64_t>{1, 1, 1, 1})});
  onnx.node("LeakyRelu", {"c"}, {"l"}, {attr("alpha", 0.1f)});
  onnx.node("Sigmoid", {"l"}, {"g"});
  onnx.node("Mul", {"l", "g"}, {"s"});
  onnx.node("Add", {"l", "s"}, {"sum"});
  onnx.node("GlobalAveragePool", {"sum"}, {"p"});
  onnx.node("Flatten", {"p"}, {"flat"});
  onnx.node("Gemm", {"flat", "fc", "fc_b"}, {"f"}, {attr("transB", int64_t{1})});
  onnx.node("Softmax", {"f"}, {"prob"});
  onnx.output("prob");
  const std::vector<float> x = wave(128, 0.37f);
  check_close(run_floats(ncnn, {2, 8, 8}, x), run_floats(onnx, {1, 2, 8, 8}, x));
}

TEST_CASE("inputs and outputs are blobs without a batch, under their names") {
  NcnnModel model;
  model.layer(kInput).layer("Permute turn 1 1 data turned 0=1").layer("ReLU r 1 1 turned out");
  const std::string param = model.param();
  const auto loaded = Model::parse_ncnn(as_bytes(param), {});
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->info().format == "ncnn");
  CHECK(loaded->inputs() == std::vector<TensorInfo>{{"data", DType::f32, {2, 3, 4}, {}}});
  CHECK(loaded->outputs() == std::vector<TensorInfo>{{"out", DType::f32, {2, 4, 3}, {}}});
}

TEST_CASE("sizes that the file leaves open are the session's") {
  NcnnModel model;
  model.layer("Input data 0 1 data")
      .layer("Convolution conv 1 1 data c 0=1 1=3 6=18")
      .layer("Pooling pool 1 1 c out 0=0 1=2 2=2")
      .tagged(std::vector<float>(18, 1));
  const std::string param = model.param();
  const auto loaded = Model::parse_ncnn(as_bytes(param), as_bytes(model.bin()));
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->inputs()[0].shape == Shape{2, -1, -1});
  const auto session = Session::create(*loaded, {.input_shapes = {{"data", {2, 8, 7}}}});
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  CHECK(session->outputs()[0].shape == Shape{1, 3, 3});  // rounded up

  const LoadOptions flat{.input_shapes = {{"data", {6}}}};
  NcnnModel dense;
  dense.layer("Input data 0 1 data").layer("ReLU r 1 1 data out");
  const std::string dense_param = dense.param();
  const auto vector = Model::parse_ncnn(as_bytes(dense_param), {}, flat);
  REQUIRE_MESSAGE(vector.ok(), vector.status().message());
  CHECK(vector->outputs()[0].shape == Shape{6});
}

TEST_CASE("weights are read from every kind of storage") {
  const std::string conv = "Convolution conv 1 1 data out 0=1 1=1 6=2";
  const std::vector<float> x = wave(24, 0.5f);
  std::vector<float> expected(12);
  for (size_t i = 0; i < 12; ++i) expected[i] = 0.5f * x[i] - 2 * x[12 + i];
  NcnnModel plain, half, table;
  plain.layer(kInput).layer(conv).tagged({0.5f, -2});
  half.layer(kInput).layer(conv).halves({0x3800, 0xC000});
  std::vector<float> entries(256);
  entries[7] = 0.5f;
  entries[255] = -2;
  table.layer(kInput).layer(conv).table(entries, {7, 255});
  for (const NcnnModel* model : {&plain, &half, &table}) {
    check_close(run_floats(*model, {2, 3, 4}, x), expected);
  }
  // Three halves are padded to eight bytes: what follows starts there.
  NcnnModel odd;
  odd.layer("Input data 0 1 data 0=1 1=1 2=3")
      .layer("Convolution conv 1 1 data out 0=1 1=1 5=1 6=3")
      .halves({0x3C00, 0x4000, 0x4200})
      .raw({10});
  check_close(run_floats(odd, {3, 1, 1}, {1, 1, 1}), {16});
}

TEST_CASE("a binary .param means what the text does") {
  NcnnModel model;
  model.layer(kInput)
      .layer("Convolution conv 1 1 data c 0=3 1=2 4=1 5=1 6=24 9=3 -23310=2,-0.5,0.75")
      .layer("Slice cut 1 2 c a b -23300=2,1,-233 1=0")
      .layer("BinaryOp scaled 1 1 b d 0=2 1=1 2=1.5")
      .layer("Concat all 2 1 a d out 0=0")
      .tagged(wave(24, 0.4f))
      .raw(wave(3, 0.2f));
  const std::string binary = model.binary_param();
  const Result<Graph> graph = read_ncnn({.param = as_bytes(binary), .bin = as_bytes(model.bin())});
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  const std::vector<float> x = wave(24, 0.8f);
  const std::vector<float> expected = run_floats(model, {2, 3, 4}, x);
  check_close(floats_of(run(*graph, {view(Shape{2, 3, 4}, x.data())})[0]), expected);
}

TEST_CASE("vectors broadcast along channels, or along the width where only that fits") {
  const std::vector<float> x = wave(24, 0.5f);
  const auto add = [&](const std::string& size, const std::vector<float>& y) {
    NcnnModel model;
    model.layer(kInput)
        .layer("MemoryData m 0 1 m " + size)
        .layer("BinaryOp add 2 1 data m out 0=0")
        .raw(y);
    return run_floats(model, {2, 3, 4}, x);
  };
  const std::vector<float> by_channel = add("0=2", {10, 20}), by_column = add("0=4", {1, 2, 3, 4});
  const std::vector<float> by_row = add("0=3 1=2", {1, 2, 3, 4, 5, 6});
  for (size_t i = 0; i < 24; ++i) {
    CHECK(by_channel[i] == Approx(x[i] + (i < 12 ? 10 : 20)));
    CHECK(by_column[i] == Approx(x[i] + static_cast<float>(i % 4 + 1)));
    CHECK(by_row[i] == Approx(x[i] + static_cast<float>(i / 4 + 1)));
  }
}

TEST_CASE("int8 layers compute with the file's own scales") {
  // 1x1, two inputs, two outputs; weights (64, -127) / 127 and (1, 2) / 10; input scale 50.
  NcnnModel model;
  model.layer("Input data 0 1 data 0=1 1=1 2=2")
      .layer("Convolution conv 1 1 data out 0=2 1=1 5=1 6=4 8=2 9=1")
      .integers({64, -127, 1, 2})
      .raw({0.25f, -0.125f})
      .raw({127, 10})
      .raw({50});
  const Graph graph = import(model);
  const auto conv = std::ranges::find_if(
      graph.nodes, [](const Node& n) { return std::holds_alternative<Conv2d>(n.op); });
  REQUIRE(conv != graph.nodes.end());
  CHECK(graph.value(conv->in[0]).type == DType::i8);
  CHECK(graph.value(conv->in[0]).quant->scale == std::vector<float>{1.0f / 50});
  CHECK(graph.value(conv->in[1]).quant->scale == std::vector<float>{1.0f / 127, 1.0f / 10});
  // The input in steps of 1/50: 0.5 is 25, -0.31 is -16 (-15.5 to even).
  const std::vector<float> y = run_floats(model, {2, 1, 1}, {0.5f, -0.31f});
  CHECK(y[0] == Approx((25 * 64 + 16 * 127) / (127.0 * 50) + 0.25).epsilon(1e-4));
  CHECK(y[1] == 0);  // (25 - 32) / 500 - 0.125, rectified
}

TEST_CASE("an int8 layer hands int8 to the next where the file has a scale for it") {
  NcnnModel model;
  model.layer("Input data 0 1 data 0=1 1=1 2=1")
      .layer("Convolution a 1 1 data mid 0=1 1=1 6=1 8=102 9=1")
      .layer("Convolution b 1 1 mid out 0=1 1=1 6=1 8=2")
      .integers({100})
      .raw({100})
      .raw({64})
      .raw({32})
      .integers({50})
      .raw({100})
      .raw({32});
  const Graph graph = import(model);
  size_t quantized = 0;
  for (const Node& node : graph.nodes) {
    quantized +=
        std::holds_alternative<Convert>(node.op) && graph.value(node.out[0]).type == DType::i8;
  }
  CHECK(quantized == 1);  // the input alone
  CHECK(run_floats(model, {1, 1, 1}, {1.5f})[0] == Approx(0.75f));
}

TEST_CASE("random weights are the same every time, and finite behind many layers") {
  NcnnModel model;
  model.layer("Input data 0 1 data 0=16 1=16 2=3");
  std::string last = "data";
  for (int i = 0; i < 20; ++i) {
    const std::string next = "b" + std::to_string(i);
    const int inputs = i == 0 ? 3 : 16;
    model.layer("Convolution conv" + std::to_string(i) + " 1 1 " + last + " " + next +
                " 0=16 1=3 4=1 5=1 6=" + std::to_string(16 * 9 * inputs) + " 9=1");
    last = next;
  }
  const std::string param = model.param();
  std::vector<float> outputs[2];
  const std::vector<float> x = wave(768, 0.3f);
  for (std::vector<float>& out : outputs) {
    const auto loaded = Model::parse(as_bytes(param), {.random_weights = true});
    REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
    Result<Session> session = Session::create(*loaded);
    REQUIRE(session.ok());
    Outputs results;
    REQUIRE(session->run({{"data", view(Shape{3, 16, 16}, x.data())}}, results).ok());
    const auto values = results["b19"].as<float>();
    out.assign(values.begin(), values.end());
  }
  CHECK(outputs[0] == outputs[1]);
  float largest = 0;
  for (const float value : outputs[0]) largest = std::max(largest, std::abs(value));
  CHECK(largest > 1e-3f);
  CHECK(largest < 1e3f);
}

TEST_CASE("detections: decoded from priors, thinned out, the best first") {
  // Three priors, two of which overlap; classes: background and two more.
  NcnnModel model;
  model.layer("Input loc 0 1 loc 0=12")
      .layer("Input conf 0 1 conf 0=9")
      .layer("MemoryData priors 0 1 priors 0=12 1=2")
      .layer("DetectionOutput det 3 1 loc conf priors out 0=3 1=0.5 2=10 3=10 4=0.3")
      .raw({0,    0,    0.4f, 0.4f, 0,    0,    0.4f, 0.44f, 0.5f, 0.5f, 0.9f, 0.9f,
            0.1f, 0.1f, 0.2f, 0.2f, 0.1f, 0.1f, 0.2f, 0.2f,  0.1f, 0.1f, 0.2f, 0.2f});
  const std::vector<float> loc(12, 0);
  const std::vector<float> conf{0.1f, 0.7f, 0.2f, 0.1f, 0.8f, 0.1f, 0.2f, 0.25f, 0.55f};
  const std::string param = model.param();
  const auto loaded = Model::parse_ncnn(as_bytes(param), as_bytes(model.bin()));
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->outputs()[0].shape == Shape{-1, -1});  // as many rows as the data has
  Result<Session> session = Session::create(*loaded);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  Outputs results;
  const Status status = session->run(
      {{"loc", view(Shape{12}, loc.data())}, {"conf", view(Shape{9}, conf.data())}}, results);
  REQUIRE_MESSAGE(status.ok(), status.message());
  const Tensor out = results["out"];
  REQUIRE(out.shape == Shape{2, 6});
  const std::vector<float> rows(out.as<float>().begin(), out.as<float>().end());
  check_close(rows, {1, 0.8f, 0, 0, 0.4f, 0.44f, 2, 0.55f, 0.5f, 0.5f, 0.9f, 0.9f});
}
