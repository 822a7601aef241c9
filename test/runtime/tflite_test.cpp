// SPDX-License-Identifier: Apache-2.0
// TensorFlow Lite models in all forms of quantization, and what is special about some operators.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/requant.h"
#include "runtime/import/tflite.h"
#include "test/runtime/tflite_run.h"

namespace firn::tflite {
namespace {

template <typename T>
std::vector<T> random_values(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(n);
  for (T& v : values) {
    const int64_t range = int64_t{std::numeric_limits<T>::max()} - std::numeric_limits<T>::min();
    v = static_cast<T>(std::numeric_limits<T>::min() +
                       static_cast<int64_t>(random() % (range + 1)));
  }
  return values;
}

TestOp conv_op(std::vector<int32_t> in, int32_t out, int32_t stride,
               wire::Padding padding = wire::Padding::same) {
  return {
      BuiltinOperator::CONV_2D, std::move(in), {out}, BuiltinOptions::Conv2D, options([=](auto& b) {
        return wire::CreateConv2DOptions(b, padding, stride, stride, wire::Activation::relu6);
      })};
}

// What an old uint8 convolution of a 5x5 picture means, in exact integers.
struct Uint8Conv {
  static constexpr int kSize = 5, kIn = 3, kOut = 20;
  int32_t kernel = 3, x_zero = 121, w_zero = 0, y_zero = 7;
  bool depthwise = false;
  float x_scale = 0.5f, w_scale = 0.01f, y_scale = 0.03f;

  int in() const { return depthwise ? kOut : kIn; }
  size_t weights() const {
    return static_cast<size_t>(kernel * kernel * kOut * (depthwise ? 1 : kIn));
  }

  uint8_t expected(const std::vector<uint8_t>& x, const std::vector<uint8_t>& w,
                   const std::vector<int32_t>& bias, int oy, int ox, int oc) const {
    int32_t sum = bias[static_cast<size_t>(oc)];
    const int pad = kernel / 2;
    for (int ky = 0; ky < kernel; ++ky)
      for (int kx = 0; kx < kernel; ++kx) {
        const int iy = oy + ky - pad, ix = ox + kx - pad;
        if (iy < 0 || iy >= kSize || ix < 0 || ix >= kSize) continue;
        for (int ic = 0; ic < (depthwise ? 1 : kIn); ++ic) {
          const int channel = depthwise ? oc : ic;
          const auto at = static_cast<size_t>((iy * kSize + ix) * in() + channel);
          const auto filter =
              static_cast<size_t>(depthwise ? (ky * kernel + kx) * kOut + oc
                                            : ((oc * kernel + ky) * kernel + kx) * kIn + ic);
          sum += (x[at] - x_zero) * (w[filter] - w_zero);
        }
      }
    const float scale = kernels::rescale(double{x_scale} * double{w_scale} / double{y_scale});
    const kernels::Clamp8 clamp{y_zero - 128, -128, 127};
    return static_cast<uint8_t>(kernels::requantize(sum, scale, clamp) + 128);
  }

