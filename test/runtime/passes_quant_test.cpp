// SPDX-License-Identifier: Apache-2.0
// QuantizeLinear, DequantizeLinear pairs around operators: nothing is left in float, and the result
// is that of the pairs.
#include <doctest/doctest.h>

#include "test/runtime/qdq_model.h"

namespace firn::test {
namespace {

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;

constexpr Scheme kSigned{0.05f, 3, kInt8}, kUnsigned{0.04f, 117, kUint8};
const Shape kMap{1, 8, 6, 6};

std::string pads(int64_t by) {
  return attr("pads", Ints{by, by, by, by});
}

// One input x [1,8,6,6], run with random numbers; the tolerance is a step of the last scale.
Graph run_map(QdqModel& model, double step) {
  const std::vector<float> data = model.floats(kMap.elements());
  return same_after_passes(model, {view(kMap, data.data())}, 1.01 * step);
}

QdqModel map_model(uint32_t seed = 1) {
  QdqModel model(seed);
  model.input("x", {1, 8, 6, 6});
  return model;
}

TEST_CASE("convolutions between pairs are int8, per channel and per tensor, signed and not") {
  for (const Scheme& scheme : {kSigned, kUnsigned}) {
    for (const int64_t axis : {0, -1}) {
      CAPTURE(axis);
      QdqModel model = map_model();
      const std::string x = model.pair("x", scheme);
      model.node("Conv", {x, model.weights("w1", {16, 8, 3, 3}, axis), model.bias("b1", 16, 1e-4f)},
                 {"c1"}, {pads(1)});
      model.node("Relu", {"c1"}, {"r1"});
      model.node("Conv", {model.pair("r1", scheme), model.weights("w2", {16, 1, 3, 3}, axis)},
                 {"c2"}, {attr("group", int64_t{16}), pads(1)});
      model.initializer(onnx_floats("lo", {}, {0})).initializer(onnx_floats("hi", {}, {6}));
      model.node("Clip", {"c2", "lo", "hi"}, {"r2"});
      model.node("Conv", {model.pair("r2", scheme), model.weights("w3", {4, 16, 1, 1}, axis)},
                 {"y"});
      model.output(model.pair("y", scheme));
      const Graph graph = run_map(model, 2 * scheme.scale);
      CHECK(float_nodes(graph) == "");
      CHECK(count<Conv2d>(graph) == 3);
      CHECK(count<Unary>(graph) == 0);
      CHECK(count<Convert>(graph) == 2);
      CHECK(count<Transpose>(graph) == 2);
    }
  }
}

TEST_CASE("biases that are floats, in other units, or left out go with int8 layers") {
  for (const std::string kind : {"floats", "other units", "none"}) {
    CAPTURE(kind);
    QdqModel model = map_model();
    const std::string x = model.pair("x", kSigned);
    Strings in{x, model.weights("w", {4, 8, 1, 1}, 0)};
    if (kind == "floats") {
      model.initializer(onnx_floats("b", {4}, {1, -2, 0.5f, 0}));
      in.push_back("b");
    } else if (kind == "other units") {
      in.push_back(model.bias("b", 4, 0.0031f));
    }
    model.node("Conv", in, {"y"});
    model.output(model.pair("y", kSigned));
    CHECK(float_nodes(run_map(model, 0.05)) == "");
  }
}

TEST_CASE("an int32 bias in the very units of the products keeps its integers") {
  QdqModel model = map_model();
  const std::string x = model.pair("x", Scheme{0.03f, 0, kInt8});
  const std::vector<int32_t> integers{16777217, -33554433, 40, 0};
  model.initializer(onnx_tensor("w_q", kInt8, {4, 8, 1, 1}, std::vector<int8_t>(32, 5)))
      .initializer(onnx_floats("w_s", {4}, {0.07f, 0.011f, 0.013f, 0.017f}))
      .initializer(onnx_tensor("b_q", kInt32, {4}, integers))
      .initializer(
          onnx_floats("b_s", {4}, {0.03f * 0.07f, 0.03f * 0.011f, 0.03f * 0.013f, 0.03f * 0.017f}))
      .node("DequantizeLinear", {"w_q", "w_s"}, {"w"}, {attr("axis", int64_t{0})})
      .node("DequantizeLinear", {"b_q", "b_s"}, {"b"}, {attr("axis", int64_t{0})})
      .node("Conv", {x, "w", "b"}, {"y"});
  model.output(model.pair("y", kSigned));
  const Graph graph = run_map(model, 0.05);
  for (const Node& node : graph.nodes) {
    if (!std::holds_alternative<Conv2d>(node.op)) continue;
    const std::span<const int32_t> kept = graph.value(node.in[2]).as<int32_t>();
    CHECK(std::vector<int32_t>(kept.begin(), kept.end()) == integers);
  }
}

TEST_CASE("a channel of nearly no weights and a large bias does not overflow") {
  for (const int8_t dead : {127, 0}) {
    QdqModel model = map_model();
    const std::string x = model.pair("x", kSigned);
    std::vector<int8_t> q(16, 127);
    std::fill_n(q.begin(), 8, dead);
    model.initializer(onnx_tensor("w_q", kInt8, {2, 8, 1, 1}, q))
        .initializer(onnx_floats("w_s", {2}, {1e-14f, 0.001f}))
        .node("DequantizeLinear", {"w_q", "w_s"}, {"w"}, {attr("axis", int64_t{0})})
        .initializer(onnx_floats("b", {2}, {2.5f, -1}))
        .node("Conv", {x, "w", "b"}, {"y"});
    model.output(model.pair("y", kSigned));
    CHECK(float_nodes(run_map(model, 0.05)) == "");
  }
}

TEST_CASE(
    "products by constant matrices are int8 Dense layers, their last one with float results") {
  for (const std::string op : {"MatMul", "Gemm", "Gemm transposed"}) {
    CAPTURE(op);
    QdqModel model;
    model.input("x", {5, 24});
    const std::string x = model.pair("x", kUnsigned);
    const bool transposed = op == "Gemm transposed";
    Strings in{x, transposed ? model.weights("w", {10, 24}, 0) : model.weights("w", {24, 10}, 1)};
    if (op != "MatMul") in.push_back(model.bias("b", 10, 1e-4f));
    Strings attributes;
    if (transposed) attributes.push_back(attr("transB", int64_t{1}));
    model.node(op == "MatMul" ? "MatMul" : "Gemm", in, {"m"}, attributes);
    model.node("MatMul", {model.pair("m", kSigned), model.weights("v", {10, 3}, 1)}, {"y"});
    model.output("y");
    const std::vector<float> data = model.floats(120);
    const Graph graph = same_after_passes(model, {view({5, 24}, data.data())}, 0.1);
    CHECK(float_nodes(graph) == "");
    CHECK(count<Dense>(graph) == 2);
    CHECK(count<Convert>(graph) == 1);
    CHECK(graph.value(graph.outputs[0]).type == DType::f32);
  }
}

TEST_CASE("weights that are floats, quantized by nodes of the model, are int8 as well") {
  QdqModel model = map_model();
  const std::string x = model.pair("x", kSigned);
  model.initializer(onnx_floats("w", {4, 8, 1, 1}, model.floats(32, -1, 1)))
      .initializer(onnx_floats("s", {4}, {0.008f, 0.009f, 0.01f, 0.011f}))
      .initializer(onnx_tensor("z", kInt8, {4}, std::vector<int8_t>(4, 0)));
  const Strings axis{attr("axis", int64_t{0})};
  model.node("QuantizeLinear", {"w", "s", "z"}, {"wq"}, axis)
      .node("DequantizeLinear", {"wq", "s", "z"}, {"wd"}, axis)
      .node("Conv", {x, "wd"}, {"y"});
  model.output(model.pair("y", kSigned));
  CHECK(float_nodes(run_map(model, 0.05)) == "");
}

TEST_CASE("uint8 weights are int8, whatever their zero points") {
  for (const int zero : {128, 100}) {
    QdqModel model = map_model();
    const std::string x = model.pair("x", kSigned);
    std::vector<uint8_t> q(32);
    for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<uint8_t>(7 * i + 3);
    model.initializer(onnx_tensor("w_q", kUint8, {4, 8, 1, 1}, q))
        .initializer(onnx_floats("w_s", {}, {0.01f}))
        .initializer(onnx_tensor<uint8_t>("w_z", kUint8, {}, {static_cast<uint8_t>(zero)}))
        .node("DequantizeLinear", {"w_q", "w_s", "w_z"}, {"w"})
        .node("Conv", {x, "w"}, {"y"}, {}, "conv");
    model.output(model.pair("y", kSigned));
    CHECK(float_nodes(run_map(model, 0.05)) == "");
  }
}

TEST_CASE("elementwise operators, means and pools between pairs are int8") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kUnsigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
  const std::string x = model.pair("c", kUnsigned);
  model.node("Sigmoid", {x}, {"gate"});
  const std::string gate = model.pair("gate", Scheme{1 / 255.0f, 0, kUint8});
  model.node("Mul", {x, gate}, {"silu"});
  const std::string silu = model.pair("silu", kUnsigned);
  model.node("AveragePool", {silu}, {"mean"}, {attr("kernel_shape", Ints{3, 3}), pads(1)});
  const std::string mean = model.pair("mean", kSigned);
  model.node("Add", {mean, silu}, {"sum"});
  model.node("Relu", {"sum"}, {"relu"});
  const std::string relu = model.pair("relu", kSigned);
  model.weights("row", {8, 1, 1}, -1);
  model.node("Add", {relu, "row"}, {"shifted"});
  model.node("GlobalAveragePool", {model.pair("shifted", kSigned)}, {"y"});
  model.output(model.pair("y", kSigned));
  const Graph graph = run_map(model, 2 * 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Transpose>(graph) == 1);
}

TEST_CASE("what moves data is int8 wherever the pairs stand") {
  for (const bool pair_before : {false, true}) {
    for (const bool pair_after : {false, true}) {
      CAPTURE(pair_before);
      CAPTURE(pair_after);
      QdqModel model = map_model();
      const auto next = [&](const std::string& name, bool with) {
        return with ? model.pair(name, kSigned) : name;
      };
      model.node("Conv", {model.pair("x", kSigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
      model.node("MaxPool", {next("c", pair_before)}, {"p"},
                 {attr("kernel_shape", Ints{2, 2}), attr("strides", Ints{2, 2})});
      model.initializer(onnx_ints("pads", {0, 0, 1, 1, 0, 0, 0, 0}))
          .node("Pad", {next("p", pair_after), "pads"}, {"padded"})
          .initializer(onnx_ints("begin", {1}))
          .initializer(onnx_ints("end", {7}))
          .initializer(onnx_ints("axes", {1}))
          .node("Slice", {"padded", "begin", "end", "axes"}, {"s"})
          .initializer(onnx_ints("shape", {1, 2, 3, 4, 4}))
          .node("Reshape", {"s", "shape"}, {"split"})
          .node("Transpose", {"split"}, {"t"}, {attr("perm", Ints{0, 2, 1, 3, 4})})
          .initializer(onnx_ints("back", {1, 6, 4, 4}))
          .node("Reshape", {"t", "back"}, {"shuffled"});
      model.node("Conv", {model.pair("shuffled", kSigned), model.weights("v", {4, 6, 3, 3})},
                 {"y"});
      model.output(model.pair("y", kSigned));
      CHECK(float_nodes(run_map(model, 2 * 0.05)) == "");
    }
  }
}

TEST_CASE("a map behind pairs is flattened into an int8 Dense as it lies") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {3, 8, 1, 1})}, {"c"});
  model.node("Flatten", {model.pair("c", kSigned)}, {"f"});
  model.node("Gemm", {model.pair("f", kSigned), model.weights("v", {108, 5}, 1)}, {"y"});
  model.output(model.pair("y", kSigned));
  const Graph graph = run_map(model, 2 * 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Transpose>(graph) == 1);  // of the input
}

