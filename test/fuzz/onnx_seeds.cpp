// SPDX-License-Identifier: Apache-2.0
// ONNX models in which each operator is followed by others that shapes and types flow into.
#include <numeric>

#include "test/fuzz/seeds.h"
#include "test/runtime/onnx_builder.h"

namespace firn::fuzz {
namespace {

using namespace test;
using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;

std::vector<float> wave(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7 % 13) / 13 - 0.4f;
  return values;
}

std::string weights(const std::string& name, const Ints& dims) {
  const int64_t count = std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
  return onnx_floats(name, dims, wave(count));
}

// A model whose nodes follow one another: each reads the one before, and what else it is given.
class Chain {
 public:
  Chain(const std::vector<OnnxDim>& dims, int64_t opset = 13) : model_(opset) {
    model_.input("x", dims);
  }
  Chain& then(const std::string& op, const std::vector<std::string>& attributes = {},
              const Strings& more = {}) {
    Strings in{last_};
    in.insert(in.end(), more.begin(), more.end());
    last_ = op + std::to_string(++count_);
    model_.node(op, in, {last_}, attributes, last_ + "_node");
    return *this;
  }
  Chain& with(const std::string& tensor) {
    model_.initializer(tensor);
    return *this;
  }
  Chain& node(const std::string& op, const Strings& in, const Strings& out,
              const std::vector<std::string>& attributes = {}) {
    model_.node(op, in, out, attributes, out[0] + "_node");
    last_ = out[0];
    return *this;
  }
  std::string end() { return model_.output(last_).bytes(); }