  void check(const std::string& isa) const {
    TestModel m;
    const int32_t channels = in();
    m.add_input({"x", TensorType::uint8, {1, kSize, kSize, channels}, {}, {x_scale}, {x_zero}});
    const std::vector<uint8_t> w = random_values<uint8_t>(weights(), 3);
    std::vector<int32_t> shape{kOut, kernel, kernel, kIn};
    if (depthwise) shape = {1, kernel, kernel, kOut};
    m.add({"w", TensorType::uint8, shape, w, {w_scale}, {w_zero}});
    std::vector<int32_t> bias = random_values<int32_t>(kOut, 4);
    for (int32_t& b : bias) b %= 20000;
    m.add({"b", TensorType::int32, {kOut}, bytes_of(bias), {x_scale * w_scale}, {0}});
    m.add_output({"y", TensorType::uint8, {1, kSize, kSize, kOut}, {}, {y_scale}, {y_zero}});
    const auto padding = wire::Padding::same;
    if (depthwise) {
      m.ops = {{BuiltinOperator::DEPTHWISE_CONV_2D,
                {0, 1, 2},
                {3},
                BuiltinOptions::DepthwiseConv2D,
                options([=](auto& b) {
                  return wire::CreateDepthwiseConv2DOptions(b, padding, 1, 1, 1);
                })}};
    } else {
      m.ops = {
          {BuiltinOperator::CONV_2D, {0, 1, 2}, {3}, BuiltinOptions::Conv2D, options([=](auto& b) {
             return wire::CreateConv2DOptions(b, padding, 1, 1);
           })}};
    }
    SessionOptions session;
    session.isa = isa;
    Runner runner(m, session);
    const auto x = random_values<uint8_t>(static_cast<size_t>(kSize * kSize * channels), 5);
    const std::vector<uint8_t> y = runner.run<uint8_t>(x);
    for (int oy = 0; oy < kSize; ++oy)
      for (int ox = 0; ox < kSize; ++ox)
        for (int oc = 0; oc < kOut; ++oc) {
          const auto at = static_cast<size_t>((oy * kSize + ox) * kOut + oc);
          REQUIRE(int{y[at]} == int{expected(x, w, bias, oy, ox, oc)});
        }
    const auto profile = runner.session().profile(1);
    REQUIRE(profile.ok());
    for (const StepProfile& step : *profile) CHECK(step.kernel != "reference");
  }
};

// A [1, 2, 2, 1] picture through a 1x1 convolution with weight 2 in some form.
TestModel one_weight(TestTensor weight) {
  TestModel m;
  m.add_input({"x", TensorType::float32, {1, 2, 2, 1}});
  m.add(std::move(weight));
  m.add_output({"y", TensorType::float32, {1, 2, 2, 1}});
  return m;
}

const std::vector<float> kPicture{-1, 0.5f, 2, 9};
const std::vector<float> kDoubled{0, 1, 4, 6};  // and clamped to 0 .. 6

}  // namespace

TEST_CASE("tflite: uint8 weights with zero points are exact, on int8 kernels") {
  for (const char* isa : {"scalar", ""}) {
    for (const bool depthwise : {false, true}) {
      for (const int32_t kernel : {1, 3}) {
        for (const int32_t zero : {0, 1, 117, 128, 255}) {
          CAPTURE(isa);
          CAPTURE(depthwise);
          CAPTURE(kernel);
          CAPTURE(zero);
          Uint8Conv conv;
          conv.depthwise = depthwise;
          conv.kernel = kernel;
          conv.w_zero = zero;
          conv.check(isa);
        }
      }
    }
  }
}

TEST_CASE("tflite: a uint8 model takes and gives uint8, by the names and scales of its file") {
  TestModel m;
  m.add_input({"picture", TensorType::uint8, {1, 4}, {}, {0.25f}, {100}});
  m.add_output({"scores", TensorType::uint8, {1, 4}, {}, {0.5f}, {10}});
  m.ops = {{BuiltinOperator::QUANTIZE, {0}, {1}}};
  Runner runner(m);
  const TensorInfo in = runner.session().inputs()[0], out = runner.session().outputs()[0];
  CHECK(in == TensorInfo{"picture", DType::u8, {1, 4}, Quant{-1, 8, 0, {0.25f}, {100}}});
  CHECK(out == TensorInfo{"scores", DType::u8, {1, 4}, Quant{-1, 8, 0, {0.5f}, {10}}});
  // (q - 100) / 2 + 10, to the nearest even.
  CHECK(runner.run<uint8_t>(std::vector<uint8_t>{0, 100, 103, 255}) ==
        std::vector<uint8_t>{0, 10, 12, 88});
}

TEST_CASE("tflite: half-precision weights are constants of the graph, without a node") {
  TestModel m = one_weight({"w16", TensorType::float16, {1, 1, 1, 1}, {0x00, 0x40}});
  const int32_t w = m.add({"w", TensorType::float32, {1, 1, 1, 1}});
  m.ops = {{BuiltinOperator::DEQUANTIZE, {1}, {w}}, conv_op({0, w}, 2, 1)};
  CHECK(Runner(m).run<float>(kPicture) == kDoubled);
  const std::vector<uint8_t> bytes = m.bytes();
  const Result<Graph> graph = read_tflite(std::as_bytes(std::span(bytes)), nullptr);
  REQUIRE(graph.ok());
  CHECK(graph->nodes.size() == 1);
}

TEST_CASE("tflite: int8 and int4 weights of float layers") {
  TestModel m = one_weight({"w", TensorType::int8, {1, 1, 1, 1}, {20}, {0.1f}, {0}});
  m.ops = {conv_op({0, 1}, 2, 1)};
  const std::vector<float> y = Runner(m).run<float>(kPicture);
  for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(kDoubled[i]));

  TestModel four = one_weight({"w", TensorType::int4, {3, 1, 1, 1}, {0xf4, 0x08}, {0.5f}, {0}});
  four.tensors[2].shape = {1, 2, 2, 3};
  four.ops = {conv_op({0, 1}, 2, 1)};
  // Weights 4, -1, -8, halved.
  CHECK(Runner(four).run<float>(kPicture) ==
        std::vector<float>{0, 0.5f, 4, 1, 0, 0, 4, 0, 0, 6, 0, 0});
}