TEST_CASE("concatenations join int8 of equal and of unequal scales") {
  for (const float other : {0.05f, 0.021f}) {
    for (const bool pairs_before : {false, true}) {
      CAPTURE(other);
      CAPTURE(pairs_before);
      QdqModel model = map_model();
      const std::string x = model.pair("x", kSigned);
      model.node("Conv", {x, model.weights("w", {4, 8, 1, 1})}, {"a"});
      model.node("Conv", {x, model.weights("v", {6, 8, 3, 3})}, {"b"}, {pads(1)});
      const auto part = [&](const std::string& name, const Scheme& scheme) {
        return pairs_before ? model.pair(name, scheme) : name;
      };
      model.node("Concat", {part("a", kSigned), part("b", Scheme{other, 3, kInt8}), x}, {"y"},
                 {attr("axis", int64_t{1})});
      model.output(model.pair("y", kSigned));
      const Graph graph = run_map(model, 0.05);
      CHECK(float_nodes(graph) == "");
      CHECK(count<Concat>(graph) == 1);
    }
  }
}

TEST_CASE("a concatenation of unequal scales that nobody quantizes again is not touched") {
  QdqModel model = map_model();
  const std::string x = model.pair("x", kSigned);
  model.node("Conv", {x, model.weights("w", {4, 8, 1, 1})}, {"a"});
  model.node("Concat", {model.pair("a", Scheme{0.01f, -5, kInt8}), x}, {"y"},
             {attr("axis", int64_t{1})});
  model.output("y");
  const Graph graph = run_map(model, 0.01);
  CHECK(float_nodes(graph) == "Concat_6 (Concat)");
}

