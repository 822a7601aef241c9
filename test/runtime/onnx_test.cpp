// SPDX-License-Identifier: Apache-2.0
// What ONNX nodes become, and what they compute: layouts, opset differences, open dimensions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/import/onnx.h"
#include "test/runtime/onnx_builder.h"
#include "test/runtime/onnx_run.h"

namespace firn {
namespace {

using namespace test;
using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

Floats iota(size_t count, float first = 0) {
  Floats values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

template <typename T>
int count_of(const Graph& graph) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes, [](const Node& node) { return std::holds_alternative<T>(node.op); }));
}

const Node* find(const Graph& graph, const std::string& name) {
  const auto found = std::ranges::find(graph.nodes, name, &Node::name);
  return found == graph.nodes.end() ? nullptr : &*found;
}

void check_close(const Floats& got, const Floats& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK_MESSAGE(std::abs(got[i] - expected[i]) <= 1e-6f + 1e-5f * std::abs(expected[i]),
                  "element " << i << ": " << got[i] << ", expected " << expected[i]);
  }
}

}  // namespace

TEST_CASE("onnx: Conv becomes NHWC between Transposes, its constant weights transposed") {
  const OnnxModel model = OnnxModel()
                              .input("x", {"N", 2, 3, 3})
                              .initializer(onnx_floats("w", {1, 2, 2, 2}, iota(8)))
                              .initializer(onnx_floats("b", {1}, {100}))
                              .node("Conv", {"x", "w", "b"}, {"y"}, {}, "conv")
                              .output("y");
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  CHECK(graph.nodes.size() == 3);
  const Node* conv = find(graph, "conv");
  REQUIRE(conv != nullptr);
  const Value& weights = graph.value(conv->in[1]);
  REQUIRE(weights.constant != nullptr);
  CHECK(weights.shape == Shape{1, 2, 2, 2});
  CHECK(floats_of(weights) == Floats{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(graph.value(graph.inputs[0]).name == "x");
  CHECK(graph.value(graph.inputs[0]).shape == Shape{-1, 2, 3, 3});
  CHECK(graph.value(graph.outputs[0]).name == "y");
  CHECK(graph.value(graph.outputs[0]).shape == Shape{-1, 1, 2, 2});
  // Channel c, row i, column j holds 9c + 3i + j: 19 and 249 meet the bias at the first position,
  // and each further element adds the weights' sum, 28.
  CHECK(run_floats(model, {1, 2, 3, 3}, iota(18)) == Floats{368, 396, 452, 480});
}

TEST_CASE("onnx: Attention of three dimensions, heads side by side") {
  // One key: its values are the answer to any query.
  const OnnxModel model =
      OnnxModel(23)
          .input("q", {1, 2, 4})
          .initializer(onnx_floats("k", {1, 1, 4}, {1, 2, 3, 4}))
          .initializer(onnx_floats("v", {1, 1, 4}, {5, 6, 7, 8}))
          .node("Attention", {"q", "k", "v"}, {"y"},
                {attr("q_num_heads", int64_t{2}), attr("kv_num_heads", int64_t{2})})
          .output("y");
  check_close(run_floats(model, {1, 2, 4}, iota(8)), {5, 6, 7, 8, 5, 6, 7, 8});
}

TEST_CASE("onnx: a one-dimensional Conv runs as an image of one row") {
  const OnnxModel model =
      OnnxModel()
          .input("x", {1, 1, 5})
          .initializer(onnx_floats("w", {1, 1, 3}, {1, 10, 100}))
          .node("Conv", {"x", "w"}, {"y"}, {attr("strides", Ints{2}), attr("pads", Ints{1, 1})})
          .output("y");
  const Value y = run(model, {1, 1, 5}, {1, 2, 3, 4, 5});
  CHECK(y.shape == Shape{1, 1, 3});
  CHECK(floats_of(y) == Floats{210, 432, 54});
}

TEST_CASE("onnx: SAME padding puts the odd row where the name says") {
  for (const bool lower : {false, true}) {
    const OnnxModel model = OnnxModel()
                                .input("x", {1, 1, 1, 4})
                                .initializer(onnx_floats("w", {1, 1, 1, 2}, {1, 10}))
                                .node("Conv", {"x", "w"}, {"y"},
                                      {attr("auto_pad", lower ? "SAME_LOWER" : "SAME_UPPER")})
                                .output("y");
    const Floats expected = lower ? Floats{10, 21, 32, 43} : Floats{21, 32, 43, 4};
    CHECK(run_floats(model, {1, 1, 1, 4}, {1, 2, 3, 4}) == expected);
  }
}

TEST_CASE("onnx: SAME padding of an open size is refused where it depends on it") {
  const auto model = [](int64_t stride) {
    return OnnxModel()
        .input("x", {1, 1, "H", 8})
        .node("MaxPool", {"x"}, {"y"},
              {attr("kernel_shape", Ints{3, 3}), attr("strides", Ints{stride, stride}),
               attr("auto_pad", "SAME_UPPER")},
              "pool")
        .output("y");
  };
  CHECK(refusal(model(1)) == "ok");
  CHECK(refusal(model(2)) ==
        "unsupported: onnx: node 'pool' (MaxPool): auto_pad needs the size of input 'x', which is "
        "1x1x?x8");
}

TEST_CASE("onnx: ConvTranspose of groups") {
  const OnnxModel model = OnnxModel()
                              .input("x", {1, 2, 1, 2})
                              .initializer(onnx_floats("w", {2, 1, 1, 2}, {1, 2, 10, 20}))
                              .node("ConvTranspose", {"x", "w"}, {"y"},
                                    {attr("group", int64_t{2}), attr("strides", Ints{1, 2})})
                              .output("y");
  CHECK(run_floats(model, {1, 2, 1, 2}, {1, 2, 3, 4}) == Floats{1, 2, 2, 4, 30, 60, 40, 80});
}

TEST_CASE("onnx: BatchNormalization with constants becomes one Mul and one Add") {
  const OnnxModel model = OnnxModel()
                              .input("x", {"N", 2, 1, 2})
                              .initializer(onnx_floats("scale", {2}, {2, 3}))
                              .initializer(onnx_floats("bias", {2}, {1, -1}))
                              .initializer(onnx_floats("mean", {2}, {4, 5}))
                              .initializer(onnx_floats("var", {2}, {3.75f, 0.75f}))
                              .node("BatchNormalization", {"x", "scale", "bias", "mean", "var"},
                                    {"y"}, {attr("epsilon", 0.25f)})
                              .output("y");
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  CHECK(graph.nodes.size() == 2);
  CHECK(count_of<Binary>(graph) == 2);
  CHECK(graph.value(graph.nodes[0].in[1]).shape == Shape{2, 1, 1});
  CHECK(run_floats(model, {1, 2, 1, 2}, {4, 6, 5, 7}) == Floats{1, 3, -1, 5});
}

TEST_CASE("onnx: Gemm folds alpha, beta and transposition into a Dense") {
  const OnnxModel model =
      OnnxModel()
          .input("a", {"N", 2})
          .initializer(onnx_floats("b", {2, 3}, {1, 2, 3, 4, 5, 6}))
          .initializer(onnx_floats("c", {1, 3}, {10, 20, 30}))
          .node("Gemm", {"a", "b", "c"}, {"y"}, {attr("alpha", 2.0f), attr("beta", 0.5f)}, "fc")
          .output("y");
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  REQUIRE(graph.nodes.size() == 1);
  CHECK(std::holds_alternative<Dense>(graph.nodes[0].op));
  CHECK(graph.nodes[0].name == "fc");
  CHECK(floats_of(graph.value(graph.nodes[0].in[1])) == Floats{2, 8, 4, 10, 6, 12});
  CHECK(floats_of(graph.value(graph.nodes[0].in[2])) == Floats{5, 10, 15});
  CHECK(run_floats(model, {1, 2}, {1, 1}) == Floats{15, 24, 33});
}

TEST_CASE("onnx: MatMul by a constant matrix is a Dense, by anything else a MatMul") {
  const OnnxModel dense = OnnxModel()
                              .input("a", {1, "L", 2})
                              .initializer(onnx_floats("b", {2, 1}, {3, 4}))
                              .node("MatMul", {"a", "b"}, {"y"})
                              .output("y");
  const std::string dense_bytes = dense.bytes();
  CHECK(count_of<Dense>(import(dense_bytes)) == 1);
  CHECK(run_floats(dense, {1, 2, 2}, {1, 2, 3, 4}) == Floats{11, 25});
  const OnnxModel plain =
      OnnxModel().input("a", {2, 2}).node("MatMul", {"a", "a"}, {"y"}).output("y");
  const std::string plain_bytes = plain.bytes();
  CHECK(count_of<MatMul>(import(plain_bytes)) == 1);
  CHECK(run_floats(plain, {2, 2}, {1, 2, 3, 4}) == Floats{7, 10, 15, 22});
}

TEST_CASE("onnx: Softmax before opset 13 is taken over everything from its axis on") {
  const auto model = [](int64_t opset) {
    return OnnxModel(opset)
        .input("x", {1, 2, 2})
        .node("Softmax", {"x"}, {"y"}, {attr("axis", int64_t{1})})
        .output("y");
  };
  const float l2 = std::log(2.0f);
  const Floats x{0, l2, l2, 0};
  check_close(run_floats(model(12), {1, 2, 2}, x), {1 / 6.f, 2 / 6.f, 2 / 6.f, 1 / 6.f});
  check_close(run_floats(model(13), {1, 2, 2}, x), {1 / 3.f, 2 / 3.f, 2 / 3.f, 1 / 3.f});
}

TEST_CASE("onnx: old and new forms of the same node agree") {
  const Floats x{-3, -1, 0.5f, 4};
  const OnnxModel clip_old =
      OnnxModel(10)
          .input("x", {4})
          .node("Clip", {"x"}, {"y"}, {attr("min", -2.0f), attr("max", 1.0f)})
          .output("y");
  const OnnxModel clip_new = OnnxModel(11)
                                 .input("x", {4})
                                 .initializer(onnx_floats("lo", {}, {-2}))
                                 .initializer(onnx_floats("hi", {}, {1}))
                                 .node("Clip", {"x", "lo", "hi"}, {"y"})
                                 .output("y");
  CHECK(run_floats(clip_old, {4}, x) == Floats{-2, -1, 0.5f, 1});
  CHECK(run_floats(clip_new, {4}, x) == Floats{-2, -1, 0.5f, 1});

  const OnnxModel slice_old =
      OnnxModel(9)
          .input("x", {4})
          .node("Slice", {"x"}, {"y"}, {attr("starts", Ints{1}), attr("ends", Ints{INT64_MAX})})
          .output("y");
  const OnnxModel slice_new = OnnxModel(13)
                                  .input("x", {4})
                                  .initializer(onnx_ints("starts", {1}))
                                  .initializer(onnx_ints("ends", {INT64_MAX}))
                                  .node("Slice", {"x", "starts", "ends"}, {"y"})
                                  .output("y");
  CHECK(run_floats(slice_old, {4}, x) == Floats{-1, 0.5f, 4});
  CHECK(run_floats(slice_new, {4}, x) == Floats{-1, 0.5f, 4});

  const OnnxModel sum_old = OnnxModel(11)
                                .input("x", {2, 2})
                                .node("ReduceSum", {"x"}, {"y"}, {attr("axes", Ints{-1})})
                                .output("y");
  const OnnxModel sum_new = OnnxModel(13)
                                .input("x", {2, 2})
                                .initializer(onnx_ints("axes", {-1}))
                                .node("ReduceSum", {"x", "axes"}, {"y"})
                                .output("y");
  CHECK(run_floats(sum_old, {2, 2}, x) == Floats{-4, 4.5f});
  CHECK(run_floats(sum_new, {2, 2}, x) == Floats{-4, 4.5f});
}

TEST_CASE("onnx: Split in parts of stated, equal and nearly equal length") {
  const auto total = [](const OnnxModel& model) {
    const std::string bytes = model.bytes();
    const Floats x = iota(7);
    const std::vector<Value> parts = run(import(bytes), {view(Shape{7}, x.data())});
    std::vector<size_t> lengths;
    for (const Value& part : parts) lengths.push_back(part.shape.elements());
    return lengths;
  };
  OnnxModel stated = OnnxModel(13).input("x", {7}).initializer(onnx_ints("split", {1, 6}));
  stated.node("Split", {"x", "split"}, {"a", "b"}).output("a").output("b");
  CHECK(total(stated) == std::vector<size_t>{1, 6});
  OnnxModel uneven = OnnxModel(18).input("x", {7});
  uneven.node("Split", {"x"}, {"a", "b"}, {attr("num_outputs", int64_t{2})})
      .output("a")
      .output("b");
  CHECK(total(uneven) == std::vector<size_t>{4, 3});
  OnnxModel odd = OnnxModel(13).input("x", {7});
  odd.node("Split", {"x"}, {"a", "b"}, {}, "cut").output("a").output("b");
  CHECK(refusal(odd) == "malformed: onnx: node 'cut' (Split): 7 does not split into 2 equal parts");
}

TEST_CASE("onnx: an open batch is never baked in") {
  // The classic exporter's flatten: Shape, Gather, Unsqueeze, Concat, Reshape.
  const OnnxModel model =
      OnnxModel(11)
          .input("x", {"batch", 2, 2})
          .initializer(onnx_tensor<int64_t>("zero", kInt64, {}, {0}))
          .initializer(onnx_ints("rest", {-1}))
          .node("Shape", {"x"}, {"shape"})
          .node("Gather", {"shape", "zero"}, {"n"})
          .node("Unsqueeze", {"n"}, {"n1"}, {attr("axes", Ints{0})})
          .node("Concat", {"n1", "rest"}, {"target"}, {attr("axis", int64_t{0})})
          .node("Reshape", {"x", "target"}, {"flat"})
          .node("Softmax", {"flat"}, {"y"})
          .output("y");
  for (const int32_t batch : {1, 3}) {
    const Value y = run(model, {batch, 2, 2}, Floats(static_cast<size_t>(batch) * 4, 1));
    CHECK(y.shape == Shape{batch, 4});
    CHECK(y.as<float>()[0] == 0.25f);
  }
  const OnnxModel squeeze = OnnxModel(11)
                                .input("x", {"N", 2, 1, "W"})
                                .node("Squeeze", {"x"}, {"s"}, {attr("axes", Ints{2})})
                                .node("Unsqueeze", {"s"}, {"u"}, {attr("axes", Ints{0})})
                                .node("Flatten", {"u"}, {"y"}, {attr("axis", int64_t{1})})
                                .output("y");
  const std::string bytes = squeeze.bytes();
  CHECK(import(bytes).value(import(bytes).outputs[0]).shape == Shape{1, -1});
  CHECK(run(squeeze, {3, 2, 1, 5}, Floats(30)).shape == Shape{1, 30});
}

TEST_CASE("onnx: with height and width open, channels stay known, also where 1x1 would not run") {
  const OnnxModel model = OnnxModel()
                              .input("x", {"N", 1, "H", "W"})
                              .initializer(onnx_floats("w", {2, 1, 3, 3}, Floats(18, 1)))
                              .initializer(onnx_floats("v", {1, 2}, {1, 10}))
                              .node("Conv", {"x", "w"}, {"c"})
                              .node("GlobalAveragePool", {"c"}, {"p"})
                              .node("Flatten", {"p"}, {"f"})
                              .node("Gemm", {"f", "v"}, {"y"}, {attr("transB", int64_t{1})})
                              .output("y");
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  CHECK(graph.value(graph.outputs[0]).shape == Shape{-1, 1});
  CHECK(run_floats(model, {2, 1, 3, 4}, Floats(24, 1)) == Floats{99, 99});
}

TEST_CASE("onnx: dimensions that open ones do not touch are constants, also through Shape") {
  const OnnxModel model = OnnxModel(13)
                              .input("x", {"N", 6})
                              .initializer(onnx_tensor<int64_t>("one", kInt64, {}, {1}))
                              .initializer(onnx_tensor<int64_t>("two", kInt64, {1}, {2}))
                              .initializer(onnx_ints("starts", {0}))
                              .initializer(onnx_ints("axes", {1}))
                              .node("Shape", {"x"}, {"shape"})
                              .node("Gather", {"shape", "one"}, {"channels"})
                              .node("Div", {"channels", "two"}, {"half"})
                              .node("Slice", {"x", "starts", "half", "axes"}, {"y"})
                              .output("y");
  CHECK(run_floats(model, {2, 6}, iota(12)) == Floats{0, 1, 2, 6, 7, 8});
}

TEST_CASE("onnx: Identity, Dropout and outputs that are inputs or constants keep their names") {
  OnnxModel model = OnnxModel(13).input("x", {2});
  model.initializer(onnx_floats("k", {1}, {7}))
      .node("Identity", {"x"}, {"same"})
      .node("Dropout", {"same"}, {"kept"})
      .node("Neg", {"kept"}, {"minus"})
      .node("Identity", {"minus"}, {"alias"});
  for (const char* name : {"x", "kept", "minus", "alias", "k"}) model.output(name);
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  std::vector<std::string> names;
  for (const ValueId id : graph.outputs) names.push_back(graph.value(id).name);
  CHECK(names == std::vector<std::string>{"x", "kept", "minus", "alias", "k"});
  const Floats x{1, 2};
  const std::vector<Value> outputs = run(graph, {view(Shape{2}, x.data())});
  CHECK(floats_of(outputs[0]) == x);
  CHECK(floats_of(outputs[1]) == x);
  CHECK(floats_of(outputs[2]) == Floats{-1, -2});
  CHECK(floats_of(outputs[3]) == Floats{-1, -2});
  CHECK(floats_of(outputs[4]) == Floats{7});
}

TEST_CASE("onnx: nodes without a name, or with one that is taken, get their own") {
  OnnxModel model = OnnxModel().input("x", {1});
  model.node("Neg", {"x"}, {"a"})
      .node("Neg", {"a"}, {"b"}, {}, "Neg_0")
      .node("Neg", {"b"}, {"y"}, {}, "Neg_0")
      .output("y");
  const std::string bytes = model.bytes();
  std::vector<std::string> names;
  for (const Node& node : import(bytes).nodes) names.push_back(node.name);
  CHECK(names == std::vector<std::string>{"Neg_0", "Neg_0_2", "Neg_0_3"});
}

TEST_CASE("onnx: element types of initializers, raw and typed") {
  const auto value_of = [](const std::string& tensor) {
    OnnxModel model = OnnxModel().initializer(tensor).output("t");
    const std::string bytes = model.bytes();
    return run(import(bytes), {})[0];
  };
  const Value half = value_of(
      onnx_tensor<uint16_t>("t", kFloat16, {6}, {0x3C00, 0xC000, 0x0001, 0x7C00, 0x8000, 0x7BFF}));
  const Floats expected{1, -2, 0x1p-24f, INFINITY, -0.0f, 65504};
  CHECK(floats_of(half) == expected);
  CHECK(std::signbit(half.as<float>()[4]));
  CHECK(floats_of(value_of(onnx_tensor<double>("t", kDouble, {1}, {0.5}))) == Floats{0.5f});
  const Value flags = value_of(onnx_tensor<uint8_t>("t", kBool, {3}, {0, 1, 2}));
  CHECK(flags.type == DType::boolean);
  CHECK(flags.constant->bytes()[2] == std::byte{1});

  std::string typed;  // int32_data of an int8 tensor, packed
  protozero::pbf_writer writer(typed);
  writer.add_int64(1, 3);
  writer.add_int32(2, kInt8);
  const std::vector<int32_t> numbers{-128, 0, 127};
  writer.add_packed_int32(5, numbers.begin(), numbers.end());
  writer.add_string(8, "t");
  const Value small = value_of(typed);
  CHECK(small.type == DType::i8);
  CHECK(std::ranges::equal(small.as<int8_t>(), numbers));
}

// Moves the data of ones that a model has to where each offset fits in turn: constant_of(graph)
// views them wherever they are aligned.
template <typename F>
void check_views(const OnnxModel& model, const F& constant_of) {
  std::string bytes = model.bytes();
  const size_t at = bytes.find(std::string("\x00\x00\x80\x3f", 4));
  REQUIRE(at != std::string::npos);
  // A padding field of unknown number (15, bytes).
  for (size_t shift = 0; shift < 4; ++shift) {
    std::string padded(1, static_cast<char>(15 << 3 | 2));
    padded += static_cast<char>(shift);
    padded += std::string(shift, 'x') + bytes;
    const Graph graph = import(padded);
    const std::byte* data = graph.value(constant_of(graph)).constant->bytes().data();
    const bool views =
        data >= as_bytes(padded).data() && data < as_bytes(padded).data() + padded.size();
    const bool aligned =
        reinterpret_cast<uintptr_t>(padded.data() + 2 + shift + at) % sizeof(float) == 0;
    CHECK(views == aligned);
  }
}

TEST_CASE("onnx: large aligned initializers view the file") {
  check_views(OnnxModel()
                  .initializer(onnx_floats("t", {1000}, Floats(1000, 1)))
                  .initializer(onnx_floats("last", {16}, Floats(16, 2)))
                  .output("t"),
              [](const Graph& graph) { return graph.outputs[0]; });
}

TEST_CASE("onnx: weights that lie as they should view the file, too") {
  // 1x1, and depthwise.
  for (const auto& [shape, groups] :
       {std::pair{std::vector<int64_t>{25, 40, 1, 1}, 1}, {{40, 1, 5, 5}, 40}})
    check_views(OnnxModel()
                    .input("x", {1, 40, 6, 6})
                    .initializer(onnx_floats("w", shape, Floats(1000, 1)))
                    .initializer(onnx_floats("last", {16}, Floats(16, 2)))
                    .node("Conv", {"x", "w"}, {"y"}, {attr("group", int64_t{groups})})
                    .output("y"),
                [](const Graph& graph) {
                  const auto conv = std::ranges::find_if(graph.nodes, [](const Node& node) {
                    return std::holds_alternative<Conv2d>(node.op);
                  });
                  REQUIRE(conv != graph.nodes.end());
                  return conv->in[1];
                });
}

TEST_CASE("onnx: QuantizeLinear and DequantizeLinear are Converts whose values carry the scale") {
  OnnxModel model = OnnxModel().input("x", {1, 4});
  model.initializer(onnx_floats("s", {}, {0.5f}))
      .initializer(onnx_tensor<uint8_t>("z", kUint8, {}, {10}))
      .initializer(onnx_ints("to", {4}))
      .node("QuantizeLinear", {"x", "s", "z"}, {"q"})
      .node("Reshape", {"q", "to"}, {"r"})
      .node("DequantizeLinear", {"r", "s", "z"}, {"y"})
      .output("y");
  const std::string bytes = model.bytes();
  const Graph graph = import(bytes);
  REQUIRE(graph.nodes.size() == 3);
  for (const size_t n : {0, 1}) {
    const Value& value = graph.value(graph.nodes[n].out[0]);
    REQUIRE(value.quant.has_value());
    CHECK(value.type == DType::u8);
    CHECK(value.quant->scale == Floats{0.5f});
    CHECK(value.quant->zero == std::vector<int32_t>{10});
  }
  CHECK(run_floats(model, {1, 4}, {0, 1.3f, -100, 200}) == Floats{0, 1.5f, -5, 122.5f});

  OnnxModel bare = OnnxModel().input("x", {4});
  bare.initializer(onnx_floats("s", {}, {0.5f}))
      .initializer(onnx_tensor<uint8_t>("z", kUint8, {}, {10}))
      .node("QuantizeLinear", {"x", "s", "z"}, {"q"})
      .node("Cast", {"q"}, {"y"}, {attr("to", int64_t{kInt32})}, "cast")
      .output("y");
  CHECK(refusal(bare) ==
        "unsupported: onnx: node 'cast' (Convert): computing with the integers behind quantized "
        "values is not supported");
}

TEST_CASE("onnx: the operators are listed, sorted and once each") {
  const std::vector<std::string> names = onnx_operators();
  CHECK(names.size() > 100);
  CHECK(std::ranges::is_sorted(names));
  CHECK(std::ranges::adjacent_find(names) == names.end());
  CHECK(std::ranges::binary_search(names, "Conv"));
}

}  // namespace firn