TEST_CASE("tflite: int16 activations are on their grid after every operator") {
  TestModel m;
  const float scale = 1.0f / 4096;
  m.add_input({"x", TensorType::int16, {1, 2, 2, 1}, {}, {scale}, {0}});
  m.add({"w", TensorType::int8, {1, 1, 1, 1}, {3}, {0.25f}, {0}});
  m.add({"b", TensorType::int64, {1}, bytes_of<int64_t>({4096}), {scale * 0.25f}, {0}});
  m.add_output({"y", TensorType::int16, {1, 2, 2, 1}, {}, {2 * scale}, {0}});
  m.ops = {conv_op({0, 1, 2}, 3, 1)};
  // (0.75 q + 1024) / 2, not below 0; ties to even.
  CHECK(Runner(m).run<int16_t>(std::vector<int16_t>{0, 1000, -3, -32768}) ==
        std::vector<int16_t>{512, 887, 511, 0});
  // Not by way of floats.
  const std::vector<uint8_t> bytes = m.bytes();
  const Result<Model> model = Model::parse(std::as_bytes(std::span(bytes)));
  REQUIRE(model.ok());
  CHECK(model->info().layers_i16 == 1);
  CHECK(model->info().ops == std::vector<std::pair<std::string, int>>{{"Conv2d", 1}});
}

TEST_CASE("tflite: SAME padding is split, the smaller half first") {
  for (const int32_t size : {4, 5}) {
    TestModel m;
    m.add_input({"x", TensorType::float32, {1, size, 1, 1}});
    m.add({"w", TensorType::float32, {1, 3, 1, 1}, bytes_of<float>({1, 2, 3})});
    m.add_output({"y"});
    m.ops = {conv_op({0, 1}, 2, 2)};
    std::vector<float> x(static_cast<size_t>(size), 0);
    x[0] = 1;
    // An even size is padded behind alone: its first tap meets the first pixel.
    CHECK(Runner(m).run<float>(x)[0] == (size == 4 ? 1 : 2));
  }
}

TEST_CASE("tflite: a strided slice with every mask") {
  TestModel m;
  m.add_input({"x", TensorType::float32, {2, 3, 4}});
  m.add_output({"y"});
  const int32_t begin = m.add_ints({1, 9, 0, 3}), end = m.add_ints({2, 9, 0, 0}),
                step = m.add_ints({1, 1, 1, -2});
  m.ops = {{BuiltinOperator::STRIDED_SLICE,
            {0, begin, end, step},
            {1},
            BuiltinOptions::StridedSlice,
            options([](auto& b) {
              // x[1, new, ..., 3::-2]
              return wire::CreateStridedSliceOptions(b, 0, 8, 4, 2, 1);
            })}};
  std::vector<float> x(24);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  Runner runner(m);
  CHECK(runner.session().outputs()[0].shape == Shape{1, 3, 2});
  CHECK(runner.run<float>(x) == std::vector<float>{15, 13, 19, 17, 23, 21});
}

TEST_CASE("tflite: batches stay open where the signature leaves them open") {
  TestModel m = one_weight({"w", TensorType::float32, {1, 1, 1, 1}, bytes_of<float>({2})});
  m.tensors[0].signature = {-1, 2, 2, 1};
  m.ops = {conv_op({0, 1}, 2, 1)};
  const std::vector<uint8_t> bytes = m.bytes();
  const Result<Model> model = Model::parse(std::as_bytes(std::span(bytes)));
  REQUIRE(model.ok());
  CHECK(model->inputs()[0].shape == Shape{-1, 2, 2, 1});
  CHECK(model->outputs()[0].shape == Shape{-1, 2, 2, 1});
  CHECK(model->info().format == "tflite");
}

TEST_CASE("tflite: dilation by way of the batch") {
  const auto model = [](bool by_batch) {
    TestModel m;
    m.add_input({"x", TensorType::float32, {1, 6, 6, 1}});
    m.add({"w", TensorType::float32, {1, 2, 2, 1}, bytes_of<float>({1, -2, 3, 0.5f})});
    m.add_output({"y"});
    if (!by_batch) {
      m.ops = {{BuiltinOperator::CONV_2D, {0, 1}, {2}, BuiltinOptions::Conv2D, options([](auto& b) {
                  return wire::CreateConv2DOptions(b, wire::Padding::valid, 1, 1,
                                                   wire::Activation::none, 2, 2);
                })}};
      return m;
    }
    const int32_t block = m.add_ints({2, 2});
    const int32_t edges =
        m.add({"edges", TensorType::int32, {2, 2}, bytes_of<int32_t>({0, 0, 0, 0})});
    const int32_t batches = m.add({"batches"}), filtered = m.add({"filtered"});
    m.ops = {
        {BuiltinOperator::SPACE_TO_BATCH_ND, {0, block, edges}, {batches}},
        {BuiltinOperator::CONV_2D,
         {batches, 1},
         {filtered},
         BuiltinOptions::Conv2D,
         options([](auto& b) { return wire::CreateConv2DOptions(b, wire::Padding::valid, 1, 1); })},
        {BuiltinOperator::BATCH_TO_SPACE_ND, {filtered, block, edges}, {2}}};
    return m;
  };
  std::vector<float> x(36);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  CHECK(Runner(model(true)).run<float>(x) == Runner(model(false)).run<float>(x));
}

}  // namespace firn::tflite