TEST_CASE("a Dequantize with several readers serves those in int8 and those in float") {
  QdqModel model = map_model();
  const std::string x = model.pair("x", kUnsigned);
  model.node("Conv", {x, model.weights("w", {8, 8, 1, 1})}, {"a"});
  model.node("Erf", {x}, {"e"});
  model.node("Add", {model.pair("a", kSigned), x}, {"sum"});
  model.output(model.pair("sum", kSigned)).output("e");
  const Graph graph = run_map(model, 0.05);
  CHECK(float_nodes(graph) == "Erf_4 (Erf)");
}

TEST_CASE("a value quantized twice, or read as floats, too, is made as floats by an int8 layer") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
  model.scheme("other", Scheme{0.011f, 1, kInt8});
  model.node("QuantizeLinear", {"c", "other_s", "other_z"}, {"fine"});
  model.node("DequantizeLinear", {"fine", "other_s", "other_z"}, {"fine_dq"});
  const std::string coarse = model.pair("c", kSigned);
  model.node("Conv", {coarse, model.weights("v", {4, 8, 1, 1})}, {"a"});
  model.node("Conv", {"fine_dq", "v"}, {"b"});
  model.output("a").output("b").output("c");
  const Graph graph = run_map(model, 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Conv2d>(graph) == 3);
}