 private:
  OnnxModel model_;
  std::string last_ = "x";
  int count_ = 0;
};

std::string classifier() {
  return Chain({"batch", 3, 12, 12})
      .with(weights("w1", {8, 3, 3, 3}))
      .with(weights("b1", {8}))
      .with(onnx_floats("var", {8}, {1, 2, 3, 4, 1, 2, 3, 4}))
      .with(weights("w2", {8, 1, 3, 3}))
      .with(weights("w3", {8, 8, 1, 1}))
      .with(weights("w4", {72, 5}))
      .with(weights("b4", {5}))
      .then("Conv", {attr("pads", Ints{1, 1, 1, 1}), attr("strides", Ints{2, 2})}, {"w1", "b1"})
      .then("BatchNormalization", {attr("epsilon", 1e-3f)}, {"b1", "b1", "b1", "var"})
      .node("Relu", {"BatchNormalization2"}, {"stem"})
      .then("Conv", {attr("auto_pad", "SAME_UPPER"), attr("group", int64_t{8})}, {"w2"})
      .then("HardSwish")
      .then("Conv", {attr("kernel_shape", Ints{1, 1})}, {"w3", "b1"})
      .then("Add", {}, {"stem"})
      .then("MaxPool", {attr("kernel_shape", Ints{2, 2}), attr("strides", Ints{2, 2})})
      .then("Flatten")
      .then("Gemm", {attr("alpha", 0.5f)}, {"w4", "b4"})
      .then("Softmax", {attr("axis", int64_t{1})})
      .end();
}

std::string convolutions() {
  return Chain({1, 4, 6, 6})
      .with(weights("w", {4, 2, 3, 3}))
      .with(weights("four", {4}))
      .with(weights("slope", {1, 4, 1, 1}))
      .then("ConvTranspose",
            {attr("group", int64_t{2}), attr("strides", Ints{2, 2}),
             attr("output_padding", Ints{1, 1})},
            {"w", "four"})
      .then("PRelu", {}, {"slope"})
      .then("AveragePool", {attr("kernel_shape", Ints{3, 3}), attr("pads", Ints{1, 1, 1, 1}),
                            attr("ceil_mode", int64_t{1}), attr("strides", Ints{2, 2})})
      .then("LRN", {attr("size", int64_t{3})})
      .then("InstanceNormalization", {}, {"four", "four"})
      .then("Pad", {attr("mode", "reflect")}, {"pads"})
      .with(onnx_ints("pads", {0, 0, 1, 2, 0, 0, 3, 2}))
      .then("SpaceToDepth", {attr("blocksize", int64_t{2})})
      .then("DepthToSpace", {attr("blocksize", int64_t{4}), attr("mode", "CRD")})
      .then("GlobalAveragePool")
      .end();
}

std::string quantized() {
  const std::vector<int8_t> bytes{-127, 3, 5, 127, 9, -11, 13, 0};
  return Chain({1, 2, 4, 4})
      .with(onnx_floats("s", {}, {0.05f}))
      .with(onnx_tensor<uint8_t>("z", kUint8, {}, {120}))
      .with(onnx_tensor<int8_t>("q", kInt8, {4, 2, 1, 1}, bytes))
      .with(onnx_floats("qs", {4}, {0.1f, 0.2f, 0.3f, 0.4f}))
      .with(onnx_tensor<int8_t>("qz", kInt8, {4}, {0, 0, 0, 0}))
      .node("DequantizeLinear", {"q", "qs", "qz"}, {"w"}, {attr("axis", int64_t{0})})
      .node("QuantizeLinear", {"x", "s", "z"}, {"xq"})
      .node("DequantizeLinear", {"xq", "s", "z"}, {"xf"})
      .node("Conv", {"xf", "w"}, {"y"})
      .then("Relu")
      .then("QuantizeLinear", {}, {"s", "z"})
      .then("Reshape", {}, {"to"})
      .with(onnx_ints("to", {1, -1}))
      .then("DequantizeLinear", {}, {"s", "z"})
      .end();
}

std::string shapes() {
  return Chain({"n", 6, "w"})
      .with(onnx_ints("zero", {0}))
      .with(onnx_ints("one", {1}))
      .with(onnx_tensor<int64_t>("first", kInt64, {}, {0}))
      .with(onnx_tensor<int64_t>("unit", kInt64, {}, {1}))
      .with(onnx_ints("two_three", {2, 3}))
      .with(onnx_ints("three", {3}))
      .node("Shape", {"x"}, {"shape"})
      .node("Gather", {"shape", "first"}, {"n"}, {attr("axis", int64_t{0})})
      .node("Unsqueeze", {"n", "zero"}, {"n1"})
      .node("Slice", {"shape", "three", "three"}, {"none"})
      .node("Concat", {"n1", "two_three", "none"}, {"start"}, {attr("axis", int64_t{0})})
      .node("Concat", {"n1", "two_three", "minus"}, {"target"}, {attr("axis", int64_t{0})})
      .with(onnx_ints("minus", {-1}))
      .node("Reshape", {"x", "target"}, {"y"})
      .node("ConstantOfShape", {"start"}, {"filled"},
            {attr_tensor("value", onnx_floats("", {1}, {2}))})
      .node("Range", {"first", "n", "unit"}, {"range"})
      .node("Cast", {"range"}, {"floats"}, {attr("to", int64_t{1})})
      .node("ReduceSum", {"floats"}, {"sum"}, {attr("keepdims", int64_t{0})})
      .node("Add", {"y", "sum"}, {"z"})
      .node("Tile", {"z", "repeats"}, {"tiled"})
      .with(onnx_ints("repeats", {1, 2, 1, 1}))
      .node("Expand", {"tiled", "wide"}, {"wider"})
      .with(onnx_ints("wide", {1, 1, 4, 1, 1}))
      .node("Size", {"wider"}, {"size"})
      .node("Squeeze", {"wider", "zero"}, {"out"})
      .end();
}

std::string resizes() {
  return Chain({1, 2, 4, 5})
      .with(onnx_floats("scales", {4}, {1, 1, 2, 2}))
      .with(onnx_ints("sizes", {1, 2, 5, 9}))
      .then("Resize",
            {attr("mode", "linear"), attr("coordinate_transformation_mode", "align_corners")},
            {"", "scales"})
      .then("Resize",
            {attr("mode", "nearest"), attr("nearest_mode", "floor"),
             attr("coordinate_transformation_mode", "asymmetric")},
            {"", "", "sizes"})
      .then("Pad", {attr("mode", "edge")}, {"pads"})
      .with(onnx_ints("pads", {0, 0, 1, -1, 0, 0, 0, 2}))
      .then("Slice", {}, {"begin", "end", "axes", "steps"})
      .with(onnx_ints("begin", {-1, 1}))
      .with(onnx_ints("end", {INT64_MIN, 100}))
      .with(onnx_ints("axes", {2, 3}))
      .with(onnx_ints("steps", {-2, 1}))
      .then("Transpose", {attr("perm", Ints{0, 2, 3, 1})})
      .end();
}

std::string transformer() {
  return Chain({2, 3, 8}, 23)
      .with(weights("w", {8, 8}))
      .with(weights("eight", {8}))
      .with(onnx_ints("halves", {4, 4}))
      .node("LayerNormalization", {"x", "eight", "eight"}, {"norm"})
      .node("MatMul", {"norm", "w"}, {"q"})
      .node("Attention", {"q", "norm", "x"}, {"att"},
            {attr("q_num_heads", int64_t{2}), attr("kv_num_heads", int64_t{2}),
             attr("is_causal", int64_t{1})})
      .node("Add", {"att", "x"}, {"res"})
      .node("Split", {"res", "halves"}, {"left", "right"}, {attr("axis", int64_t{-1})})
      .node("Gelu", {"left"}, {"gelu"}, {attr("approximate", "tanh")})
      .node("Transpose", {"right"}, {"turned"}, {attr("perm", Ints{0, 2, 1})})
      .node("MatMul", {"gelu", "turned"}, {"scores"})
      .then("Trilu", {attr("upper", int64_t{0})})
      .then("Softmax")
      .then("RMSNormalization", {}, {"three"})
      .with(weights("three", {3}))
      .then("LpNormalization", {attr("p", int64_t{2})})
      .end();
}

std::string elementwise() {
  Chain chain({2, 5}, 22);
  for (const char* op : {"Abs",
                         "Celu",
                         "Ceil",
                         "Cos",
                         "Elu",
                         "Erf",
                         "Exp",
                         "Floor",
                         "HardSigmoid",
                         "LeakyRelu",
                         "Mish",
                         "Neg",
                         "Reciprocal",
                         "Round",
                         "Selu",
                         "Sigmoid",
                         "Sign",
                         "Sin",
                         "Softplus",
                         "Softsign",
                         "Sqrt",
                         "Tanh",
                         "ThresholdedRelu",
                         "Identity",
                         "LogSoftmax",
                         "Log"}) {
    chain.then(op);
  }
  chain.with(onnx_floats("lo", {}, {-1})).with(onnx_floats("hi", {}, {6}));
  return chain.then("Clip", {}, {"lo", "hi"}).then("Dropout").end();
}

std::string binaries() {
  Chain chain({2, 1, 4});
  chain.with(weights("y", {3, 1}));
  for (const char* op : {"Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum"}) {
    chain.then(op, {}, {"y"});
  }
  return chain.node("Greater", {"x", "Sum8"}, {"gt"})
      .node("LessOrEqual", {"x", "y"}, {"le"})
      .node("And", {"gt", "le"}, {"and"})
      .node("Not", {"and"}, {"not"})
      .node("Xor", {"not", "gt"}, {"xor"})
      .node("Or", {"xor", "le"}, {"or"})
      .node("Where", {"or", "x", "Sum8"}, {"where"})
      .end();
}

std::string reductions() {
  Chain chain({2, 3, 4, 5});
  for (const char* op : {"ReduceMean", "ReduceMax", "ReduceL2"}) {
    chain.then(op, {attr("axes", Ints{-1}), attr("keepdims", int64_t{1})});
  }
  return chain.then("ReduceLogSumExp", {attr("axes", Ints{1}), attr("keepdims", int64_t{0})})
      .then("MeanVarianceNormalization", {attr("axes", Ints{0})})
      .then("ArgMax", {attr("axis", int64_t{1})})
      .then("OneHot", {attr("axis", int64_t{-1})}, {"depth", "values"})
      .with(onnx_tensor<int64_t>("depth", kInt64, {}, {3}))
      .with(onnx_floats("values", {2}, {0, 1}))
      .end();
}

// Operators on quantized tensors and bare integers, and pairs that fold into int8 layers.
std::string quantized_operators() {
  return Chain({"batch", 2, 5, 5})
      .with(onnx_floats("s", {}, {0.05f}))
      .with(onnx_tensor<uint8_t>("z", kUint8, {}, {128}))
      .with(onnx_tensor<int8_t>("w", kInt8, {3, 2, 2, 2}, std::vector<int8_t>(24, 7)))
      .with(onnx_floats("ws", {3}, {0.01f, 0.02f, 0.03f}))
      .with(onnx_tensor<int8_t>("wz", kInt8, {3}, {0, 0, 0}))
      .with(onnx_tensor<int32_t>("b", kInt32, {3}, {100, -5, 0}))
      .with(onnx_tensor<int8_t>("v", kInt8, {48, 4}, std::vector<int8_t>(192, -3)))
      .with(onnx_tensor<int8_t>("vz", kInt8, {}, {1}))
      .then("QuantizeLinear", {}, {"s", "z"})
      .node("QLinearConv", {"QuantizeLinear1", "s", "z", "w", "ws", "wz", "s", "z", "b"}, {"c"})
      .then("DequantizeLinear", {}, {"s", "z"})
      .then("Relu")
      .then("Flatten")
      .node("QuantizeLinear", {"Flatten4", "s", "z"}, {"f"})
      .node("DequantizeLinear", {"v", "s", "vz"}, {"vf"})
      .node("DequantizeLinear", {"f", "s", "z"}, {"ff"})
      .node("MatMul", {"ff", "vf"}, {"m"})
      .node("DynamicQuantizeLinear", {"m"}, {"q", "qs", "qz"})
      .node("MatMulInteger", {"f", "v", "z", "vz"}, {"i"})
      .node("DequantizeLinear", {"q", "qs", "qz"}, {"d"})
      .node("Cast", {"i"}, {"r"}, {attr("to", int64_t{1})})
      .node("Add", {"d", "r"}, {"y"})
      .end();
}

// Lists of numbers in the messages themselves, and constants that are computed at load.
std::string constants() {
  std::string packed, halves;
  protozero::pbf_writer tensor(packed);
  const std::vector<int64_t> dims{2, 2};
  const std::vector<float> data{1, 2, 3, 4};
  tensor.add_packed_int64(1, dims.begin(), dims.end());
  tensor.add_int32(2, kFloat);
  tensor.add_packed_float(4, data.begin(), data.end());
  tensor.add_string(8, "packed");
  halves = onnx_tensor<uint16_t>("halves", kFloat16, {2}, {0x3C00, 0x4000});
  return Chain({"n", 2})
      .with(packed)
      .with(halves)
      .node("Constant", {}, {"which"}, {attr("value_ints", Ints{1, 0})})
      .node("Gather", {"packed", "which"}, {"rows"})
      .node("Cast", {"halves"}, {"wide"}, {attr("to", int64_t{1})})
      .node("Mul", {"rows", "wide"}, {"product"})
      .node("Gemm", {"x", "product", "wide"}, {"y"}, {attr("transB", int64_t{1})})
      .then("CastLike", {}, {"which"})
      .end();
}

// Recurrent layers in both directions, with lengths and states.
std::string recurrent() {
  return Chain({3, 2, 4})
      .with(weights("w", {2, 12, 4}))
      .with(weights("r", {2, 12, 3}))
      .with(weights("b", {2, 24}))
      .with(onnx_tensor<int32_t>("lengths", kInt32, {2}, {3, 1}))
      .with(weights("h", {2, 2, 3}))
      .with(weights("p", {2, 9}))
      .node(
          "LSTM", {"x", "w", "r", "b", "lengths", "h", "h", "p"}, {"y", "last", "cell"},
          {attr("direction", "bidirectional"), attr("hidden_size", int64_t{3}), attr("clip", 2.0f)})
      .with(weights("w3", {1, 9, 4}))
      .with(weights("r3", {1, 9, 3}))
      .node("GRU", {"x", "w3", "r3"}, {"gru"},
            {attr("direction", "reverse"), attr("linear_before_reset", int64_t{1})})
      .node("Einsum", {"y", "gru"}, {"joined"}, {attr("equation", "tdbh,tebh->bde")})
      .then("CumSum", {attr("exclusive", int64_t{1})}, {"axis"})
      .with(onnx_ints("axis", {-1}))
      .end();
}

// Positions and numbers of elements that follow from data.
std::string positions() {
  return Chain({2, 3, 4})
      .with(onnx_ints("k", {2}))
      .node("TopK", {"x", "k"}, {"top", "order"}, {attr("axis", int64_t{-1})})
      .node("GatherElements", {"x", "order"}, {"again"}, {attr("axis", int64_t{2})})
      .node("ScatterElements", {"x", "order", "again"}, {"scattered"},
            {attr("axis", int64_t{2}), attr("reduction", "add")})
      .node("NonZero", {"scattered"}, {"found"})
      .node("Transpose", {"found"}, {"rows"})
      .node("Shape", {"rows"}, {"size"})
      .with(onnx_ints("place", {0, 1, 2}))
      .node("GatherND", {"scattered", "place"}, {"element"})
      .node("ScatterND", {"scattered", "place", "element"}, {"same"})
      .node("ReduceSum", {"size"}, {"total"})
      .node("Slice", {"same", "k", "total", "k"}, {"part"})
      .end();
}

// Every way of a Resize, a volume's pool, a grid.
std::string samples() {
  return Chain({1, 1, 4, 4}, 20)
      .with(onnx_floats("roi", {4}, {0, 0.25f, 1, 0.75f}))
      .with(onnx_floats("scales", {2}, {1.5f, 0.5f}))
      .node("Resize", {"x", "roi", "scales"}, {"crop"},
            {attr("axes", Ints{3, 2}), attr("mode", "cubic"),
             attr("coordinate_transformation_mode", "tf_crop_and_resize")})
      .node("Resize", {"crop", "", "scales"}, {"small"},
            {attr("axes", Ints{2, 3}), attr("mode", "linear"), attr("antialias", int64_t{1})})
      .with(weights("grid", {1, 2, 2, 2}))
      .node("GridSample", {"small", "grid"}, {"sampled"}, {attr("padding_mode", "reflection")})
      .with(onnx_ints("volume", {1, 1, 2, 2, 1}))
      .node("Reshape", {"sampled", "volume"}, {"deep"})
      .node("MaxPool", {"deep"}, {"pooled"}, {attr("kernel_shape", Ints{2, 1, 1})})
      .end();
}

// Regions, volumes, where maxima come from.
std::string regions() {
  return Chain({1, 1, 4, 4}, 20)
      .with(onnx_floats("rois", {2, 4}, {0, 0, 3, 2, 1, 1, 2, 4}))
      .with(onnx_ints("of", {0, 0}))
      .node("RoiAlign", {"x", "rois", "of"}, {"aligned"},
            {attr("output_height", int64_t{4}), attr("output_width", int64_t{4}),
             attr("sampling_ratio", int64_t{1})})
      .with(onnx_floats("rows", {1, 5}, {1, 0, 0, 3, 3}))
      .node("MaxRoiPool", {"aligned", "rows"}, {"largest"}, {attr("pooled_shape", Ints{4, 4})})
      .node("MaxPool", {"largest"}, {"pooled", "places"}, {attr("kernel_shape", Ints{2, 2})})
      .with(onnx_ints("volume", {1, 1, 3, 3, 1}))
      .node("Reshape", {"pooled", "volume"}, {"deep"})
      .with(weights("w", {2, 1, 2, 2, 1}))
      .node("Conv", {"deep", "w"}, {"c"}, {attr("pads", Ints{1, 0, 0, 0, 0, 0})})
      .with(weights("v", {2, 1, 2, 1, 1}))
      .node("ConvTranspose", {"c", "v"}, {"t"}, {attr("strides", Ints{2, 1, 1})})
      .node("Cast", {"places"}, {"p"}, {attr("to", int64_t{1})})
      .node("Einsum", {"t", "p"}, {"e"}, {attr("equation", "...ijk,...lm->...jkl")})
      .end();
}

}  // namespace

std::vector<std::string> built_in_onnx() {
  return {classifier(), convolutions(), quantized(),   quantized_operators(),
          shapes(),     resizes(),      transformer(), elementwise(),
          binaries(),   reductions(),   constants(),   recurrent(),
          positions(),  samples(),      regions()};
}

}  // namespace firn::fuzz
