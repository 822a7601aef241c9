// SPDX-License-Identifier: Apache-2.0
// Operators on quantized tensors: int8 where scales are constant, arithmetic where they are not,
// and the same numbers both ways; integer products that are exact whatever their size.
#include <doctest/doctest.h>

#include <functional>

#include "test/runtime/qdq_model.h"

namespace firn::test {
namespace {

using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;
using Doubles = std::vector<double>;

constexpr Scheme kIn{0.04f, 117, kUint8}, kOther{0.03f, 90, kUint8}, kOut{0.05f, 100, kUint8};

std::vector<uint8_t> bytes_of(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(n);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

Doubles real(const std::vector<uint8_t>& q, const Scheme& s) {
  Doubles out;
  for (const uint8_t b : q) out.push_back((b - s.zero) * double{s.scale});
  return out;
}

Doubles quantized(const Doubles& real, const Scheme& s) {
  Doubles out;
  for (const double r : real)
    out.push_back(std::clamp(std::nearbyint(r / double{s.scale}) + s.zero, 0.0, 255.0));
  return out;
}

// Operator `op` of com.microsoft on tensors of `shape` in schemes kIn, kOther, ..., with its output
// in kOut.
struct OpCase {
  std::string op;
  size_t tensors = 1;
  Strings attributes{};
  Shape shape{2, 3, 4, 4};
  std::function<Doubles(const std::vector<Doubles>&)> compute;
  bool output_first = false;  // the scheme of the output comes first
  bool int8 = true;
};

const Scheme& scheme_of(size_t tensor) {
  return tensor == 0 ? kIn : kOther;
}

void check(const OpCase& c, bool run_time) {
  CAPTURE(c.op);
  CAPTURE(run_time);
  std::vector<OnnxDim> dims;
  for (const int32_t d : c.shape.dims()) dims.emplace_back(d);
  QdqModel model;
  Strings tensors, out;
  std::vector<std::vector<uint8_t>> data;
  std::vector<Doubles> reals;
  std::vector<std::pair<std::string, Scheme>> schemes;
  for (size_t t = 0; t < c.tensors; ++t) {
    const std::string name = "x" + std::to_string(t);
    model.input(name, dims, kUint8);
    for (const char* part : {"", "_s", "_z"}) tensors.push_back(name + part);
    schemes.emplace_back(name, scheme_of(t));
    data.push_back(bytes_of(c.shape.elements(), static_cast<uint32_t>(t) + 5));
    reals.push_back(real(data.back(), scheme_of(t)));
  }
  schemes.emplace_back("y", kOut);
  out = {"y_s", "y_z"};
  std::vector<Tensor> inputs;
  for (const std::vector<uint8_t>& d : data) inputs.push_back(view(c.shape, d.data()));
  std::vector<float> scales;
  std::vector<uint8_t> zeros;
  for (const auto& [name, s] : schemes) {
    scales.push_back(s.scale);
    zeros.push_back(static_cast<uint8_t>(s.zero));
  }
  for (size_t i = 0; i < schemes.size(); ++i) {
    if (!run_time) {
      model.scheme(schemes[i].first, schemes[i].second);
      continue;
    }
    model.input(schemes[i].first + "_s", {}).input(schemes[i].first + "_z", {}, kUint8);
    inputs.push_back(view({}, &scales[i]));
    inputs.push_back(view({}, &zeros[i]));
  }
  Strings in = c.output_first ? out : tensors;
  const Strings& rest = c.output_first ? tensors : out;
  in.insert(in.end(), rest.begin(), rest.end());
  model.node(c.op, in, {"y"}, c.attributes, "", "com.microsoft").output("y");

  const Doubles expected = quantized(c.compute(reals), kOut);
  const std::string bytes = model.bytes();
  const Value got = run(import(bytes), inputs)[0];
  REQUIRE(got.type == DType::u8);
  CHECK(largest_difference(numbers(got), expected) <= 1);
  const Graph graph = same_after_passes(model, inputs, 1);
  if (!run_time && c.int8) CHECK(float_nodes(graph) == "");
}

Doubles each(const Doubles& x, const std::function<double(double)>& f) {
  Doubles y;
  for (const double v : x) y.push_back(f(v));
  return y;
}

TEST_CASE("onnx: com.microsoft's operators on quantized tensors") {
  const std::vector<OpCase> cases{
      {"QLinearAdd",
       2,
       {},
       {2, 3, 4, 4},
       [](const auto& x) {
         Doubles y = x[0];
         for (size_t i = 0; i < y.size(); ++i) y[i] += x[1][i];
         return y;
       }},
      {"QLinearMul",
       2,
       {},
       {2, 3, 4, 4},
       [](const auto& x) {
         Doubles y = x[0];
         for (size_t i = 0; i < y.size(); ++i) y[i] *= x[1][i];
         return y;
       }},
      {"QLinearSigmoid",
       1,
       {},
       {2, 3, 4, 4},
       [](const auto& x) { return each(x[0], [](double v) { return 1 / (1 + std::exp(-v)); }); }},
      {"QLinearLeakyRelu",
       1,
       {attr("alpha", 0.2f)},
       {2, 3, 4, 4},
       [](const auto& x) { return each(x[0], [](double v) { return v < 0 ? 0.2 * v : v; }); }},
      {"QLinearConcat",
       2,
       {attr("axis", int64_t{0})},
       {2, 3, 4, 4},
       [](const auto& x) {
         Doubles y = x[0];
         y.insert(y.end(), x[1].begin(), x[1].end());
         return y;
       },
       true},
      {"QLinearGlobalAveragePool",
       1,
       {},
       {2, 3, 4, 4},
       [](const auto& x) {
         Doubles y(6, 0.0);
         for (size_t i = 0; i < x[0].size(); ++i) y[i / 16] += x[0][i] / 16;
         return y;
       },
       false,
       false},
      {"QLinearGlobalAveragePool",
       1,
       {attr("channels_last", int64_t{1})},
       {2, 4, 4, 3},
       [](const auto& x) {
         Doubles y(6, 0.0);
         for (size_t i = 0; i < x[0].size(); ++i) y[i / 48 * 3 + i % 3] += x[0][i] / 16;
         return y;
       }},
      {"QLinearAveragePool",
       1,
       {attr("kernel_shape", Ints{2, 2}), attr("strides", Ints{2, 2})},
       {1, 1, 4, 4},
       [](const auto& x) {
         Doubles y(4, 0.0);
         for (size_t i = 0; i < 16; ++i) y[i / 8 * 2 + i % 4 / 2] += x[0][i] / 4;
         return y;
       }},
      {"QLinearSoftmax",
       1,
       {attr("axis", int64_t{-1}), attr("opset", int64_t{13})},
       {4, 6},
       [](const auto& x) {
         Doubles y = each(x[0], [](double v) { return std::exp(v); });
         for (size_t row = 0; row < 4; ++row) {
           double sum = 0;
           for (size_t i = 0; i < 6; ++i) sum += y[row * 6 + i];
           for (size_t i = 0; i < 6; ++i) y[row * 6 + i] /= sum;
         }
         return y;
       },
       false,
       false}};
  for (const OpCase& c : cases)
    for (const bool run_time : {false, true}) check(c, run_time);
}

TEST_CASE("onnx: QLinearConv, QLinearMatMul and QGemm run in int8") {
  for (const std::string op : {"QLinearConv", "QLinearMatMul", "QGemm"}) {
    CAPTURE(op);
    QdqModel model;
    const bool conv = op == "QLinearConv";
    const Shape shape = conv ? Shape{1, 4, 3, 3} : Shape{9, 4};
    model.input("x", conv ? std::vector<OnnxDim>{1, 4, 3, 3} : std::vector<OnnxDim>{9, 4}, kUint8);
    model.scheme("x", kIn);
    model.scheme("y", kOut);
    std::vector<int8_t> w(24);
    for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int8_t>(11 * i - 120);
    const Ints dims = conv ? Ints{6, 4, 1, 1} : Ints{4, 6};
    model.initializer(onnx_tensor("w", kInt8, dims, w))
        .initializer(onnx_floats("w_s", {6}, {0.01f, 0.02f, 0.01f, 0.005f, 0.01f, 0.03f}))
        .initializer(onnx_tensor("w_z", kInt8, {6}, std::vector<int8_t>(6, 0)))
        .initializer(onnx_tensor<int32_t>("b", kInt32, {6}, {100, -2000, 0, 5, 700, -1}));
    Strings in{"x", "x_s", "x_z", "w", "w_s", "w_z"};
    if (op == "QGemm") in.push_back("b");
    for (const char* name : {"y_s", "y_z"}) in.push_back(name);
    if (conv) in.push_back("b");
    model.node(op, in, {"y"}, {}, "", op == "QGemm" ? "com.microsoft" : "").output("y");
    const std::vector<uint8_t> data = bytes_of(36, 3);
    const Graph graph = same_after_passes(model, {view(shape, data.data())}, 1);
    CHECK(float_nodes(graph) == "");
    // To int8, and back; QLinearConv's map moves to NHWC first.
    CHECK(count<Convert>(graph) == 2);
  }
}

TEST_CASE("onnx: QGemm without an output scale gives floats") {
  QdqModel model;
  model.input("x", {2, 3}, kUint8);
  model.scheme("x", kIn);
  model.initializer(onnx_tensor<int8_t>("w", kInt8, {3, 1}, {1, -2, 3}))
      .initializer(onnx_floats("w_s", {}, {0.5f}))
      .initializer(onnx_tensor<int8_t>("w_z", kInt8, {}, {0}))
      .node("QGemm", {"x", "x_s", "x_z", "w", "w_s", "w_z"}, {"y"}, {attr("alpha", 2.0f)}, "",
            "com.microsoft")
      .output("y");
  const std::vector<uint8_t> data{117, 118, 119, 0, 117, 127};
  const std::string bytes = model.bytes();
  const std::vector<float> y = floats_of(run(import(bytes), {view({2, 3}, data.data())})[0]);
  CHECK(y[0] == doctest::Approx(0.04 * 4));
  CHECK(y[1] == doctest::Approx(0.04 * (-117 + 30)));
}

// Sums of `count` products of the largest distances, which f32 alone would round.
TEST_CASE("onnx: MatMulInteger and ConvInteger are exact however long their sums are") {
  for (const int count : {3, 258, 259, 4112, 4113, 8300, 20000}) {
    CAPTURE(count);
    const size_t n = static_cast<size_t>(count);
    std::vector<uint8_t> a(n, 255), b(n, 255);
    for (size_t i = 0; i < n; i += 3) a[i] = static_cast<uint8_t>(254 - i % 7);
    b[n / 2] = 254;
    int64_t expected = 0;
    for (size_t i = 0; i < n; ++i) expected += int64_t{a[i]} * b[i];
    OnnxModel product;
    product.input("a", {1, count}, kUint8).input("b", {count, 1}, kUint8);
    product.node("MatMulInteger", {"a", "b"}, {"y"}).output("y");
    const std::string bytes = product.bytes();
    const Value y = run(import(bytes), {view({1, count}, a.data()), view({count, 1}, b.data())})[0];
    REQUIRE(y.type == DType::i32);
    CHECK(y.as<int32_t>()[0] == expected);

    OnnxModel conv;
    conv.input("x", {1, count, 1, 1}, kUint8);
    conv.initializer(onnx_tensor("w", kUint8, {1, count, 1, 1}, b))
        .node("ConvInteger", {"x", "w"}, {"y"})
        .output("y");
    CHECK(same_after_passes(conv, {view({1, count, 1, 1}, a.data())}, 0, 0).nodes.size() > 0);
    const std::string conv_bytes = conv.bytes();
    CHECK(run(import(conv_bytes), {view({1, count, 1, 1}, a.data())})[0].as<int32_t>()[0] ==
          expected);
  }
  OnnxModel huge;
  huge.input("a", {1, 70000}, kUint8).input("b", {70000, 1}, kUint8);
  huge.node("MatMulInteger", {"a", "b"}, {"y"}, {}, "long").output("y");
  CHECK(refusal(huge) == "unsupported: onnx: node 'long' (MatMulInteger): sums of 70000 products");
}

TEST_CASE("onnx: what is quantized can be read as integers, and dynamically quantized again") {
  QdqModel model;
  model.input("x", {2, 5});
  model.scheme("x", Scheme{0.05f, 3, kInt8});
  model.node("QuantizeLinear", {"x", "x_s", "x_z"}, {"q"})
      .initializer(onnx_tensor<int8_t>("w", kInt8, {5, 1}, {1, 2, 3, 4, 5}))
      .node("MatMulInteger", {"q", "w", "x_z"}, {"y"})
      .output("y")
      .node("DynamicQuantizeLinear", {"x"}, {"d", "s", "z"})
      .node("DequantizeLinear", {"d", "s", "z"}, {"back"})
      .output("back");
  const std::vector<float> x{0, 0.05f, 0.1f, -0.05f, 1, 2, -1, 0.5f, 0.25f, -6};
  const std::string bytes = model.bytes();
  const std::vector<Value> y = run(import(bytes), {view({2, 5}, x.data())});
  CHECK(y[0].as<int32_t>()[0] == 2 + 6 - 4 + 100);
  CHECK(y[0].as<int32_t>()[1] == 40 - 40 + 30 + 20 - 5 * 120);
  for (size_t i = 0; i < x.size(); ++i)
    CHECK(std::abs(y[1].as<float>()[i] - x[i]) <= 0.51f * 8 / 255);
}

std::string quantize(const std::string& scale, const std::string& zero, const Strings& more = {}) {
  OnnxModel model;
  model.input("x", {2, 3}).initializer(scale);
  if (!zero.empty()) model.initializer(zero);
  Strings in{"x", "s"};
  if (!zero.empty()) in.push_back("z");
  return refusal(model.node("QuantizeLinear", in, {"y"}, more, "q").output("y"));
}

TEST_CASE("onnx: bad scales and zero points are refused with what is wrong") {
  const std::string q = "malformed: onnx: node 'q' (QuantizeLinear): ";
  for (const float scale : {0.0f, -0.5f, NAN, INFINITY, 1e-42f})
    CHECK(quantize(onnx_floats("s", {}, {scale}), "") == q + "a scale is " + std::to_string(scale));
  CHECK(quantize(onnx_floats("s", {2}, {1, 1}), "") == q + "2 scales, axis 1 of the input has 3");
  CHECK(quantize(onnx_floats("s", {2}, {1, 1}), "", {attr("axis", int64_t{2})}) ==
        q + "axis 2 of a tensor of rank 2");
  CHECK(quantize(onnx_floats("s", {3}, {1, 1, 1}), onnx_tensor<int8_t>("z", kInt8, {2}, {1, 2})) ==
        q + "3 scales, 2 zero points");
  CHECK(quantize(onnx_floats("s", {}, {1}), onnx_floats("z", {}, {0})) ==
        "unsupported: onnx: node 'q' (QuantizeLinear): from f32 to f32");
  CHECK(quantize(onnx_ints("s", {1}), "") ==
        "unsupported: onnx: node 'q' (QuantizeLinear): scales of type i64");
  CHECK(quantize(onnx_floats("s", {2, 1}, {1, 1}), "", {attr("block_size", int64_t{-3})}) ==
        q + "block_size -3");
  CHECK(
      quantize(onnx_floats("s", {2, 2}, {1, 1, 1, 1}), "", {attr("block_size", int64_t{2})}) ==
      "unsupported: onnx: node 'q' (QuantizeLinear): block_size 2, axis 1 of 2x3 with scales 2x2");

  OnnxModel other;
  other.input("x", {2, 3}, kUint8)
      .initializer(onnx_floats("s", {}, {1}))
      .initializer(onnx_tensor<int8_t>("z", kInt8, {}, {1}))
      .node("DequantizeLinear", {"x", "s", "z"}, {"y"}, {}, "dq")
      .output("y");
  CHECK(refusal(other) ==
        "malformed: onnx: node 'dq' (DequantizeLinear): zero points of type i8, the input is u8");
  OnnxModel bias;
  bias.initializer(onnx_tensor<int32_t>("b", kInt32, {2}, {1, 2}))
      .initializer(onnx_floats("s", {}, {1}))
      .initializer(onnx_tensor<int32_t>("z", kInt32, {}, {7}))
      .node("DequantizeLinear", {"b", "s", "z"}, {"y"}, {}, "dq")
      .output("y");
  CHECK(refusal(bias) ==
        "malformed: onnx: node 'dq' (DequantizeLinear): b_2: quantization: zero point 7 of i32");
  OnnxModel conv;
  conv.input("x", {1, 1, 2, 2}, kUint8)
      .initializer(onnx_floats("s", {}, {0}))
      .initializer(onnx_tensor<uint8_t>("z", kUint8, {}, {0}))
      .initializer(onnx_tensor<uint8_t>("w", kUint8, {1, 1, 1, 1}, {3}))
      .node("QLinearConv", {"x", "s", "z", "w", "s", "z", "s", "z"}, {"y"}, {}, "conv")
      .output("y");
  CHECK(refusal(conv) ==
        "malformed: onnx: node 'conv' (QLinearConv): a scale is " + std::to_string(0.0f));
  OnnxModel concat;
  concat.initializer(onnx_floats("s", {}, {1}))
      .initializer(onnx_tensor<uint8_t>("z", kUint8, {}, {0}))
      .node("QLinearConcat", {"s", "z", "s", "z"}, {"y"}, {}, "cat", "com.microsoft")
      .output("y");
  CHECK(refusal(concat) ==
        "malformed: onnx: node 'cat' (QLinearConcat): it has 4 inputs, expected two and three for "
        "each part");
}

}  // namespace
}  // namespace firn::test