TEST_CASE("equal Quantizes of one value are one, and let its layer be int8") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
  const std::string one = model.pair("c", kSigned);
  model.node("QuantizeLinear", {"c", "c_s", "c_z"}, {"again"});
  model.node("DequantizeLinear", {"again", "c_s", "c_z"}, {"two"});
  model.node("Add", {one, "two"}, {"y"});
  model.output(model.pair("y", kSigned));
  const Graph graph = run_map(model, 2 * 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Convert>(graph) == 2);
}

TEST_CASE("inputs and outputs of uint8 stay so, with int8 between") {
  QdqModel model;
  model.input("x", {1, 8, 6, 6}, kUint8);
  model.scheme("x", kUnsigned);
  model.node("DequantizeLinear", {"x", "x_s", "x_z"}, {"real"});
  model.node("Conv", {"real", model.weights("w", {8, 8, 3, 3})}, {"c"}, {pads(1)});
  model.scheme("c", kUnsigned);
  model.node("QuantizeLinear", {"c", "c_s", "c_z"}, {"middle"});
  model.node("DequantizeLinear", {"middle", "c_s", "c_z"}, {"d"});
  model.node("Conv", {"d", model.weights("v", {8, 8, 1, 1})}, {"e"});
  model.scheme("e", kUnsigned);
  model.node("QuantizeLinear", {"e", "e_s", "e_z"}, {"y"});
  model.output("middle").output("y");
  std::vector<uint8_t> data(kMap.elements());
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(37 * i);
  const Graph graph = same_after_passes(model, {view(kMap, data.data())}, 0, 2);
  CHECK(graph.value(graph.inputs[0]).type == DType::u8);
  CHECK(graph.value(graph.outputs[0]).type == DType::u8);
  CHECK(graph.value(graph.outputs[1]).type == DType::u8);
  for (const Node& node : graph.nodes)
    if (std::holds_alternative<Conv2d>(node.op)) {
      CHECK(graph.value(node.in[0]).type == DType::i8);
      CHECK(graph.value(node.out[0]).type == DType::i8);
    }
}

TEST_CASE("constants whose 8 bits nobody computes with become floats again") {
  QdqModel model = map_model();
  model.node("Conv", {"x", model.weights("w", {4, 8, 1, 1}), model.bias("b", 4, 0.01f)}, {"c"});
  model.initializer(onnx_floats("scale", {1, 4, 1, 1}, {2, 3, 4, 5}));
  model.node("Mul", {"c", "scale"}, {"y"});
  model.output("y");
  const Graph graph = run_map(model, 1e-3);
  CHECK(count<Convert>(graph) == 0);
  CHECK(count<Binary>(graph) == 0);  // folded into the weights, which are floats
}

TEST_CASE("a pair of another scale behind a pair requantizes; of the same, is nothing") {
  for (const float scale : {0.05f, 0.02f}) {
    QdqModel model = map_model();
    model.node("Conv", {model.pair("x", kSigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
    model.scheme("next", Scheme{scale, 3, kInt8});
    model.node("QuantizeLinear", {model.pair("c", kSigned), "next_s", "next_z"}, {"q"});
    model.node("DequantizeLinear", {"q", "next_s", "next_z"}, {"d"});
    model.node("Conv", {"d", model.weights("v", {8, 8, 1, 1})}, {"y"});
    model.output(model.pair("y", kSigned));
    const Graph graph = run_map(model, 2 * 0.05);
    CHECK(float_nodes(graph) == "");
    CHECK(count<Convert>(graph) == (scale == 0.05f ? 2 : 3));
  }
}

TEST_CASE("normalisation behind a layer of 8-bit weights moves into their scales") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {4, 8, 1, 1}), "b"}, {"c"})
      .initializer(onnx_floats("b", {4}, {0.1f, -0.2f, 0, 1}))
      .initializer(onnx_floats("gamma", {4}, {0.5f, -0.7f, 0, 1.5f}))
      .initializer(onnx_floats("beta", {4}, {1, 0, -0.5f, 2}))
      .initializer(onnx_floats("mean", {4}, {0, 0.1f, 0.2f, -0.3f}))
      .initializer(onnx_floats("var", {4}, {1, 2, 1, 0.5f}))
      .node("BatchNormalization", {"c", "gamma", "beta", "mean", "var"}, {"n"})
      .node("Relu", {"n"}, {"r"});
  model.output(model.pair("r", kSigned));
  const Graph graph = run_map(model, 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(graph.nodes.size() == 5);  // to int8 and NHWC, the convolution, and back
}

TEST_CASE("a pair between a Pad and its convolution does not keep them apart") {
  QdqModel model = map_model();
  model.initializer(onnx_ints("pads", {0, 0, 1, 1, 0, 0, 1, 1}))
      .node("Pad", {model.pair("x", kSigned), "pads"}, {"p"});
  model.node("Conv", {model.pair("p", kSigned), model.weights("w", {4, 8, 3, 3})}, {"c"});
  model.output(model.pair("c", kSigned));
  const Graph graph = run_map(model, 0.05);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Pad>(graph) == 0);
}

TEST_CASE("a Relu that int8 cannot leave is nothing") {
  QdqModel model = map_model();
  const Scheme positive{0.03f, 0, kUint8};
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {4, 8, 1, 1})}, {"c"});
  model.node("Relu", {model.pair("c", positive)}, {"r"});
  model.output(model.pair("r", positive));
  const Graph graph = run_map(model, 0.03);
  CHECK(float_nodes(graph) == "");
  CHECK(count<Unary>(graph) == 0);
}

TEST_CASE("a model of int8 layers starts frozen, and counts them") {
  QdqModel model = map_model();
  model.node("Conv", {model.pair("x", kSigned), model.weights("w", {8, 8, 1, 1})}, {"c"});
  model.node("Conv", {"c", model.weights("v", {8, 8, 1, 1})}, {"y"});
  model.output("y");
  const std::string bytes = model.bytes();
  Result<Model> loaded = make_model("test", import(bytes));
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  CHECK(loaded->info().layers_int8 == 1);
  CHECK(loaded->info().layers_float == 1);
  Result<Session> session = Session::create(*loaded);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  CHECK(session->state() == State::frozen);
}

}  // namespace
}  // namespace firn::test
